"""What each switch does to the kernel, in numbers; and the paper's claims, tested on these.

Builds: results/<study>/{reactivation,accuracy,files}.csv, results/<study>/claims.{csv,md,pdf,png}
From:   the metric tables of all runs
"""


rule switches:
    input:
        expand("results/{study}/runs/{run}.csv", study=STUDY.study, run=sorted(PLAN.runs)),
    output:
        switches=f"results/{STUDY.study}/reactivation.csv",
        accuracy=f"results/{STUDY.study}/accuracy.csv",
        files=f"results/{STUDY.study}/files.csv",
    log:
        f"results/logs/switches/{STUDY.study}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        **bound(
            "switches",
            "measure_switches.py",
            "analysis",
            paths.SWITCHES,
            spec=inputs.switch_runs(PLAN),
        ),
    script:
        "../scripts/measure_switches.py"


rule claims:
    input:
        table=f"results/{STUDY.study}/reactivation.csv",
        # If the table is gone, its own inputs say what changed.
        runs=rules.switches.input,
    output:
        csv=f"results/{STUDY.study}/claims.csv",
        md=f"results/{STUDY.study}/claims.md",
        pdf=f"results/{STUDY.study}/claims.pdf",
        png=report(
            f"results/{STUDY.study}/claims.png",
            caption="../report/claims.rst",
            category="Figures",
            labels={"figure": "claims"},
        ),
    log:
        f"results/logs/claims/{STUDY.study}.log",
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        **bound(
            "claims",
            "judge_claims.py",
            "analysis",
            paths.CLAIMS,
            study=STUDY.study,
            spec=PLAN.claims,
        ),
    script:
        "../scripts/judge_claims.py"

"""Figures: one job each.

Builds: results/<study>/figures/<figure>.{pdf,png,csv}; the csv holds exactly what is drawn
From:   the metric tables of the runs that the figure shows
"""


def figure_files(name):
    return expand(
        "results/{study}/figures/{name}.{kind}",
        study=STUDY.study,
        name=name,
        kind=["pdf", "png", "csv"],
    )


rule figure:
    input:
        runs=lambda wildcards: [f"results/{STUDY.study}/runs/{run}.csv" for run in PLAN.figures[wildcards.figure].runs],
    output:
        pdf=f"results/{STUDY.study}/figures/{{figure}}.pdf",
        png=f"results/{STUDY.study}/figures/{{figure}}.png",
        csv=f"results/{STUDY.study}/figures/{{figure}}.csv",
    log:
        f"results/logs/figure/{STUDY.study}/{{figure}}.log",
    conda:
        "../../envs/analysis.yaml"
    params:
        spec=lambda wildcards: PLAN.figures[wildcards.figure].spec,
        code=fingerprint("figure.py"),
    script:
        "../scripts/figure.py"

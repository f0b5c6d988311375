"""Metrics: one job per run, all its segments in one tidy table.

Builds: results/<study>/runs/<run>.csv
From:   the kernels, test evaluations and records of the run's segments; or a file of kernels from elsewhere
"""


rule metrics:
    input:
        unpack(lambda wildcards: inputs.run_inputs(PLAN, wildcards.run)),
    output:
        f"results/{STUDY.study}/runs/{{run}}.csv",
    log:
        f"results/logs/metrics/{STUDY.study}/{{run}}.log",
    # Before further trainings, so that what the jobs of this run have saved can be deleted.
    priority: 2
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        **bound(
            "metrics",
            "compute_metrics.py",
            "analysis",
            paths.RUN,
            spec=lambda wildcards: PLAN.runs[wildcards.run].spec,
            given=given_digest,
        ),
    script:
        "../scripts/compute_metrics.py"

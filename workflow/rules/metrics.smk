"""Metrics: one job per run, all its segments in one tidy table.

Builds: results/<study>/runs/<run>.csv
From:   the kernels, test evaluations and records of the run's segments
"""


def run_inputs(wildcards):
    run = PLAN.runs[wildcards.run]
    return {
        "kernels": [f"results/segments/{kernels}.h5" for kernels in run.kernels],
        "evaluations": [f"results/segments/{segment}/evaluation.csv" for segment in run.segments],
        "records": [f"results/segments/{segment}/segment.json" for segment in run.segments],
    }


rule metrics:
    input:
        unpack(run_inputs),
    output:
        f"results/{STUDY.study}/runs/{{run}}.csv",
    log:
        f"results/logs/metrics/{STUDY.study}/{{run}}.log",
    # Before further trainings: what those of this run have saved can then go.
    priority: 2
    localrule: True
    conda:
        "../../envs/analysis.yaml"
    params:
        spec=lambda wildcards: PLAN.runs[wildcards.run].spec,
        code=fingerprint("metrics.py"),
    script:
        "../scripts/metrics.py"

"""Accuracy within each task: one job per segment of networks, all its checkpoints in one table.

Builds: results/segments/<segment>/within.csv
From:   the segment's checkpoints and the test images
"""


rule within:
    input:
        unpack(lambda wildcards: inputs.within_inputs(PLAN, wildcards.segment)),
    output:
        "results/segments/{segment}/within.csv",
    log:
        "results/logs/within/{segment}.log",
    # Before further trainings, so that checkpoints that are not kept can be deleted.
    priority: 1
    group:
        "{segment}"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **GPU,
        slot=1,
        # It takes no more time and memory than the training, which tests at every checkpoint too.
        runtime=lambda wildcards, attempt: attempt * requested(wildcards.segment).minutes,
        mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).memory,
        gpu_mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).gpu_memory,
    params:
        **bound(
            "within",
            "measure_within_tasks.py",
            "torch",
            paths.WITHIN,
            spec=lambda wildcards: PLAN.segments[wildcards.segment].spec,
        ),
    script:
        "../scripts/measure_within_tasks.py"

"""Functions of linearised twins: one job per twin, all its checkpoints in one table.

Builds: results/segments/<twin>/function-<hash>.csv
From:   the checkpoints of the twin and of its network, the weights that both start from, the test images and the probe
"""


rule function:
    input:
        unpack(lambda wildcards: inputs.function_inputs(PLAN, f"{wildcards.segment}/{wildcards.function}")),
    output:
        "results/segments/{segment}/{function}.csv",
    log:
        "results/logs/function/{segment}-{function}.log",
    # Before further trainings, so that checkpoints that are not kept can be deleted.
    priority: 1
    group:
        "{segment}"
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **GPU,
        # It takes no more time and memory than the twin's training.
        runtime=lambda wildcards, attempt: attempt * requested(wildcards.segment).minutes,
        mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).memory,
        gpu_mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).gpu_memory,
    params:
        **bound(
            "function",
            "compare_functions.py",
            "torch",
            paths.FUNCTION,
            spec=lambda wildcards: PLAN.segments[wildcards.segment].spec,
        ),
    script:
        "../scripts/compare_functions.py"

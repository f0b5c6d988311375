"""Kernels: one job per segment, all its checkpoints in one file.

Builds: results/segments/<segment>/ntk-<hash>.h5
From:   the segment's checkpoints, the probe and its images
"""


rule ntk:
    input:
        unpack(lambda wildcards: inputs.kernel_inputs(PLAN, kernels_name(wildcards))),
    output:
        "results/segments/{segment}/{kernels}.h5",
    log:
        "results/logs/ntk/{segment}-{kernels}.log",
    # Before further trainings, so that checkpoints that are not kept can be deleted.
    priority: 1
    group:
        kernel_group
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **GPU,
        slot=1,
        runtime=lambda wildcards, attempt: attempt * requested(kernels_name(wildcards)).minutes,
        mem_mb=lambda wildcards, attempt: attempt * requested(kernels_name(wildcards)).memory,
        gpu_mem_mb=lambda wildcards, attempt: attempt * requested(kernels_name(wildcards)).gpu_memory,
    params:
        **bound(
            "ntk",
            "compute_kernels.py",
            "torch",
            paths.KERNELS,
            spec=kernel_spec,
        ),
    script:
        "../scripts/compute_kernels.py"

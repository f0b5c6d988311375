"""Training: one job per segment.

Builds: results/segments/<segment>/{checkpoints/step*.pt, final.pt, training.csv, evaluation.csv, segment.json}
From:   the data set, the split and, for a later task, the parent segment's final weights and record
"""

KEEP = STUDY.checkpoints.keep  # which weights stay once they have been used
CHECKPOINTS = directory("results/segments/{segment}/checkpoints")
FINAL = "results/segments/{segment}/final.pt"


rule train:
    input:
        unpack(lambda wildcards: inputs.segment_inputs(PLAN, wildcards.segment)),
    output:
        checkpoints=CHECKPOINTS if KEEP == "all" else temp(CHECKPOINTS),
        final=temp(FINAL) if KEEP == "none" else FINAL,
        log="results/segments/{segment}/training.csv",
        evaluation="results/segments/{segment}/evaluation.csv",
        record="results/segments/{segment}/segment.json",
    log:
        "results/logs/train/{segment}.log",
    # On a cluster, one job does a segment: its training and its kernels.
    group:
        "{segment}"
    conda:
        "../../envs/torch.yaml"
    # More threads sum in another order: results on CPU would depend on the number of cores.
    threads: 1
    resources:
        **GPU,
        runtime=lambda wildcards, attempt: attempt * requested(wildcards.segment).minutes,
        mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).memory,
        gpu_mem_mb=lambda wildcards, attempt: attempt * requested(wildcards.segment).gpu_memory,
    params:
        **bound(
            "train",
            "train_segment.py",
            "torch",
            paths.RECORD,
            spec=lambda wildcards: PLAN.segments[wildcards.segment].spec,
        ),
    script:
        "../scripts/train_segment.py"

"""Kernels of untrained networks: one job for all widths that a panel compares.

Builds: results/<study>/convergence/<experiment>-<hash>.{csv,json}
From:   the probe and its images
"""


rule convergence:
    input:
        unpack(lambda wildcards: inputs.convergence_inputs(PLAN, wildcards.convergence)),
    output:
        csv=f"results/{STUDY.study}/convergence/{{convergence}}.csv",
        origin=f"results/{STUDY.study}/convergence/{{convergence}}.json",
    log:
        f"results/logs/convergence/{STUDY.study}/{{convergence}}.log",
    # One long job, started early so that it does not run alone at the end.
    priority: 1
    conda:
        "../../envs/torch.yaml"
    threads: 1
    resources:
        **GPU,
        runtime=lambda wildcards, attempt: attempt * requested_untrained(wildcards.convergence).minutes,
        mem_mb=lambda wildcards, attempt: attempt * requested_untrained(wildcards.convergence).memory,
        gpu_mem_mb=lambda wildcards, attempt: attempt * requested_untrained(wildcards.convergence).gpu_memory,
    params:
        **bound(
            "convergence",
            "compare_widths.py",
            "torch",
            paths.CONVERGENCE,
            spec=lambda wildcards: PLAN.convergences[wildcards.convergence].spec,
        ),
    script:
        "../scripts/compare_widths.py"

"""Tools, which run only when asked for by name. They make no results.

budget: prints what the study takes. prune: lists what no study's config names; `--config delete=true` deletes it.
"""


rule budget:
    log:
        ".snakemake/log/budget.log",
    localrule: True
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/print_budget.py"


rule prune:
    log:
        ".snakemake/log/prune.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        configs=study_configs,
        given=[os.path.relpath(path) for path in workflow.configfiles],
        delete=DELETE,
    script:
        "../scripts/prune_results.py"

"""What only looks, or is asked for by name: no results are made here.

budget: prints what the study takes. prune: lists what no study config names; `--config delete=true` deletes it.
"""


localrules:
    budget,
    prune,


rule budget:
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/budget.py"


rule prune:
    conda:
        "../../envs/data.yaml"
    params:
        configs=[str(name) for name in workflow.configfiles],
        delete=DELETE,
    script:
        "../scripts/prune.py"

"""What only looks, or is asked for by name: no results are made here.

budget: prints what the study takes. prune: lists what no study config names; `--config delete=true` deletes it.
"""

import os


localrules:
    budget,
    prune,


rule budget:
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/budget.py"


# Every study of this folder and of the workflow's own, whatever this call is about.
study_configs = {
    path.resolve(): os.path.relpath(path)
    for folder in (Path(workflow.basedir) / "config", Path("config"))
    for path in sorted(folder.glob("*.yaml"))
    if path.name != "schema.yaml"
}


rule prune:
    conda:
        "../../envs/data.yaml"
    params:
        configs=list(study_configs.values()),
        given=[os.path.relpath(path) for path in workflow.configfiles],
        delete=DELETE,
    script:
        "../scripts/prune.py"

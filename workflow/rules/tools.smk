"""What only looks, or is asked for by name: no results are made here.

budget: prints what the study takes. prune: lists what no study config names; `--config delete=true` deletes it.
"""

import os


rule budget:
    localrule: True
    conda:
        "../../envs/torch.yaml"
    script:
        "../scripts/budget.py"


def study_configs(wildcards):
    """Every study of this folder and of the workflow's own, whatever this call is about."""
    found = {
        path.resolve(): os.path.relpath(path)
        for folder in (Path(workflow.basedir) / "config", Path("config"))
        for path in sorted(folder.glob("*.yaml"))
        if path.name != "schema.yaml"
    }
    return list(found.values())


rule prune:
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        configs=study_configs,
        given=[os.path.relpath(path) for path in workflow.configfiles],
        delete=DELETE,
    script:
        "../scripts/prune.py"

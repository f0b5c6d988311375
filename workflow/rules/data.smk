"""Data: images, the images of each task, the probe.

Builds: results/data/<dataset>.h5, results/splits/<split>.npz, results/probes/<probe>.npz
From:   fonts, or files below `data_root`
"""


def source_state(wildcards):
    """Changes with the images of a folder or tarball, not with its place, nor when it is gone once it is read."""
    if PLAN.datasets[wildcards.dataset]["source"] != "image_folder":
        return ""
    from reactivation import datasets, errors, storage  # here: most calls of Snakemake need neither

    root = config["where"]["sources"][wildcards.dataset]["root"]
    built = f"results/data/{wildcards.dataset}.h5"
    try:
        return datasets.source_state(Path(root)) or storage.read_source_state(built) or ""
    except errors.InputError as error:
        raise WorkflowError(str(error)) from None


def decoding_threads(wildcards):
    """Files of images are decoded on all cores; the other sources have nothing to share out."""
    cores = workflow.resource_settings.cores or workflow.resource_settings.local_cores  # on a cluster, those of its head
    return cores if PLAN.datasets[wildcards.dataset]["source"] == "image_folder" else 1


rule dataset:
    output:
        "results/data/{dataset}.h5",
    log:
        "results/logs/dataset/{dataset}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    threads: decoding_threads
    params:
        spec=lambda wildcards: PLAN.datasets[wildcards.dataset],
        source_state=source_state,
        code=fingerprint("dataset.py"),
    script:
        "../scripts/dataset.py"


rule split:
    input:
        dataset=lambda wildcards: f"results/data/{PLAN.splits[wildcards.split].dataset}.h5",
    output:
        "results/splits/{split}.npz",
    log:
        "results/logs/split/{split}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        spec=lambda wildcards: PLAN.splits[wildcards.split].spec,
        code=fingerprint("split.py"),
    script:
        "../scripts/split.py"


rule probe:
    input:
        dataset=lambda wildcards: f"results/data/{PLAN.probes[wildcards.probe].dataset}.h5",
    output:
        "results/probes/{probe}.npz",
    log:
        "results/logs/probe/{probe}.log",
    localrule: True
    conda:
        "../../envs/data.yaml"
    params:
        spec=lambda wildcards: PLAN.probes[wildcards.probe].spec,
        code=fingerprint("probe.py"),
    script:
        "../scripts/probe.py"

"""Data: images, the images of each task, the probe.

Builds: results/data/<dataset>.h5, results/splits/<split>.npz, results/probes/<probe>.npz
From:   fonts, or files below `data_root`
"""


rule dataset:
    output:
        "results/data/{dataset}.h5",
    log:
        "results/logs/dataset/{dataset}.log",
    localrule: True
    conda:
        dataset_environment
    threads: decoding_threads
    params:
        **bound(
            "dataset",
            "build_dataset.py",
            "data",
            paths.DATASET,
            spec=lambda wildcards: PLAN.datasets[wildcards.dataset],
            source_digest=source_digest,
        ),
    script:
        "../scripts/build_dataset.py"


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
        **bound(
            "split",
            "split_dataset.py",
            "data",
            paths.SPLIT,
            spec=lambda wildcards: PLAN.splits[wildcards.split].spec,
        ),
    script:
        "../scripts/split_dataset.py"


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
        **bound(
            "probe",
            "choose_probe.py",
            "data",
            paths.PROBE,
            spec=lambda wildcards: PLAN.probes[wildcards.probe].spec,
        ),
    script:
        "../scripts/choose_probe.py"

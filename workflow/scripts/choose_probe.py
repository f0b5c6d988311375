"""Choose the images on which kernels are evaluated."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.data.indices import balanced_probe
from reactivation.storage.arrays import write_arrays
from reactivation.storage.datasets import read_labels

snakemake: Any

with logged(snakemake.log[0]):
    probe = balanced_probe(snakemake.params.spec, *read_labels(snakemake.input.dataset))
    write_arrays(snakemake.output[0], **probe)
    print(f"{len(probe['index'])} images, labels {probe['label'].tolist()}")

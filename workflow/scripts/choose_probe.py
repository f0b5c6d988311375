"""Choose the images on which kernels are evaluated."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.data.indices import balanced_probe
from reactivation.storage.arrays import write_arrays
from reactivation.storage.datasets import read_labels

with logged(snakemake):
    probe = balanced_probe(snakemake.params.spec, *read_labels(snakemake.input.dataset))
    write_arrays(snakemake.output[0], **probe)
    print(f"{len(probe['index'])} images, labels {probe['label'].tolist()}")

"""Choose the images of a scenario's tasks up to one of them."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.data.indices import split
from reactivation.storage.arrays import write_arrays
from reactivation.storage.datasets import read_labels

with logged(snakemake):
    indices = split(snakemake.params.spec, *read_labels(snakemake.input.dataset))
    write_arrays(snakemake.output[0], **indices)
    for name, values in indices.items():
        print(f"{name}: {len(values)} images")

"""Choose the images of a scenario's tasks up to one of them."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.data.indices import split
from reactivation.storage.arrays import write_arrays
from reactivation.storage.datasets import read_labels

snakemake: Any

with logged(snakemake.log[0]):
    indices = split(snakemake.params.spec, *read_labels(snakemake.input.dataset))
    write_arrays(snakemake.output[0], **indices)
    for name, values in indices.items():
        print(f"{name}: {len(values)} images")

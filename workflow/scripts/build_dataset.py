"""Build one data set's HDF5 file from its source."""

from reactivation.jobs.job import logged

# isort: split
import time
from pathlib import Path
from typing import Any

from reactivation.data.sources import count, samples
from reactivation.jobs.progress import progress
from reactivation.jobs.provenance import provenance
from reactivation.storage.datasets import read_labels, write_dataset

snakemake: Any

with logged(snakemake.log[0]):
    started, spec = time.time(), snakemake.params.spec
    source = snakemake.config["where"]["sources"][snakemake.wildcards.dataset]
    root = Path(source["root"]) if source["root"] is not None else None

    def attributes():  # called when all images are written
        origin = provenance(spec, snakemake.params.code, started, ("numpy", "h5py", "pillow", "matplotlib"))
        return {**origin, "device": "cpu", "source_state": snakemake.params.source_state}

    images = samples(spec, root, source["download"], snakemake.threads)
    write_dataset(snakemake.output[0], progress(images, count(spec, root), "images"), attributes)
    train, test = read_labels(snakemake.output[0])
    print(f"{len(train)} training and {len(test)} test images")

"""Build one data set's HDF5 file from its source."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
import time
from pathlib import Path

from reactivation.data.source_digest import ImagesDigest
from reactivation.data.sources import count, samples
from reactivation.jobs.known_images import confirm, known
from reactivation.jobs.progress import progress
from reactivation.jobs.provenance import host, provenance
from reactivation.storage.datasets import read_labels, write_dataset

with logged(snakemake):
    started, spec = time.time(), snakemake.params.spec
    source = snakemake.config["where"]["sources"][snakemake.wildcards.dataset]
    root = Path(source["root"]) if source["root"] is not None else None

    found, digest = known(spec, root), ImagesDigest(root)

    def attributes():  # called when all images are written
        confirm(spec, root, digest, snakemake.params.source_digest)
        origin = provenance(spec, snakemake.params.code, started, ("numpy", "h5py", "pillow", "matplotlib"))
        origin |= host(snakemake.config["where"])
        return {**origin, "device": "cpu", "source_digest": snakemake.params.source_digest}

    scratch = None if found is None or found.ordered else Path(snakemake.output[0]).parent
    if scratch is not None:
        print(f"{root} is not in the order of a folder's files, so its images are read first and written then")
    images = samples(spec, root, source["download"], snakemake.threads, digest, scratch)
    total = count(spec, root) if found is None else found.images
    write_dataset(snakemake.output[0], progress(images, total, "images"), attributes, spec.get("normalise"))
    train, test = read_labels(snakemake.output[0])
    print(f"{len(train)} training and {len(test)} test images")

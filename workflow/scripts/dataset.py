"""Build one data set's HDF5 file from its source."""

from reactivation.job import logged

# isort: split
import json
from pathlib import Path

from reactivation import storage
from reactivation.datasets import count, samples
from reactivation.progress import progress

with logged(snakemake.log[0]):
    spec = snakemake.params.spec
    source = snakemake.config["where"]["sources"][snakemake.wildcards.dataset]
    root = Path(source["root"]) if source["root"] is not None else None
    attributes = {"config": json.dumps(spec, sort_keys=True), "source_state": snakemake.params.source_state}
    images = samples(spec, root, source["download"], snakemake.threads)
    storage.write_dataset(snakemake.output[0], progress(images, count(spec, root), "images"), attributes)
    train, test = storage.read_labels(snakemake.output[0])
    print(f"{len(train)} training and {len(test)} test images")

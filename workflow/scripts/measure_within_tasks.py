"""Measure how well the networks of one segment's checkpoints tell the classes of each task apart."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.training.within_task import within_job

with logged(snakemake):
    within_job(
        snakemake.params.spec,
        inputs=snakemake.input,
        output=snakemake.output[0],
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

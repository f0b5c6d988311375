"""Compute the kernels of every checkpoint of one segment."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.training.kernels_job import kernels_job

with logged(snakemake):
    kernels_job(
        snakemake.wildcards.segment,
        snakemake.wildcards.kernels,
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        output=snakemake.output[0],
        resources=snakemake.resources,
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

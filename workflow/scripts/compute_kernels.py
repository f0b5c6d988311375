"""Compute the kernels of every checkpoint of one segment."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.training.kernels_job import kernels_job

snakemake: Any

with logged(snakemake.log[0]):
    kernels_job(
        snakemake.wildcards.segment,
        snakemake.wildcards.kernels,
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        output=snakemake.output[0],
        resources=snakemake.resources,
        device=snakemake.config["where"]["device"],
        threads=snakemake.threads,
    )

"""Measure how far a linearised twin and its network are apart at every checkpoint."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.training.function_distance import function_job

snakemake: Any

with logged(snakemake.log[0]):
    function_job(
        snakemake.params.spec,
        inputs=snakemake.input,
        output=snakemake.output[0],
        device=snakemake.config["where"]["device"],
        threads=snakemake.threads,
    )

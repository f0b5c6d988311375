"""Compare the kernels of untrained networks of each width with those of the next."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.training.widths_job import widths_job

snakemake: Any

with logged(snakemake.log[0]):
    widths_job(
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        outputs=snakemake.output,
        resources=snakemake.resources,
        device=snakemake.config["where"]["device"],
        threads=snakemake.threads,
    )

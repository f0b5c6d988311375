"""Compare the kernels of untrained networks of each width with those of the next."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.training.widths_job import widths_job

with logged(snakemake):
    widths_job(
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        outputs=snakemake.output,
        resources=snakemake.resources,
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

"""Train one segment; keep its checkpoints, its log and its provenance."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.training.train_job import train_job

with logged(snakemake):
    train_job(
        snakemake.wildcards.segment,
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        outputs=snakemake.output,
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

"""Train one segment; keep its checkpoints, its log and its provenance."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.training.train_job import train_job

snakemake: Any

with logged(snakemake.log[0]):
    train_job(
        snakemake.wildcards.segment,
        snakemake.params.spec,
        snakemake.params.code,
        inputs=snakemake.input,
        outputs=snakemake.output,
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

"""Measure how far a linearised twin and its network are apart at every checkpoint."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.training.function_distance import function_job

with logged(snakemake):
    function_job(
        snakemake.params.spec,
        inputs=snakemake.input,
        output=snakemake.output[0],
        where=snakemake.config["where"],
        threads=snakemake.threads,
    )

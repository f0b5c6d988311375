"""Compute all metrics of one run."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from pathlib import Path

from reactivation.analysis.run_table import run_table
from reactivation.analysis.twin_table import twin_table
from reactivation.jobs.workplace import forget
from reactivation.storage.files import read_json
from reactivation.storage.imported import read_imported
from reactivation.storage.kernels import read_kernels
from reactivation.storage.rows import EVALUATION, FUNCTION, read_rows, write_rows
from reactivation.storage.within import WITHIN


def of_trainings(spec: Any, made: Any) -> tuple[list[dict], dict | None]:
    """Rows of a run of networks or linearised twins; and where it diverged, or None."""
    for path in map(Path, [*made.kernels, *made.functions]):
        for kind in ("train", path.stem):
            forget(path.parent.name, kind)  # Snakemake has recorded it, or it would not have started this job
    kernels = [read_kernels(path) for path in made.kernels]
    evaluations, within, of_networks, functions = (
        [read_rows(path, columns) for path in made[name]]
        for name, columns in (
            ("evaluations", EVALUATION),
            ("within", WITHIN),
            ("of_networks", EVALUATION),
            ("functions", FUNCTION),
        )
    )
    records = [read_json(path) for path in made.records]
    diverged = [found for of_segment in (*records, *kernels) if (found := of_segment["diverged"])]
    first = min(diverged, key=lambda found: found["step"], default=None)
    if functions:
        return twin_table(spec, evaluations, of_networks, functions, first), first
    return run_table(spec, kernels, evaluations, first, within), first


with logged(snakemake):
    spec, made, first = snakemake.params.spec, snakemake.input, None
    if given := made.get("given"):
        rows = run_table(spec, read_imported(given, spec["kernels"]), [])
    else:
        rows, first = of_trainings(spec, made)
    write_rows(snakemake.output[0], rows)
    print(f"{len(rows)} rows" + (f", diverged in step {first['step']}" if first else ""))

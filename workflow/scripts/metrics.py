"""Compute all metrics of one run."""

from reactivation.job import logged

# isort: split
from pathlib import Path

from reactivation import storage
from reactivation.state import forget
from reactivation.tables import run_table

with logged(snakemake.log[0]):
    for path in map(Path, snakemake.input.kernels):
        for kind in ("train", path.stem):
            forget(path.parent.name, kind)  # Snakemake has taken note of it, or would not have started this job
    kernels = [storage.read_kernels(path) for path in snakemake.input.kernels]
    evaluations = [storage.read_evaluation(path) for path in snakemake.input.evaluations]
    records = [storage.read_json(path) for path in snakemake.input.records]
    diverged = [found for of_segment in (*records, *kernels) if (found := of_segment["diverged"])]
    first = min(diverged, key=lambda found: found["step"], default=None)
    rows = run_table(snakemake.params.spec, kernels, evaluations, first)
    storage.write_rows(snakemake.output[0], rows)
    print(f"{len(rows)} rows" + (f", diverged in step {first['step']}" if first else ""))

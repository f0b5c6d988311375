"""Compute all metrics of one run."""

from reactivation.job import logged

# isort: split
from pathlib import Path

from reactivation import storage
from reactivation.state import forget
from reactivation.tables import before, run_table, tidy
from reactivation.twins import twin_rows

with logged(snakemake.log[0]):
    for path in map(Path, snakemake.input.kernels):
        for kind in ("train", path.stem):
            forget(path.parent.name, kind)  # Snakemake has taken note of it, or would not have started this job
    for path in map(Path, snakemake.input.functions):
        forget(path.parent.name, "train")
    spec, kernels = snakemake.params.spec, [storage.read_kernels(path) for path in snakemake.input.kernels]
    evaluations, of_networks, functions = (
        [storage.read_rows(path, columns) for path in snakemake.input[name]]
        for name, columns in (
            ("evaluations", storage.EVALUATION),
            ("of_networks", storage.EVALUATION),
            ("functions", storage.FUNCTION),
        )
    )
    records = [storage.read_json(path) for path in snakemake.input.records]
    diverged = [found for of_segment in (*records, *kernels) if (found := of_segment["diverged"])]
    first = min(diverged, key=lambda found: found["step"], default=None)
    if functions:
        tests = [[before(first, rows) for rows in of] for of in (evaluations, of_networks, functions)]
        rows = tidy(spec, list(twin_rows(spec, *tests)), first)
    else:
        rows = run_table(spec, kernels, evaluations, first)
    storage.write_rows(snakemake.output[0], rows)
    print(f"{len(rows)} rows" + (f", diverged in step {first['step']}" if first else ""))

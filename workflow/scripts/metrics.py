"""Compute all metrics of one run."""

from reactivation.job import logged

# isort: split
from reactivation import storage
from reactivation.tables import run_table

with logged(snakemake.log[0]):
    kernels = [storage.read_kernels(path) for path in snakemake.input.kernels]
    evaluations = [storage.read_evaluation(path) for path in snakemake.input.evaluations]
    rows = run_table(snakemake.params.spec, kernels, evaluations)
    storage.write_rows(snakemake.output[0], rows)
    print(f"{len(rows)} rows")

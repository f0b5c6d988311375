"""What each task of each run does to the kernel, in numbers; and the accuracy matrices."""

from reactivation.job import logged

# isort: split
from pathlib import Path

from reactivation import storage
from reactivation.switches import COLUMNS, accuracy_rows, static_errors, switch_rows

FILES = ("task", "segment", "kernels", "function", "dataset", "split", "probe")

with logged(snakemake.log[0]):
    runs, switches, accuracies, files = snakemake.params.spec, [], [], []
    twins, errors = {spec["twin"] for spec in runs.values()}, {}
    for path in snakemake.input:
        table, run = storage.read_tables([path]), Path(path).stem
        spec = runs[run]
        about = {"run": run, "experiment": spec["experiment"], **spec["axes"], "seed": spec["seed"]}
        if run in twins:
            errors[run] = static_errors(table)
        switches += [about | row for row in switch_rows(table, spec["dt"])]
        files += [about | {"task": k} | of_task for k, of_task in enumerate(spec["files"], start=1)]
        accuracies += [about | row for row in accuracy_rows(table)]
    # A twin's table may come after its network's.
    switches = [row | errors.get(runs[row["run"]]["twin"], {}).get(row["task"], {}) for row in switches]
    axes = dict.fromkeys(axis for spec in runs.values() for axis in spec["axes"])
    columns = ["run", "experiment", *axes, "seed"]
    storage.write_rows(snakemake.output.switches, switches, [*columns, *COLUMNS])
    storage.write_rows(snakemake.output.accuracy, accuracies, [*columns, "trained", "task", "test_accuracy"])
    storage.write_rows(snakemake.output.files, files, [*columns, *FILES])
    print(f"{len(runs)} runs, {len(switches)} rows")

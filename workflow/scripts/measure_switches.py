"""Write what each task of each run does to the kernel, in numbers; accuracy matrices; where each run's files are."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from pathlib import Path

from reactivation.analysis.switches import study_rows
from reactivation.storage.headers import ACCURACY, FILES, SWITCHES
from reactivation.storage.rows import write_rows
from reactivation.storage.tables import read_tables

with logged(snakemake):
    runs, output = snakemake.params.spec, snakemake.output
    tables = ((Path(path).stem, read_tables([path])) for path in snakemake.input)
    switches, accuracies, files = study_rows(runs, tables)
    axes = dict.fromkeys(axis for spec in runs.values() for axis in spec["axes"])
    about = ["run", "experiment", *axes, "seed"]
    write_rows(output.switches, switches, [*about, *SWITCHES])
    write_rows(output.accuracy, accuracies, [*about, *ACCURACY])
    write_rows(output.files, files, [*about, *FILES])
    print(f"{len(runs)} runs, {len(switches)} rows")

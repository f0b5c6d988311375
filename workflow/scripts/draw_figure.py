"""Draw one figure; write the numbers that it shows, and its provenance."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
import json
import time
from pathlib import Path

from reactivation.figures import layout
from reactivation.figures.origin import excerpt, metadata
from reactivation.figures.overlaid import with_others
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.figures.words import mixed
from reactivation.jobs.bound import made_with
from reactivation.jobs.provenance import host, provenance, without_folders
from reactivation.storage.files import atomic, file_digest, write_json
from reactivation.storage.tables import read_tables

PACKAGES = ("matplotlib", "numpy", "pandas")

with logged(snakemake):
    started = time.time()
    spec, output, name = snakemake.params.spec, snakemake.output, snakemake.wildcards.figure
    runs = read_tables(snakemake.input.runs)
    tables = list(snakemake.input.get("others", []))
    drawn, diverged = with_others(spec, shown(spec, runs), tables), diverged_runs(spec, runs)
    scales = read_tables([snakemake.input.beside], "mean") if spec["beside"] else None
    behind = made_with(snakemake.input)
    figure = layout.draw(spec, drawn, spans(spec, runs), diverged, scales, mixed(behind))
    config = without_folders(excerpt(snakemake.config, name))
    origin = provenance(config, snakemake.params.code, started, PACKAGES)
    origin |= {**host(snakemake.config["where"]), "device": "cpu", "made_with": json.dumps(behind)}
    for path in (output.pdf, output.png):
        with atomic(path) as temporary:
            layout.save(figure, temporary, metadata(path, f"{config['study']}: {name}", origin))
    with atomic(output.csv) as temporary:
        drawn.to_csv(temporary, index=False)
    write_json(
        output.origin,
        {
            **origin,
            "config": config,
            "runs": {Path(path).stem: file_digest(path) for path in snakemake.input.runs},
            **({"others": [{"name": Path(of).name, "sha256": file_digest(of)} for of in tables]} if tables else {}),
            "diverged": diverged["diverged"],
            "left_out": diverged["left_out"],
            "files": {Path(path).name: file_digest(path) for path in (output.pdf, output.png, output.csv)},
        },
    )

"""Draw one figure; write the numbers that it shows, and where it comes from."""

from reactivation.job import logged

# isort: split
import time
from pathlib import Path

from reactivation import files, plots, storage
from reactivation.provenance import provenance
from reactivation.shown import diverged_runs, shown, spans
from reactivation.sidecar import excerpt, metadata

PACKAGES = ("matplotlib", "numpy", "pandas")

with logged(snakemake.log[0]):
    started = time.time()
    spec, output, name = snakemake.params.spec, snakemake.output, snakemake.wildcards.figure
    runs = storage.read_tables(snakemake.input.runs)
    drawn, diverged = shown(spec, runs), diverged_runs(spec, runs)
    scales = storage.read_tables([snakemake.input.beside], "mean") if spec["beside"] else None
    figure = plots.draw(spec, drawn, spans(spec, runs), diverged, scales)
    config = excerpt(snakemake.config, name)
    origin = provenance(config, snakemake.params.code, started, PACKAGES) | {"device": "cpu"}
    for path in (output.pdf, output.png):
        with files.atomic(path) as temporary:
            plots.save(figure, temporary, metadata(path, f"{config['study']}: {name}", origin))
    with files.atomic(output.csv) as temporary:
        drawn.to_csv(temporary, index=False)
    storage.write_json(
        output.origin,
        {
            **origin,
            "config": config,
            "runs": {Path(path).stem: files.file_digest(path) for path in snakemake.input.runs},
            "diverged": diverged["diverged"],
            "left_out": diverged["left_out"],
            "files": {Path(path).name: files.file_digest(path) for path in (output.pdf, output.png, output.csv)},
        },
    )

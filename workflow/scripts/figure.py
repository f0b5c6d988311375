"""Draw one figure, and write the numbers that it shows."""

from reactivation.job import logged

# isort: split
import time
from pathlib import Path

from reactivation import files, plots, storage
from reactivation.provenance import provenance
from reactivation.shown import divergence, note, shown, spans

PACKAGES = ("matplotlib", "numpy", "pandas")


def written() -> dict:
    """What the user's config says of all that the figure shows."""
    config, spec = snakemake.config, snakemake.params.spec
    names = [name for name in (snakemake.wildcards.figure, spec["beside"]) if name]
    figures = {name: config["figures"][name] for name in names}
    experiments = {panel["experiment"]: config["experiments"][panel["experiment"]] for panel in spec["panels"]}
    datasets = {of["dataset"]: config["datasets"][of["dataset"]] for of in experiments.values()}
    shared = {key: config[key] for key in ("study", "seeds")}
    return {**shared, "datasets": datasets, "experiments": experiments, "figures": figures}


with logged(snakemake.log[0]):
    started = time.time()
    spec, output = snakemake.params.spec, snakemake.output
    runs = storage.read_tables(snakemake.input.runs)
    drawn = shown(spec, runs)
    scales = storage.read_tables([snakemake.input.beside], "mean") if spec["beside"] else None
    figure = plots.draw(spec, drawn, spans(spec, runs), scales, note(runs))
    origin = provenance(written(), snakemake.params.code, started, PACKAGES) | {"device": "cpu"}
    title = f"{snakemake.config['study']}: {snakemake.wildcards.figure}"
    for path in (output.pdf, output.png):
        with files.atomic(path) as temporary:
            plots.save(figure, temporary, title, origin)
    with files.atomic(output.csv) as temporary:
        drawn.to_csv(temporary, index=False)
    diverged, left_out = divergence(runs)
    storage.write_json(
        output.origin,
        {
            **origin,
            "config": written(),
            "runs": {Path(path).stem: files.file_digest(path) for path in snakemake.input.runs},
            "diverged": list(diverged),
            "left_out": left_out,
            "files": {Path(path).name: files.file_digest(path) for path in (output.pdf, output.png, output.csv)},
        },
    )

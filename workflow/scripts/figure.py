"""Draw one figure, and write the numbers that it shows."""

from reactivation.job import logged

# isort: split
from reactivation import plots, storage
from reactivation.shown import note, shown, spans

with logged(snakemake.log[0]):
    spec, output = snakemake.params.spec, snakemake.output
    runs = storage.read_tables(snakemake.input.runs)
    drawn = shown(spec, runs)
    scales = storage.read_tables([snakemake.input.beside]) if spec["beside"] else None
    figure = plots.draw(spec, drawn, spans(spec, runs), scales, note(runs))
    for path in (output.pdf, output.png):
        with storage.atomic(path) as temporary:
            plots.save(figure, temporary)
    with storage.atomic(output.csv) as temporary:
        drawn.to_csv(temporary, index=False)

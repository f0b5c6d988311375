"""Put the metrics of all runs into one page that draws them."""

from reactivation.job import logged

# isort: split
from reactivation import files
from reactivation.curves import compact, explore_page

with logged(snakemake.log[0]):
    curves = compact(snakemake.input.runs)
    text = explore_page(snakemake.params.study, curves)
    files.write_text(snakemake.output[0], text)
    print(f"{len(curves['runs'])} runs, {len(text.encode()) / 1e6:.1f} MB")

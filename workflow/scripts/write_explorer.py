"""Put the metrics of all runs into one page that draws them."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.report.explore import compact, explore_page
from reactivation.storage.files import write_text

snakemake: Any

with logged(snakemake.log[0]):
    curves = compact(snakemake.input.runs)
    text = explore_page(snakemake.params.study, curves, snakemake.params.words, snakemake.params.logarithmic)
    write_text(snakemake.output[0], text)
    print(f"{len(curves['runs'])} runs, {len(text.encode()) / 1e6:.1f} MB")

"""Put the metrics of all runs into one page that draws them."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.report.explore import compact, explore_page
from reactivation.storage.files import write_text

with logged(snakemake):
    curves = compact(snakemake.input.runs)
    text = explore_page(snakemake.params.study, curves, snakemake.params.words, snakemake.params.logarithmic)
    write_text(snakemake.output[0], text)
    print(f"{len(curves['runs'])} runs, {len(text.encode()) / 1e6:.1f} MB")

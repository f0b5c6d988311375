"""Test the paper's claims, and draw what was found."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
import time

from reactivation.analysis.claims_text import markdown
from reactivation.analysis.verdicts import claims_rows
from reactivation.figures import forest, layout
from reactivation.figures.origin import metadata
from reactivation.figures.words import mixed
from reactivation.jobs.bound import made_with
from reactivation.jobs.provenance import host, provenance, without_folders
from reactivation.storage.files import atomic, write_text
from reactivation.storage.headers import CLAIMS
from reactivation.storage.rows import write_rows
from reactivation.storage.tables import read_table

PACKAGES = ("matplotlib", "numpy", "pandas", "scipy")

with logged(snakemake):
    started = time.time()
    claims, study, output = snakemake.params.spec, snakemake.params.study, snakemake.output
    table, behind = read_table(snakemake.input.table), made_with(snakemake.input)
    judged = claims_rows(table, claims)
    write_rows(output.csv, [row for found in judged for row in found], CLAIMS)
    write_text(output.md, markdown(judged, table, study, claims))
    config = without_folders({"study": study, "claims": snakemake.config.get("claims", {})})
    origin = provenance(config, snakemake.params.code, started, PACKAGES) | host(snakemake.config["where"])
    figure = forest.draw(judged, study, claims, mixed(behind))
    for path in (output.pdf, output.png):
        with atomic(path) as temporary:
            layout.save(figure, temporary, metadata(path, f"{study}: claims", origin))
    for first, *_ in judged:
        print(f"{first['claim']:>2}  {first['kernel']:<5}  {first['verdict']:<12}  {first['statement']}")

"""Test the paper's claims."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.analysis.verdicts import claims_rows, markdown
from reactivation.storage.files import write_text
from reactivation.storage.headers import CLAIMS
from reactivation.storage.rows import write_rows
from reactivation.storage.tables import read_table

with logged(snakemake):
    claims, output = snakemake.params.spec, snakemake.output
    found = claims_rows(read_table(snakemake.input.table), claims)
    write_rows(output.csv, found, CLAIMS)
    write_text(output.md, markdown(found, snakemake.params.study, claims))
    for row in {row["claim"]: row for row in found}.values():
        print(f"{row['claim']:>2}  {row['verdict']:<13}  {row['statement']}")

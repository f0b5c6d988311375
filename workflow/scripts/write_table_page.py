"""Show a table as a page: sorted by any column, searched, filtered."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
from reactivation.report import pages
from reactivation.report.columns import MEANINGS
from reactivation.storage.files import write_text
from reactivation.storage.tables import read_table

with logged(snakemake):
    table = read_table(snakemake.input[0])
    write_text(snakemake.output[0], pages.table_page(snakemake.wildcards.table, table, MEANINGS))
    print(f"{len(table)} rows")

"""Show a table as a page: sorted by any column, searched, filtered."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

from reactivation.report import pages
from reactivation.report.columns import MEANINGS
from reactivation.storage.files import write_text
from reactivation.storage.tables import read_table

snakemake: Any

with logged(snakemake.log[0]):
    table = read_table(snakemake.input[0])
    write_text(snakemake.output[0], pages.table_page(snakemake.wildcards.table, table, MEANINGS))
    print(f"{len(table)} rows")

"""Show a table as a page: sorted by any column, searched, filtered."""

from reactivation.job import logged

# isort: split
from reactivation import files, pages, storage
from reactivation.explained import COLUMNS

with logged(snakemake.log[0]):
    table = storage.read_table(snakemake.input[0])
    with files.atomic(snakemake.output[0]) as temporary:
        temporary.write_text(pages.table_page(snakemake.wildcards.table, table, COLUMNS), encoding="utf-8")
    print(f"{len(table)} rows")

"""Show a table as a page: sorted by any column, searched, filtered."""

from reactivation.job import logged

# isort: split
from reactivation import files, pages, storage
from reactivation.explained import COLUMNS

with logged(snakemake.log[0]):
    table = storage.read_table(snakemake.input[0])
    files.write_text(snakemake.output[0], pages.table_page(snakemake.wildcards.table, table, COLUMNS))
    print(f"{len(table)} rows")

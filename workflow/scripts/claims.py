"""Test the paper's claims."""

from reactivation.job import logged

# isort: split
from reactivation import files, storage
from reactivation.verdicts import COLUMNS, claims_rows, markdown

with logged(snakemake.log[0]):
    claims, output = snakemake.params.spec, snakemake.output
    found = claims_rows(storage.read_table(snakemake.input.table), claims)
    storage.write_rows(output.csv, found, COLUMNS)
    files.write_text(output.md, markdown(found, snakemake.params.study, claims))
    for row in {row["claim"]: row for row in found}.values():
        print(f"{row['claim']:>2}  {row['verdict']:<13}  {row['statement']}")

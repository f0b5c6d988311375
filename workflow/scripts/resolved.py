"""Write the study's config with every default filled in: as YAML that loads again, and as a page of the report."""

from reactivation.job import logged

# isort: split
import yaml
from reactivation import files, pages

with logged(snakemake.log[0]):
    study = snakemake.config["report"]["study"]
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=110)
    files.write_text(snakemake.output.yaml, text)
    files.write_text(snakemake.output.html, pages.config_page(study["study"], text))

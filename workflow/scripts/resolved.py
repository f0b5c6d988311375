"""Write the study's config with every default filled in: as YAML that loads again, and as a page of the report."""

from reactivation.job import logged

# isort: split
import yaml
from reactivation import files, pages

with logged(snakemake.log[0]):
    study = snakemake.config["report"]["study"]
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=110)
    with files.atomic(snakemake.output.yaml) as temporary:
        temporary.write_text(text, encoding="utf-8")
    with files.atomic(snakemake.output.html) as temporary:
        temporary.write_text(pages.config_page(study["study"], text), encoding="utf-8")

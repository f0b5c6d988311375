"""Write the study's config with every default filled in: as YAML that can be loaded again, and as a page."""

from reactivation.jobs.job import logged

# isort: split
from typing import Any

import yaml

from reactivation.report import pages
from reactivation.storage.files import write_text

snakemake: Any

with logged(snakemake.log[0]):
    study = snakemake.config["report"]["study"]
    text = yaml.safe_dump(study, sort_keys=False, allow_unicode=True, width=110)
    write_text(snakemake.output.yaml, text)
    write_text(snakemake.output.html, pages.config_page(study["study"], text))

"""Write the study's config with every default filled in: as YAML that can be loaded again, and as a page."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import logged

# isort: split
import yaml

from reactivation.jobs.provenance import without_folders
from reactivation.report import pages
from reactivation.storage.accepted import history
from reactivation.storage.files import write_text


def text(config: dict[str, Any]) -> str:
    return yaml.safe_dump(config, sort_keys=False, allow_unicode=True, width=110)


with logged(snakemake):
    study = snakemake.config["report"]["study"]
    write_text(snakemake.output.yaml, text(study))
    write_text(snakemake.output.html, pages.config_page(study["study"], text(without_folders(study)), history()))

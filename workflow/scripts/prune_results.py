"""List the results that no study's config names; delete them if asked to."""

from reactivation.jobs.job import tell

# isort: split
import sys
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.planning.prune import prune
from reactivation.study.load import as_given

snakemake: Any

PARAMS = snakemake.params
try:
    text = prune(as_given(snakemake.config), [Path(path) for path in PARAMS.configs], PARAMS.given, PARAMS.delete)
    tell(text, snakemake.log[0])
except InputError as error:
    sys.exit(f"error: {error}")

"""List the results that no study's config names; delete them if asked to."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import tell

# isort: split
from pathlib import Path

from reactivation.errors import InputError
from reactivation.planning.prune import prune
from reactivation.study.load import as_given

PARAMS = snakemake.params
try:
    text = prune(as_given(snakemake.config), [Path(path) for path in PARAMS.configs], PARAMS.given, PARAMS.delete)
    tell(text, snakemake.log[0])
except InputError as error:
    sys.exit(f"error: {error}")

"""List, and if asked to delete, what no study's config names."""

import sys
from pathlib import Path

from reactivation.errors import InputError
from reactivation.prune import prune

PARAMS = snakemake.params
config = {key: value for key, value in snakemake.config.items() if key != "where"}
try:
    print(prune(config, [Path(path) for path in PARAMS.configs], PARAMS.given, PARAMS.delete))
except InputError as error:
    sys.exit(f"error: {error}")

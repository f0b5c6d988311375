"""List what no study config names, or delete it."""

import sys
from pathlib import Path

from reactivation.errors import InputError
from reactivation.prune import prune

given = [Path(name) for name in snakemake.params.configs]
known = sorted(path for path in Path("config").glob("*.yaml") if path.name != "schema.yaml")
configs = list({path.resolve(): path for path in [*known, *given]}.values())
try:
    for line in prune(configs, snakemake.params.delete):
        print(line)
except InputError as error:
    sys.exit(f"error: {error}")

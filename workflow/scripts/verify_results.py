"""Compare results with what was written and with what this code makes; take them for current if asked to."""

import sys
from typing import Any

snakemake: Any
sys.path.insert(0, snakemake.scriptdir)  # before any other copy of the library

from reactivation.jobs.job import tell

# isort: split
import contextlib

from reactivation.errors import InputError
from reactivation.planning.nested import Call
from reactivation.planning.verify import verify

PARAMS = dict(snakemake.params.items())
least, accept, study = (PARAMS.pop(key) for key in ("sample", "accept", "study"))
said = []
try:
    for line in verify(Call(**PARAMS), least, accept, study):
        print(line, flush=True)
        said.append(line)
except InputError as error:
    sys.exit(f"error: {error}")
except KeyboardInterrupt:
    sys.exit("stopped: nothing was accepted")
with contextlib.redirect_stdout(None):  # said already
    tell("\n".join(said), snakemake.log[0])

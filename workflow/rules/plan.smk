"""From the config to the plan, which every other rule file looks up by wildcard.

Reads: the config file. Defines: STUDY (the checked config), PLAN (its runs, segments, kernels and figures by name) and
DELETE (whether `prune` is to delete). What determines a result reaches a rule through `params`, which Snakemake tracks.
The device and the place of raw data (`config["where"]`) are not tracked: a study that moves to another disk or to a GPU
is the same study.
"""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

from reactivation.jobs.fingerprint import fingerprint
from reactivation.planning.plan import make_plan, sources
from reactivation.planning.strays import mark_incomplete, unrecorded
from reactivation.study.load import ConfigError, load_study
from reactivation.study.reserved import TOOLS

config_texts = [Path(name).read_text(encoding="utf-8") for name in workflow.configfiles]

# Not a key of config files: `prune` deletes only if the command line says so.
DELETE = False
if "delete" in workflow.config_settings.config and "prune" in sys.argv:
    # On the command line, true and false are text.
    DELETE = {"true": True, "false": False}.get(str(config["delete"]).lower())
    if DELETE is None:
        raise WorkflowError(f"delete: should be true or false (it is {config['delete']!r})")
    del config["delete"]

try:
    STUDY = load_study(config, ", ".join(map(str, workflow.configfiles)) or "config", config_texts)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

PLAN = make_plan(STUDY)

# `--touch` records results that the user knows to be right; the other words make no results.
MAKE_NONE = "|".join(["--touch", "-[A-Za-z]*t", "--unlock", *TOOLS])
if workflow.is_main_process and not any(re.fullmatch(MAKE_NONE, word) for word in sys.argv):
    strays, unnoted = unrecorded(PLAN, STUDY.study)
    mark_incomplete(unnoted)
    if strays:
        raise WorkflowError(
            f"{strays[0]}{f' and {len(strays) - 1} more' if strays[1:] else ''}: .snakemake has no record of the code "
            "and config that made this, so a change of them would go unnoticed. Copy .snakemake/metadata along with "
            "results; or delete the results; or, if you know that this code and config made them, record that: "
            "snakemake --touch --forceall --cores 1"
        )
config["where"] = {"device": STUDY.device, "save_every": STUDY.save_every, "sources": sources(STUDY)}


wildcard_constraints:
    dataset="[^/]+",
    split="[^/]+",
    probe="[^/]+",
    segment="[^/]+",
    kernels="ntk-[^/]+",
    function="function-[^/]+",
    run="[^/]+",
    convergence="[^/]+",
    table="[^/]+",

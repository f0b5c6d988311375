"""From the config to the plan, which every other rule file looks up by wildcard.

Reads: the config file. Defines: STUDY (the checked config), PLAN (its runs, segments, kernels and figures by name) and
DELETE (whether `prune` is to delete). What determines a result reaches a rule through `params`, which Snakemake tracks.
`config["where"]`, such as the device and the place of raw data, is not tracked: a study that moves to another disk or
to a GPU is the same study.
"""

import os
import os
import re
import sys
import time
from pathlib import Path

from snakemake.exceptions import WorkflowError

from reactivation.errors import InputError
from reactivation.jobs.code_digest import PLANNED
from reactivation.jobs.fingerprint import SOURCES, fingerprint, planned_code
from reactivation.jobs.provenance import COMMIT, git_commit
from reactivation.planning.binding import CALL
from reactivation.planning.plan import make_plan, sources
from reactivation.planning.stale import FIRST
from reactivation.storage.accepted import pending
from reactivation.planning.strays import mark_incomplete, unrecorded
from reactivation.storage.files import check_writable
from reactivation.study.load import ConfigError, load_study
from reactivation.study.reserved import RULES, TOOLS

# As in the user's call, for messages that name a command.
CONFIGFILES = "".join(f" --configfile {os.path.relpath(path)}" for path in workflow.config_settings.configfiles)
os.environ.setdefault(CALL, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) + f" {os.getpid()}")
config_texts = [Path(name).read_text(encoding="utf-8") for name in workflow.configfiles]

# Not a key of config files: `prune` deletes only if the command line says so.
DELETE = False
if "delete" in workflow.config_settings.config and "prune" in sys.argv:
    # On the command line, true and false are text.
    DELETE = {"true": True, "false": False}.get(str(config["delete"]).lower())
    if DELETE is None:
        raise WorkflowError(f"delete: should be true or false (it is {config['delete']!r})")
    del config["delete"]

# Nor are these keys of config files: how many results `verify` makes again, and of which rules it accepts results.
SAMPLE, ACCEPT = 3, []
if "verify" in sys.argv:
    given = {key: config.pop(key) for key in ("sample", "accept") if key in workflow.config_settings.config}
    SAMPLE, accept = given.get("sample", SAMPLE), str(given.get("accept", "false"))
    if type(SAMPLE) is not int or SAMPLE < 0:
        raise WorkflowError(f"sample: should be a number of results, 0 or more (it is {SAMPLE!r})")
    ACCEPT = {"true": list(RULES), "false": []}.get(accept.lower(), accept.split(","))
    if not set(ACCEPT) <= set(RULES):
        raise WorkflowError(f"accept: should be true, false, or rules as in dataset,split,train (it is {accept!r})")
    if ACCEPT and not SAMPLE:
        raise WorkflowError("sample: 0 is no evidence, so nothing can be accepted: leave it out, or ask for 1 or more")

try:
    STUDY = load_study(config, ", ".join(map(str, workflow.configfiles)) or "config", config_texts)
    PLAN = make_plan(STUDY)
except (ConfigError, InputError) as error:
    raise WorkflowError(str(error)) from None

# In a folder of results that `verify` makes again to compare them.
IN_SAMPLE = FIRST in os.environ and ".verify" in Path.cwd().parts
# `--touch` records results that the user knows to be right; the other words make no results.
MAKE_NONE = "|".join(["--touch", "-[A-Za-z]*t", "--unlock", *TOOLS])
if workflow.is_main_process and not (IN_SAMPLE or any(re.fullmatch(MAKE_NONE, word) for word in sys.argv)):
    if pending():  # an acceptance that was killed left times by which everything would be made again
        from reactivation.planning.accept import finish

        finish()
    strays, unnoted = unrecorded(PLAN, STUDY.study)
    mark_incomplete(unnoted)
    if strays:
        raise WorkflowError(
            f"{strays[0]}{f' and {len(strays) - 1} more' if strays[1:] else ''}: .snakemake has no readable record of the code "
            "and config that made this, so a change of them would go unnoticed. Copy .snakemake/metadata along with "
            "results; or delete the results; or, if you know that this code and config made them, record that: "
            f"snakemake --touch --forceall --cores 1{CONFIGFILES}"
        )
config["where"] = {
    "device": STUDY.device,
    "save_every": STUDY.save_every,
    "record_host": STUDY.record_host,
    "sources": sources(STUDY),
    "versions": {},  # by rule, filled in by `bound`
} | ({"first": int(os.environ[FIRST])} if IN_SAMPLE else {})


def refuse_what_cannot_go_together():
    """Raise WorkflowError if a tool is called with other targets, or if images would be lost.

    Before a job runs, Snakemake deletes what it made before: a data set may be the last copy of its images.
    """
    jobs = list(workflow.dag.needrun_jobs())
    rules = {job.rule.name for job in jobs}
    if (tools := rules & set(TOOLS)) and rules - tools:
        raise WorkflowError(f"{', '.join(sorted(tools))}: call this without targets that make results")
    for job in jobs if not workflow.touch else ():
        if job.rule.name == "dataset":
            source, there = config["where"]["sources"][job.wildcards.dataset], Path(job.output[0])
            gone = source["root"] is not None and not source["download"] and not Path(source["root"]).exists()
            if gone and there.exists():
                raise WorkflowError(
                    f"{there} would be made again, but there is no {source['root']} to make it from: put its images there; "
                    f"or, if they are the same, take it for current: snakemake verify --config accept=true{CONFIGFILES}"
                )


def refuse_what_cannot_be_written():
    """Raise WorkflowError if no job could write its results; Snakemake itself would not say what to do."""
    try:
        check_writable("results")
    except InputError as error:
        raise WorkflowError(str(error)) from None


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

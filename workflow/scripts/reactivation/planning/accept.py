"""Take results for current that are the same as what this code makes: on the evidence of a sample, which is kept.

Snakemake's own `--touch` writes its records. Files get their times back afterwards, so that nothing that is made from
them, in this study or another, looks older than they.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.jobs.provenance import git_commit
from reactivation.planning.nested import Call, said
from reactivation.planning.prune import at_work
from reactivation.planning.records import adopt, rebind
from reactivation.planning.remake import STAMP, Compared
from reactivation.planning.stale import Job, Verdict
from reactivation.storage.accepted import history, keep
from reactivation.storage.files import write_json
from reactivation.storage.receipts import read_receipt, segment_of

BATCH = 2000  # files for one call: a command line has an end
BUSY = "another call of Snakemake is at work here, so nothing is accepted (if it was killed: snakemake --unlock)"


def refuse_if_busy() -> None:
    """InputError if another call holds locks here."""
    if at_work():
        raise InputError(BUSY)


def accept(call: Call, jobs: list[Job], accepted: dict[int, Verdict], compared: list[Compared], study: str) -> None:
    """Write the records that results lack, keep the evidence, and have Snakemake record results as current."""
    refuse_if_busy()
    for i, job in enumerate(jobs):
        if i in accepted or not any(job.why.values()):
            adopt(job)
    receipts = {path: of for i in accepted for path, of in rebind(jobs[i]).items()}
    times = _times(job for job in jobs if job.why)
    entry = _entry(jobs, accepted, compared, study)
    before = history()
    keep([*before, entry | {"pending": times}])
    files, done = [jobs[i].name for i in sorted(accepted)], False
    try:
        for start in range(0, len(files), BATCH):
            run = call.run(*files[start : start + BATCH], "--touch", "--cores", "1")
            if run.returncode:
                raise InputError(BUSY if "cannot be locked" in run.stdout else said(run))
        done = True
    finally:  # also after Ctrl-C
        touched = _restore(times)
        if done:
            keep([*before, entry])
        else:
            for path, receipt in receipts.items():
                write_json(path, receipt)
            keep([*before, entry | {"interrupted": True}] if touched else before)


def finish() -> None:
    """Give back their times to files that a killed call had touched, unless they have been made again since."""
    entries = history()
    if any("pending" in entry for entry in entries) and not at_work():
        for entry in entries:
            if "pending" in entry:
                _restore(entry.pop("pending"), made_again)
                entry["interrupted"] = True
        keep(entries)


def made_again(path: Path, times: dict[str, int]) -> bool:
    """Whether a result was made again since `times` were taken, by its receipt, or that of its segment."""
    folder = segment_of(path)
    owner = str(folder / "segment.json") if folder else str(path)
    receipt = read_receipt(owner)
    return receipt is None or receipt.get("mtime_ns", 0) > times.get(owner, 0)


def _times(jobs: Any) -> dict[str, int]:
    """The times of all results of jobs, and of the stamps that Snakemake puts into folders."""
    paths = [Path(path) for job in jobs for path in job.outputs]
    paths += [path / STAMP for path in paths if path.is_dir()]
    return {str(path): path.stat().st_mtime_ns for path in paths if path.exists()}


def _restore(times: dict[str, int], unless: Any = lambda *_: False) -> int:
    """Give files back their times; return the number of those that had others."""
    restored = 0
    for name, mtime in times.items():
        path = Path(name)
        with contextlib.suppress(FileNotFoundError):
            state = path.stat()
            if state.st_mtime_ns != mtime and not unless(path, times):
                os.utime(path, ns=(state.st_atime_ns, mtime))
                restored += 1
    return restored


def _entry(jobs: list[Job], accepted: dict[int, Verdict], compared: list[Compared], study: str) -> dict[str, Any]:
    """What is kept of an acceptance: when, what, why it was not current, and on what evidence."""
    rules: dict[str, int] = {}
    code: dict[str, list[str]] = {}
    for i, verdict in accepted.items():
        rules[jobs[i].rule] = rules.get(jobs[i].rule, 0) + 1
        code |= {module: list(digests) for module, digests in verdict.code.items()}
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "git_commit": git_commit(),
        "study": study,
        "results": rules,
        "code": dict(sorted(code.items())),
        "besides": sorted({words for verdict in accepted.values() for words in verdict.others}),
        "sample": [
            {
                "rule": one.rule,
                "result": one.name,
                "compared": len(one.files),
                "outcome": "within bounds" if one.loose else "equal",
            }
            for one in compared
        ],
    }

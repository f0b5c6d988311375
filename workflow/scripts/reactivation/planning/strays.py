"""Results that Snakemake would take for current because it has no record of what made them.

It keeps these records in .snakemake/, not in the results. A result without a record, as in a folder that was copied
without .snakemake/, is never made again, whatever changes.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from reactivation.jobs.workplace import ROOT
from reactivation.planning import paths
from reactivation.planning.plan import Plan

LONGEST = 254  # characters of a record's name, as in Snakemake: one less than file systems allow


def unrecorded(plan: Plan, study: str, folder: Path = Path()) -> tuple[list[str], list[str]]:
    """The plan's results that exist, are not being made, and have no record: first those of unknown origin.

    The second list has those whose job left its state: a job on a cluster made them after its Snakemake was killed.
    When they are made again, they are taken from that state, if it is from the same code and config.
    """
    there = [name for name in _results(plan, study) if (folder / name).exists()]
    found = [name for name in there if not (_is_marked(name, folder) or _is_recorded(name, folder))]
    unnoted = [name for name in found if _has_state(name, folder)]
    return [name for name in found if name not in unnoted], unnoted


def mark_incomplete(names: list[str], folder: Path = Path()) -> None:
    """Mark results as Snakemake marks those of a job that it starts, so that a later call makes them again."""
    for name in names:
        path = _place(name, folder / ".snakemake/incomplete")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"external_jobid": null}')


def _place(name: str, records: Path) -> Path:
    """Where Snakemake keeps what it notes of a result: named by its path in base 64, cut into folders if too long."""
    code = urlsafe_b64encode(name.encode()).decode()
    *above, last = (code[i : i + LONGEST] for i in range(0, len(code), LONGEST))
    return records.joinpath(*(f"@{part}" for part in above), last)


# Asked in this order: when a job ends, Snakemake writes its record before it removes the mark that the job runs.
def _is_marked(name: str, folder: Path) -> bool:
    return _place(name, folder / ".snakemake/incomplete").exists()


def _is_recorded(name: str, folder: Path) -> bool:
    """Whether there is a whole record: Snakemake would also take an empty one, as a power cut leaves it, for one."""
    try:
        record = json.loads(_place(name, folder / ".snakemake/metadata").read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and {"params", "input"} <= record.keys()


def _has_state(name: str, folder: Path) -> bool:
    path = Path(name)
    return path.parts[1] == "segments" and (folder / ROOT / path.parts[2]).is_dir()


def _results(plan: Plan, study: str) -> Iterator[str]:
    """One file of each job."""
    yield from (paths.DATASET.format(dataset=name) for name in plan.datasets)
    yield from (paths.SPLIT.format(split=name) for name in plan.splits)
    yield from (paths.PROBE.format(probe=name) for name in plan.probes)
    yield from (paths.RECORD.format(segment=name) for name in plan.segments)
    yield from map(paths.kernels, plan.kernels)
    yield from map(paths.function, plan.functions)
    yield from (paths.WITHIN.format(segment=name) for name in plan.within)
    yield from (paths.RUN.format(study=study, run=name) for name in plan.runs)
    yield from (paths.CONVERGENCE.format(study=study, convergence=name) for name in plan.convergences)
    yield from (paths.FIGURE.format(study=study, figure=name) for name in plan.figures)
    yield from (path.format(study=study) for path in (paths.SWITCHES, paths.CLAIMS, paths.EXPLORER, paths.CONFIG))

"""Results that Snakemake would take for fresh because it has no record of what made them.

It keeps these records in .snakemake/, beside the results, not in them. A result without one, such as from a folder that was
copied without .snakemake/, never runs again whatever changes.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from reactivation.jobs.workplace import ROOT
from reactivation.planning import paths
from reactivation.planning.plan import Plan

LONGEST = 254  # characters of a record's name: one less than file systems allow, as Snakemake counts


def unrecorded(plan: Plan, study: str, folder: Path = Path()) -> tuple[list[str], list[str]]:
    """Names of the plan's results that are there, that are not being made, and of which there is no record.

    Apart from the others, those whose job's state is there too: a cluster's job made them after its Snakemake was killed.
    Made again, they are taken from that state, if it is of this very code and config.
    """
    # In this order: Snakemake writes the record of a job that ends before it takes away the mark that it runs.
    there = [name for name in _results(plan, study) if (folder / name).exists()]
    if not there:
        return [], []
    marked = {*_named(folder / ".snakemake/incomplete")}
    known = marked | {*_named(folder / ".snakemake/metadata")}
    found = [name for name in there if name not in known]
    unnoted = [name for name in found if _has_state(name, folder)]
    return [name for name in found if name not in unnoted], unnoted


def mark_incomplete(names: list[str], folder: Path = Path()) -> None:
    """As Snakemake marks the results of a job that it starts: a later call makes them again."""
    for name in names:
        code = urlsafe_b64encode(name.encode()).decode()
        *above, last = (code[i : i + LONGEST] for i in range(0, len(code), LONGEST))
        path = folder.joinpath(".snakemake/incomplete", *(f"@{part}" for part in above), last)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('{"external_jobid": null}')


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
    yield from (paths.RUN.format(study=study, run=name) for name in plan.runs)
    yield from (paths.CONVERGENCE.format(study=study, convergence=name) for name in plan.convergences)
    yield from (paths.FIGURE.format(study=study, figure=name) for name in plan.figures)
    yield from (path.format(study=study) for path in (paths.SWITCHES, paths.CLAIMS, paths.EXPLORER, paths.CONFIG))


def _named(folder: Path) -> Iterator[str]:
    """Snakemake names a record by the result's path in base 64, cut into folders that begin with @ where it is long."""
    for path in folder.rglob("*"):
        if path.is_file():
            code = "".join(part.removeprefix("@") for part in path.relative_to(folder).parts)
            try:
                yield urlsafe_b64decode(code).decode()
            except ValueError:  # a file of Snakemake's own
                continue

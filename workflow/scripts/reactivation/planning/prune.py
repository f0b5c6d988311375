"""Find, and on request delete, results that no study's config names.

Only paths with names of the workflow's own form are considered, and links are neither followed nor removed. Whatever
else someone keeps in results/ stays, and so do logs.
"""

import os
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from reactivation.errors import InputError, one_line
from reactivation.jobs.workplace import ROOT
from reactivation.planning import paths
from reactivation.planning.plan import Plan, make_plan
from reactivation.storage.partial import PARTIAL, abandoned
from reactivation.storage.receipts import remove_receipts_without_results
from reactivation.study.load import ConfigError, load_study
from reactivation.study.reserved import FOLDERS
from reactivation.study.schema import Study

HALF_DELETED = ".deleted-"  # put before the name of a folder that is being deleted
# A name that ends in a hash. `left` marks what a killed job was writing, or what is half deleted.
OURS = re.compile(rf"(?P<left>{PARTIAL}|{re.escape(HALF_DELETED)})?(?P<name>.*-[0-9a-f]{{10}})(?P<suffix>\.\w+)?")
# The plan's names for what studies share, and for what each study has of its own.
SHARED = {
    Path(paths.DATASET): "datasets",
    Path(paths.SPLIT): "splits",
    Path(paths.PROBE): "probes",
    Path(paths.SEGMENT): "segments",
    ROOT / "{segment}": "segments",
}
OF_STUDY = {
    "runs": [Path(paths.RUN)],
    "convergences": [Path(paths.CONVERGENCE), Path(paths.CONVERGENCE_ORIGIN)],
    "figures": [
        *(Path(paths.FIGURE), Path(paths.FIGURE_PICTURE)),
        *(Path(paths.FIGURE_TABLE), Path(paths.FIGURE_ORIGIN)),
    ],
}


@dataclass(frozen=True)
class Item:
    """A file or folder that no config names."""

    path: Path
    bytes: int  # a file with several names counts in one item only


def load_studies(files: Iterable[Path]) -> list[Study]:
    """The studies of all config files. InputError, in one line, if one does not load: its results would be deleted."""
    studies = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
            studies.append(load_study(yaml.safe_load(text), str(path), [text]))
        except (ConfigError, yaml.YAMLError, OSError, UnicodeError) as error:
            lines = str(error).splitlines()[1:] if isinstance(error, ConfigError) else [one_line(error)]
            reason = "; ".join(line.strip() for line in lines)
            raise InputError(f"{path} does not load, so what it names is not known: {reason}") from error
    return studies


def unnamed(results: Path, studies: Iterable[Study]) -> tuple[list[Item], list[Path]]:
    """What none of `studies` names, and what is left alone nevertheless: links, and folders of other studies."""
    plans = [(study.study, _planned(study)) for study in studies]
    paths = [*_shared(results, [plan for _, plan in plans]), *_drawn(results, plans)]
    seen: set[tuple[int, int]] = set()
    top = sorted(results.iterdir()) if results.is_dir() else []  # `results` itself may be a link to a larger disk
    known = {*FOLDERS, *(name for name, _ in plans)}
    left = [path for path in top if path.is_dir() and path.name not in known and path.name[0] != "."]
    inside = [path for name in (*FOLDERS, ".state") for path in _listed(results / name)]
    left += [path for path in (*top, *inside) if path.is_symlink() and path not in left]
    return [Item(path, _bytes(path, seen)) for path in paths], left


def _planned(study: Study) -> Plan:
    try:
        return make_plan(study)
    except InputError as error:
        raise InputError(f"what the study {study.study} names is not known: {error}") from error


def _listed(folder: Path) -> list[Path]:
    """The paths in a folder; none if it is a link or missing."""
    return sorted(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _entries(folder: Path) -> list[Path]:
    """The paths in a folder, without links."""
    return [path for path in _listed(folder) if not path.is_symlink()]


def _shared(results: Path, plans: list[Plan]) -> Iterator[Path]:
    """Paths that no plan names, among those that all studies share."""
    named = {
        kind: {name for plan in plans for name in getattr(plan, kind)}
        for kind in ("datasets", "splits", "probes", "segments", "kernels", "functions")
    }
    for place, kind in SHARED.items():
        folder, suffix = place.parent.name, place.suffix or None
        yield from (path for path in _entries(results / folder) if _unnamed(path, path.name, suffix, named[kind]))
    for segment in _entries(results / "segments"):
        if segment.name in named["segments"]:
            for path in _entries(segment):
                for prefix, suffix, kind in (("ntk-", ".h5", "kernels"), ("function-", ".csv", "functions")):
                    if prefix in path.name and _unnamed(path, f"{segment.name}/{path.name}", suffix, named[kind]):
                        yield path


def _unnamed(path: Path, name: str, suffix: str | None, named: set[str]) -> bool:
    """Whether the workflow made `path`, with that suffix (None: a folder), and `name` is not in `named`."""
    *parent, last = name.rpartition("/")
    found = OURS.fullmatch(last)
    if found is None or found["suffix"] != suffix or path.is_dir() != (suffix is None):
        return False
    if (found["left"] or "").startswith(".partial-") and not abandoned(path):
        return False  # a job of another clone is writing it
    return found["left"] == HALF_DELETED or "".join([*parent, found["name"]]) not in named


def _drawn(results: Path, plans: list[tuple[str, Plan]]) -> Iterator[Path]:
    """Tables and figures in the folders of studies that no plan names."""
    for study in dict.fromkeys(name for name, _ in plans):
        if (results / study).is_symlink():
            continue
        of_study = [plan for name, plan in plans if name == study]
        for kind, places in OF_STUDY.items():
            named = {name for plan in of_study for name in getattr(plan, kind)}
            suffixes = {place.suffix for place in places}
            for path in _entries(results / study / places[0].parent.name):
                if path.suffix in suffixes and path.is_file() and path.name[0] != "." and path.stem not in named:
                    yield path


def _bytes(path: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes of a file, or of all files in a folder. A file with several names counts once: `seen` remembers it."""
    files = [path] if not path.is_dir() else [Path(at) / name for at, _, names in os.walk(path) for name in names]
    total = 0
    for state in (file.lstat() for file in files):
        if (state.st_dev, state.st_ino) not in seen:
            seen.add((state.st_dev, state.st_ino))
            total += state.st_size
    return total


def delete(items: Iterable[Item]) -> None:
    """Delete all items. A folder is renamed first, so that a half deleted one does not look whole."""
    for item in items:
        path = item.path
        try:
            if not path.is_dir():
                path.unlink()
                continue
            if not path.name.startswith(HALF_DELETED):
                path = path.with_name(HALF_DELETED + path.name)
                if path.exists():
                    shutil.rmtree(path)
                item.path.rename(path)
            shutil.rmtree(path)
        except OSError as error:
            raise InputError(f"{item.path} cannot be deleted: {error.strerror or error}") from error


def at_work(folder: Path = Path(".snakemake/locks")) -> bool:
    """Whether another call of Snakemake holds locks here, or was killed while it did."""
    return any(path.stat().st_size for path in folder.glob("*.lock"))


def prune(
    raw: dict[str, Any], files: list[Path], given: list[str], remove: bool, results: Path = Path("results")
) -> str:
    """Find results that no config names; with `remove`, delete them. Return the report.

    The configs are `raw`, that of this call, which was read from `given`, and those in `files`.
    """
    studies = [*load_studies(files), load_study(raw)]
    if remove and at_work():
        raise InputError(
            "another call of Snakemake is at work here, so nothing is deleted (if it was killed: snakemake --unlock)"
        )
    items, left = unnamed(results, studies)
    if remove:
        delete(items)
        remove_receipts_without_results(results)
    considered = dict.fromkeys([*map(str, files), *given])
    lines = [f"Everything that these configs name is kept: {', '.join(considered)}"]
    lines += [f"{_size(item.bytes):>8}  {item.path}" for item in items]
    total = f"{_size(sum(item.bytes for item in items))} in {len(items)} item{'s' * (len(items) != 1)}"
    if not items:
        lines.append("Nothing to prune.")
    elif remove:
        lines.append(f"Deleted: {total}.")
    else:
        lines.append(f"Not named: {total}. `snakemake prune --config delete=true` deletes them.")
    for path in left:
        of = (
            "a link"
            if path.is_symlink()
            else "the folder of a study that no config names; to keep its segments, name its config with --configfile"
        )
        lines.append(f"Left alone: {path} ({of})")
    return "\n".join(lines)


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB"

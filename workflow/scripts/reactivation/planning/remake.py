"""Make a few results again, in a folder of their own, and compare them with those that are there.

The folder has links to exactly the files that the jobs need. Results are written under new names and renamed, so
nothing is written through a link; what Snakemake touches is copied.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import h5py

from reactivation.errors import InputError
from reactivation.jobs.bound import is_result
from reactivation.planning.nested import Call, said
from reactivation.planning.records import adopt
from reactivation.planning.stale import FIRST, Job
from reactivation.storage.compare import NOT_COMPARED, difference
from reactivation.storage.files import read_json, reading
from reactivation.storage.partial import abandoned, temporary_name
from reactivation.storage.receipts import RESULTS, listed_files, receipt_path, segment_of

PLACE = Path(RESULTS, ".verify")
CHECKPOINTS = 4  # as many are enough, if an epoch is over by then
STAMP = ".snakemake_timestamp"  # Snakemake touches it, to give a folder a time


@dataclass(frozen=True)
class Compared:
    """A result that was made again: which of its files were compared, and the first that differs, in words."""

    rule: str
    name: str
    files: list[str]
    differs: str | None
    loose: bool  # whether numbers were compared within bounds, as on a GPU


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder that is removed at the end; so are those that killed calls left."""
    folder = temporary_name(PLACE / "sample")
    for left in PLACE.glob(".partial-*"):
        if abandoned(left):
            shutil.rmtree(left, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):  # another call is at work there
            PLACE.rmdir()


def remake(call: Call, jobs: list[Job], group: list[list[int]], folder: Path) -> list[Compared]:
    """Run a group of the sample in `folder`, and compare what it made."""
    numbers = sorted({i for one in group for i in one})
    work, call = _workplace(folder, call)
    made = {path for i in numbers for path in jobs[i].outputs}
    makers = {path: job for job in jobs for path in job.outputs}
    needed = list(dict.fromkeys(path for i in numbers for path in jobs[i].inputs if path not in made))
    for path in needed:
        _provide(Path(path), work)
    with contextlib.chdir(work):
        for path in needed:
            if path in makers:
                adopt(makers[path])  # results of an earlier release have no records
    rules = sorted({jobs[i].rule for i in numbers})
    targets = [jobs[i].name for i in numbers]
    options = ["--directory", str(work), "--cores", str(call.cores), "--notemp", "--rerun-triggers", "mtime"]
    run = call.run(*targets, *options, "--allowed-rules", *rules, **{FIRST: str(CHECKPOINTS)})
    if run.returncode:
        raise InputError(
            f"{targets[0]}{f' and {len(targets) - 1} more' * (len(targets) > 1)}: cannot be made again: {said(run)}"
        )
    return [_compare(jobs[i], work) for i in numbers]


def _workplace(folder: Path, call: Call) -> tuple[Path, Call]:
    """A folder in `folder`, and the call by which data are found from there: by a link of the same name if possible.

    Tables list kernels from elsewhere as the study names their folder.
    """
    work, root = folder / "clone", Path(call.data_root).expanduser()
    work.mkdir(parents=True, exist_ok=True)
    if root.is_absolute() or ".." in root.parts:
        return work, replace(call, config=call.config | {"data_root": str(root.resolve())})
    link = work / root
    if root.exists() and not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(root.resolve())
    return work, call


def _provide(path: Path, work: Path) -> None:
    """Link a job's input into the folder `work`, with the record by which the job checks it."""
    if path.is_absolute() or (work / path).exists():
        return
    folder = segment_of(path)
    record = Path(folder, "segment.json") if folder else path
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    for file in {*files, record, *([receipt_path(record)] if is_result(str(path)) else [])}:
        if file.is_file():
            _link(file, work / file)


def _link(file: Path, name: Path) -> None:
    name.parent.mkdir(parents=True, exist_ok=True)
    try:
        if file.name == STAMP:
            raise OSError
        os.link(file, name, follow_symlinks=True)
    except FileExistsError:
        return
    except OSError:  # no links on this file system, or between two
        shutil.copy2(file, name)


def _compare(job: Job, work: Path) -> Compared:
    loose, until = _on_gpu(job, work), math.inf
    compared: list[str] = []
    if job.rule == "train":
        words, until = _records(Path(job.name), work)
        if words:
            return Compared(job.rule, job.name, compared, f"{job.name} {words}", loose)
    for path in _comparable(job, work, loose):
        folder = segment_of(Path(path))
        entry = _entries(folder).get(Path(path).relative_to(folder).as_posix()) if folder else None
        if not Path(path).exists() and entry is None:
            continue  # deleted after use
        words = difference(work / path, Path(path), entry, loose, until, CHECKPOINTS)
        compared.append(path)
        if words:
            return Compared(job.rule, job.name, compared, f"{path} {words}", loose)
    return Compared(job.rule, job.name, compared, None, loose)


def _records(name: Path, work: Path) -> tuple[str | None, float]:
    """How the record of a training that was made again differs, in words; and the step at which it stopped early.

    It has the first of the checkpoints that were made before, CHECKPOINTS or all of them.
    """
    made, before = read_json(work / name), read_json(name)
    whole = made["final_step"] == before["final_step"]
    until = math.inf if whole else made["final_step"]
    ended = before["diverged"] if whole else None
    if made["parameters"] != before["parameters"]:
        return f"has {made['parameters']} parameters instead of {before['parameters']}", until
    if made["diverged"] != ended:
        return f"says that it diverged: {made['diverged']} instead of {ended}", until
    names, wanted = (
        sorted(key for key in record.get("outputs", {}) if key.startswith("checkpoints/")) for record in (made, before)
    )
    if wanted and (names != wanted[: len(names)] or len(names) < min(CHECKPOINTS, len(wanted))):
        return f"has other checkpoints: {', '.join(map(_step, names))} of {', '.join(map(_step, wanted))}", until
    return None, until


def _step(name: str) -> str:
    return str(int(Path(name).stem.removeprefix("step")))


def _comparable(job: Job, work: Path, loose: bool) -> list[str]:
    """The files to compare of what a job made."""
    if job.rule != "train":
        return [path for path in job.outputs if Path(path).suffix not in NOT_COMPARED]
    folder = Path(job.name).parent
    made, before = read_json(work / job.name), read_json(job.name)
    names = sorted(name for name in made["outputs"] if name.startswith("checkpoints/"))
    if loose:  # later ones drift apart
        return [str(folder / name) for name in names[:CHECKPOINTS]]
    last = ["final.pt"] if made["final_step"] == before["final_step"] else []
    return [str(folder / name) for name in (*names, *last, "evaluation.csv", "training.csv")]


def _entries(folder: Path) -> dict:
    """What a segment's record lists of its files; nothing if an earlier release wrote it."""
    try:
        return listed_files(folder / "segment.json")
    except InputError:
        return {}


def _on_gpu(job: Job, work: Path) -> bool:
    """Whether a result, or what was made again of it, says that it, or its segment, was computed on a GPU."""
    devices = set()
    for name in (job.name, str(Path(job.name).parent / "segment.json"), *job.outputs[1:2]):
        for path in (Path(name), work / name):
            if path.suffix == ".json" and path.is_file():
                devices.add(read_json(path).get("device", "cpu"))
            elif path.suffix == ".h5" and path.is_file():
                with reading(path), h5py.File(path) as file:
                    devices.add(file.attrs.get("device", "cpu"))
    return bool(devices - {"cpu"})

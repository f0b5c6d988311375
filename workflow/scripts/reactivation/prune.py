"""What lies under results/ and no study config names any more."""

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

from .config import ConfigError, load_study
from .errors import InputError
from .plan import Plan, make_plan

RESULTS = Path("results")
TRASH = RESULTS / ".state/.trash"
SHARED = {"data": ".h5", "splits": ".npz", "probes": ".npz"}


def plans(paths: Iterable[Path]) -> dict[str, list[Plan]]:
    """The plans of all study configs, by the name of the study. InputError if one of them does not load."""
    found: dict[str, list[Plan]] = {}
    for path in paths:
        try:
            text = path.read_text(encoding="utf-8")
            study = load_study(yaml.safe_load(text), str(path), [text])
        except (ConfigError, yaml.YAMLError, OSError, AttributeError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"{path} does not load, so what it needs is not known: correct or remove it ({reason})"
            ) from error
        found.setdefault(study.study, []).append(make_plan(study))
    return found


def unnamed(studies: dict[str, list[Plan]], results: Path = RESULTS) -> Iterator[Path]:
    """Everything under `results` that the studies' plans do not name: of what all studies share, and of these studies."""
    every = [plan for of_study in studies.values() for plan in of_study]
    for folder, suffix in SHARED.items():
        names = {name + suffix for plan in every for name in getattr(plan, {"data": "datasets"}.get(folder, folder))}
        yield from (path for path in _inside(results / folder) if path.name not in names)
    segments = {name for plan in every for name in plan.segments}
    kernels = {f"{name}.h5" for plan in every for name in plan.kernels}
    for folder in (results / "segments", results / ".state"):
        yield from (path for path in _inside(folder) if path.name not in segments)
    for name in sorted(segments):
        files = sorted((results / "segments" / name).glob("ntk-*.h5"))
        yield from (path for path in files if f"{name}/{path.name}" not in kernels)
    for study, of_study in sorted(studies.items()):
        for folder, what in (("runs", "runs"), ("figures", "figures")):
            names = {name for plan in of_study for name in getattr(plan, what)}
            yield from (path for path in _inside(results / study / folder) if path.stem not in names)


def other_studies(studies: Iterable[str], results: Path = RESULTS) -> list[Path]:
    """Folders of studies that no config describes."""
    known = {*studies, *SHARED, "segments", "logs", ".state"}
    return [path for path in _inside(results) if path.is_dir() and path.name not in known]


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def size(path: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes that `path` and all in it take; a file with several names counts once over all calls with the same `seen`."""
    total = 0
    inside = (Path(at) / name for at, _, names in os.walk(path) for name in names) if path.is_dir() else [path]
    for file in inside:
        stat = file.lstat()
        if (stat.st_dev, stat.st_ino) not in seen:
            seen.add((stat.st_dev, stat.st_ino))
            total += stat.st_size
    return total


def delete(path: Path) -> None:
    """Remove `path`, a symbolic link itself rather than what it leads to; killed half way, it leaves no half of it."""
    if path.is_symlink() or path.is_file():
        path.unlink()
        return
    if path != TRASH:  # which a killed call left
        TRASH.mkdir(parents=True, exist_ok=True)
        path = path.rename(TRASH / f"{os.getpid()}-{path.name}")
    shutil.rmtree(path)


def prune(configs: list[Path], delete_them: bool) -> Iterator[str]:
    """Lines on what no config names, and on what was done with it."""
    studies = plans(configs)
    yield f"{len(configs)} configs: {', '.join(map(str, configs))}"
    seen: set[tuple[int, int]] = set()
    sizes = {path: size(path, seen) for path in unnamed(studies)}
    for path, count in sizes.items():
        if delete_them:
            delete(path)
        yield f"{'deleted ' if delete_them else ''}{path}  {count / 1e6:,.1f} MB"
    for path in other_studies(studies):
        yield f"{path}: no config describes this study; its folder is left alone, but its segments are listed above"
    total = f"{len(sizes)} that no config names, {sum(sizes.values()) / 1e9:,.3g} GB"
    if not sizes:
        yield "nothing to prune: all of it is named by a config"
    elif delete_them:
        yield f"deleted: {total}"
    else:
        yield f"{total}: delete with `snakemake prune --config delete=true`"

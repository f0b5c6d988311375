"""A study into which faults are injected, and the count of what came of them: see faults.py."""

import contextlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import psutil

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(REPOSITORY / "tests/support"), str(REPOSITORY / "workflow/scripts")]

from helpers import call, changed, copy_repository  # noqa: E402

# Jobs that live for some seconds, in addition to the two that starting takes.
STUDY = changed(
    ("study", "faults"),
    ("seeds", [0]),
    ("save_every", 0.5),
    ("datasets.glyphs.image_size", 16),
    ("datasets.glyphs.train_per_class", 400),
    ("experiments.widths.grid.width", [16, 24]),
    ("experiments.widths.training", {"lr": 0.05, "epochs": 12, "batch_size": 16, "momentum": 0.9}),
    ("experiments.widths.probe.size", 32),
)


@dataclass
class Fault:
    """What came of one kind of fault."""

    name: str
    injected: int = 0
    lost: float | None = None  # seconds that one of them lost at most
    wrong: int = 0


def results(folder: Path) -> dict[str, bytes]:
    """Everything that must not differ: weights, kernels, evaluations, metrics, the numbers of figures."""
    root = folder / "results"
    found: dict[str, bytes] = {}
    for pattern in ("segments/*/checkpoints/*.pt", "segments/*/final.pt", "segments/*/evaluation.csv", "*/runs/*.csv"):
        found |= {str(path.relative_to(root)): path.read_bytes() for path in root.glob(pattern)}
    found |= {str(path.relative_to(root)): path.read_bytes() for path in root.glob("*/figures/*.csv")}
    for path in root.glob("segments/*/ntk-*.h5"):
        with h5py.File(path) as file:
            for name in ("kernels/sum", "kernels/trace", "step", "epoch"):
                found[f"{path.relative_to(root)}/{name}"] = file[name][:].tobytes()
    return found


def differing(folder: Path, wanted: dict[str, bytes]) -> int:
    """How many results differ from those wanted, are missing, or are too many."""
    found = results(folder)
    leftover = list((folder / "results").rglob(".partial-*"))
    return sum(found.get(name) != wanted.get(name) for name in found.keys() | wanted.keys()) + len(leftover)


def started(folder: Path, *arguments: str, config: dict = STUDY) -> subprocess.Popen:
    """Snakemake as a user calls it, in a process group of its own."""
    silent: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(**call(folder, *arguments, config=config), **silent)


def jobs(folder: Path, scripts: tuple[str, ...]) -> list[psutil.Process]:
    """The processes that run these scripts in `folder`, including orphans."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or [""]
        if "python" in command[0] and str(folder) in command[-1] and command[-1].endswith(scripts):
            found.append(process)
    return found


@contextlib.contextmanager
def clone() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp()).resolve() / "clone"
    copy_repository(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder.parent)


def injected(fault: Fault, wanted: dict[str, bytes], count: int, inject) -> Fault:
    """Inject a fault `count` times, in as many new folders as that takes; compare the results."""
    while fault.injected < count:
        with clone() as folder:
            inject(folder, fault, count - fault.injected)
            fault.wrong += differing(folder, wanted)
    return fault


def table(faults: list[Fault]) -> str:
    lines = ["| fault | injected | lost, at most | wrong |", "| --- | ---: | ---: | ---: |"]
    for fault in faults:
        lost = "" if fault.lost is None else f"{fault.lost:.1f} s"
        lines.append(f"| {fault.name} | {fault.injected} | {lost} | {fault.wrong} |")
    return "\n".join(lines)

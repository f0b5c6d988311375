"""One finished study for all tests that look at results, plan on them, or change a copy of them."""

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock

from helpers import changed, copy_repository, snakemake

NASTY = "*Norm* |x|_ `code` <img src=x onerror=alert(1)> </script><script>alert(2)</script> {{ 1 }} α\\b"
STUDY = changed(
    ("figures.fig4.caption", f"What to look for:\n  {NASTY}\n\nA second paragraph."),
    ("experiments.widths.metrics", {"velocity_dt": [1, 2]}),
    ("experiments.widths.layers", True),
    ("claims", {"min_seeds": 2, "velocity_spikes": {"experiment": "widths"}}),
)
WIDTHS = STUDY["experiments"]["widths"]
# Both have the segments of the narrower network of `widths`; linearised twins have their own besides.
STUDY["experiments"]["rates"] = WIDTHS | {
    "model": {"name": "cnn", "width": 2},
    "training": {"epochs": 2, "batch_size": 8},
    "grid": {"lr": [0.05]},
}
STUDY["experiments"]["twins"] = WIDTHS | {
    "grid": {"width": [2], "dynamics": ["network", "linearized"]},
}
STUDY["figures"] |= {
    "layers": {
        "experiment": "widths",
        "color": "layer",
        "panels": [{"metric": "kernel_velocity", "where": {"width": 2}}],
    },
    "figS2": {
        "experiment": "twins",
        "panels": [
            {"metric": "test_accuracy", "block": ["task1"], "color": "dynamics"},
            {"metric": "function_distance", "block": ["all", "probe"]},
            {"kind": "summary", "metric": "accuracy_error", "statistic": "last", "block": "task2", "x": "width"},
        ],
    },
}
# A table that a user put there.
TABLE = "run,velocity_ratio,holds,sentence\n" + "".join(
    f"{name},{value},{holds},{sentence}\n"
    for name, value, holds, sentence in [
        ("b", 1234567.891, "True", "<b>bold</b> & a sentence that is too long for one line of a table in a report"),
        ("a", 0.000123456, "False", "</script><script>alert(3)</script>"),
        ("c", "", "", ""),
        ("d", 9.87654321, "True", "short"),
    ]
)
EVERYTHING = ("all", "results/tiny/tables/hand.html")


def run(folder: Path) -> None:
    """Run STUDY in a new clone `folder`, and write its report."""
    copy_repository(folder)
    (folder / "results/tiny").mkdir(parents=True)
    (folder / "results/tiny/hand.csv").write_text(TABLE)
    for arguments in (["--cores", "2"], ["--report", "results/tiny/report.html"]):
        done = snakemake(folder, *EVERYTHING, *arguments, config=STUDY)
        assert done.returncode == 0, done.stdout


def finished_once(factory: pytest.TempPathFactory) -> Path:
    """This worker's copy of a folder in which STUDY has been run, by the first worker that needs it."""
    place = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        place = place.parent  # which workers share
    folder, made = place / "finished/clone", place / "finished/made"
    with FileLock(place / "finished.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            run(folder)
            made.touch()
    return shutil.copytree(folder, factory.mktemp("study") / "clone", symlinks=True)

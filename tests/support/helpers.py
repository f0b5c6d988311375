"""A tiny study, a copy of the repository to run it in, and Snakemake as a user calls it."""

import copy
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

import warm_python

REPOSITORY = Path(__file__).resolve().parents[2]

TINY = {
    "study": "tiny",
    "seeds": [0, 1],
    "device": "cpu",
    "datasets": {
        "glyphs": {
            "source": "glyphs",
            "image_size": 8,
            "classes": 4,
            "train_per_class": 12,
            "test_per_class": 4,
        }
    },
    "experiments": {
        "widths": {
            "dataset": "glyphs",
            "scenario": {"kind": "class_split", "tasks": 2, "classes_per_task": 2},
            "model": {"name": "cnn"},
            "training": {"lr": 0.05, "epochs": 2, "batch_size": 8},
            "grid": {"width": [2, 4]},
            "probe": {"size": 6},
        }
    },
    "figures": {
        "fig4": {
            "kind": "curves",
            "experiment": "widths",
            "color": "width",
            "panels": [
                {"metric": "test_accuracy", "block": ["task1", "task2"]},
                {"metric": "alignment"},
                {"metric": "kernel_distance", "reference": "init"},
                {"metric": "spectral_norm"},
                {"metric": "kernel_velocity"},
            ],
        }
    },
}


def changed(*edits: tuple[str, object], of: dict = TINY) -> dict:
    """A copy of a config with the values at dotted paths replaced; `...` as value deletes the key."""
    config = copy.deepcopy(of)
    for path, value in edits:
        *parents, last = path.split(".")
        here: Any = config
        for key in parents:
            here = here[int(key)] if isinstance(here, list) else here[key]
        if value is ...:
            del here[last]
        else:
            here[int(last) if isinstance(here, list) else last] = value
    return config


def copy_repository(folder: Path) -> Path:
    """A copy, in `folder`, of what the workflow needs of a clone, and of what Python and numba have compiled of it."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(REPOSITORY / "Snakefile", folder)
    for name in ("workflow", "config", "profiles", "slurm", "envs"):
        shutil.copytree(
            REPOSITORY / name, folder / name
        )  # with times, by which compiled code is known to be that of its source
    return folder


def call(folder: Path, *arguments: str, config: dict | None = None) -> dict:
    """What subprocess needs for `snakemake <arguments>` in `folder`, as a user calls it, with `config` as its file."""
    if config is not None:
        (folder / "study.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        arguments = (*arguments, "--configfile", "study.yaml")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MPLBACKEND": "agg"}
    return {"args": ["snakemake", *arguments], "cwd": folder, "env": environment, "stdin": subprocess.DEVNULL}


def snakemake(folder: Path, *arguments: str, config: dict | None = None) -> subprocess.CompletedProcess:
    """`snakemake <arguments>` in `folder`, with `config` as its config file; stdout has both streams.

    Snakemake and its jobs are forks of a Python that has their packages already: see `warm_python`.
    """
    called = call(folder, *arguments, config=config)
    program = shutil.which("snakemake", path=called["env"]["PATH"])
    called["args"][0:1] = [warm_python.program(), program]
    return subprocess.run(**called, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)


def flips(whole: bytes, count: int, seed: int) -> Iterator[bytes]:
    """`whole` with one bit flipped, at `count` random places, and cut off at a tenth as many."""
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, len(whole) * 8, count):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << (place % 8)
        yield bytes(damaged)
    yield from (whole[:length] for length in rng.integers(0, len(whole) - 1, count // 10))


def finished(folder: Path, config: dict, *arguments: str) -> Path:
    """A copy of the repository in `folder` in which the study `config` has been run on two cores."""
    run = snakemake(copy_repository(folder), "--cores", "2", *arguments, config=config)
    assert run.returncode == 0, run.stdout
    return folder


def own_process(code: str, folder: str = "workflow/scripts") -> str:
    """What `code` prints in a Python of its own, started in a folder of the repository."""
    run = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / folder, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


def edit(folder: Path, module: str, old: str, new: str) -> None:
    """Replace `old`, which stands there, in a module of the clone's scripts."""
    path = folder / "workflow/scripts" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def all_planned(folder: Path, *arguments: str, config: dict | None = None) -> dict[str, int]:
    """Jobs of a dry run, by rule; empty if nothing is to be done."""
    run = snakemake(folder, "-n", *arguments, config=config)
    assert run.returncode == 0, run.stdout
    return jobs_of(run.stdout)


def jobs_of(said: str) -> dict[str, int]:
    """Jobs that a run said it would do, by rule; empty if nothing is to be done."""
    if "Nothing to be done" in said:
        return {}
    table = said.split("Job stats:\n")[1].split("\n\n")[0].splitlines()[2:]
    counts = {line.split()[0]: int(line.split()[1]) for line in table}
    counts.pop("total")
    return counts


# Rules that read the tables of all runs of a study, so that they run after most changes.
PAGES = ("explore", "table", "resolved")
OF_ALL_RUNS = ("switches", "claims", *PAGES)


def planned(folder: Path, *arguments: str, config: dict | None = None) -> dict[str, int]:
    """`all_planned` without rules of all runs."""
    counts = all_planned(folder, *arguments, config=config)
    return {rule: count for rule, count in counts.items() if rule not in OF_ALL_RUNS}


# The scripts that run in each environment of envs/.
ENVIRONMENTS = {
    "data": ["build_dataset", "split_dataset", "choose_probe", "prune_results"],
    "torchvision": ["build_dataset"],
    "torch": [
        *("train_segment", "compute_kernels", "compare_functions", "measure_within_tasks", "compare_widths"),
        *("print_budget", "verify_results"),
    ],
    "analysis": ["compute_metrics", "draw_figure", "measure_switches", "judge_claims"],
    "report": ["write_explorer", "write_table_page", "write_config"],
}

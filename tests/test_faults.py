"""Kills, full disks, damage and divergence, in the real workflow."""

import json
import os
import random
import shutil
import signal
import subprocess
import time

import faults
import h5py
import numpy as np
import pandas as pd
import pytest
from helpers import TINY, changed, copy_repository, finished, planned, snakemake
from reactivation import storage
from reactivation.config import load_study
from reactivation.plan import make_plan


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The results of the study of benchmarks/faults.py, undisturbed."""
    return faults.results(finished(tmp_path_factory.mktemp("undisturbed") / "clone", faults.STUDY))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["kill -9", "SIGTERM"])
def test_killed_jobs_end_in_the_same_bits(wanted, number):
    fault, rng = faults.Fault("jobs"), random.Random(int(number))
    inject = lambda folder, fault, left: faults.kill_jobs(folder, fault, left, ("train.py", "ntk.py"), number, rng)  # noqa: E731
    faults.injected(fault, wanted, 6, inject)
    assert fault.injected >= 6 and fault.wrong == 0


@pytest.mark.parametrize("with_jobs", [True, False])
def test_after_snakemake_was_killed_the_same_command_ends_in_the_same_bits(wanted, with_jobs):
    """Its jobs, where they live on, are waited for, and never work beside their successors."""
    fault, rng = faults.Fault("snakemake"), random.Random(5)
    inject = lambda folder, fault, left: faults.kill_snakemake(folder, fault, left, with_jobs, rng)  # noqa: E731
    faults.injected(fault, wanted, 2, inject)
    assert fault.injected >= 2 and fault.wrong == 0


# ------------------------------------------------------------------------------------------------- a full disk
@pytest.fixture
def small_disk(tmp_path):
    """A clone whose results/ is a file system of its own, of 8 MB."""
    folder = copy_repository(tmp_path / "clone")
    (folder / "results").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder / "results")]
    if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder / "results")], check=True)


def fill(folder, left):
    """All of the disk but `left` bytes."""
    free = shutil.disk_usage(folder / "results").free
    (folder / "results/ballast").write_bytes(bytes(max(0, free - left)))


def test_a_full_disk_is_one_line_and_loses_nothing(small_disk):
    """At each stage, with no room at all, and with room for some of its files only."""
    folder, config = small_disk, changed(("seeds", [0]), ("experiments.widths.grid.width", [4]), ("save_every", 0))
    plan = make_plan(load_study(config))
    stages = {
        "dataset": [f"results/data/{name}.h5" for name in plan.datasets],
        "train": [f"results/segments/{name}/final.pt" for name in plan.segments],
        "ntk": [f"results/segments/{name}.h5" for name in plan.kernels],
        "metrics": [f"results/tiny/runs/{name}.csv" for name in plan.runs],
        "figure": ["fig4"],
    }
    whole = faults.results(finished(folder.parent / "elsewhere", config))
    for stage, targets in stages.items():
        for left in (0, 12_000):
            fill(folder, left)
            run = snakemake(folder, "--cores", "1", *targets, config=config)
            assert run.returncode != 0 and "Traceback" not in run.stdout, (stage, left, run.stdout)
            said = [line.strip() for line in run.stdout.splitlines() if "error: no room" in line]
            assert said and all("make room and run again" in line for line in said), (stage, left, run.stdout)
            assert not list((folder / "results").rglob(".partial-*"))
            assert faults.results(folder).items() <= whole.items()
            (folder / "results/ballast").unlink()
        run = snakemake(folder, "--cores", "1", *targets, config=config)
        assert run.returncode == 0, run.stdout
    assert faults.results(folder) == whole

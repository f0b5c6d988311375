"""Kills, full disks, damage and divergence, in the real workflow."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import faults
import shared_study
from helpers import OF_ALL_RUNS, changed, copy_repository, edit, finished, planned, snakemake
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

EXPERIMENT = "experiments.widths"
ONE = changed(("seeds", [0]), (f"{EXPERIMENT}.grid.width", [4]), ("figures.fig4.panels", [{"metric": "spectral_norm"}]))
# Its jobs live for some seconds.
LONG = changed(
    (f"{EXPERIMENT}.grid.width", [24]), (f"{EXPERIMENT}.training.epochs", 6), ("figures", {}), of=faults.STUDY
)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A folder in which ONE has been run: one network, one figure of one panel."""
    return finished(tmp_path_factory.mktemp("tiny") / "clone", ONE)


@pytest.fixture
def copy(tiny, tmp_path):
    """A copy of that folder; times are kept."""
    return shutil.copytree(tiny, tmp_path / "clone")


@pytest.fixture(scope="module")
def wanted(tmp_path_factory):
    """The results of LONG, undisturbed."""
    return faults.results(finished(tmp_path_factory.mktemp("undisturbed") / "clone", LONG))


def test_killed_jobs_end_in_the_same_bits(wanted):
    """Real processes at work, killed by SIGKILL and SIGTERM in turn: nothing else shows what a kill leaves behind."""
    fault, kill = faults.Fault("jobs"), partial(faults.kill_jobs, scripts=faults.SCRIPTS, config=LONG)
    faults.injected(fault, wanted, 4, partial(kill, numbers=(signal.SIGKILL, signal.SIGTERM), rng=random.Random(9)))
    assert fault.injected >= 4 and fault.wrong == 0


def test_after_snakemake_was_killed_the_same_command_ends_in_the_same_bits(wanted):
    """Jobs that live on are waited for, and never work at the same time as their successors: real processes only."""
    fault = faults.Fault("snakemake")
    kill = partial(faults.kill_snakemake, with_jobs=(False, True), rng=random.Random(5), config=LONG)
    faults.injected(fault, wanted, 2, kill)
    assert fault.injected >= 2 and fault.wrong == 0


# ------------------------------------------------------------------------------------------------- a full disk
@pytest.fixture
def small_disk(tmp_path):
    """A clone whose results/ is a file system of its own, of 8 MB."""
    folder = copy_repository(tmp_path / "clone")
    with faults.small_disk(folder, 8) as mounted:
        if not mounted:
            pytest.skip("mounting a small file system needs root")
        yield folder


def test_a_full_disk_is_one_line_and_loses_nothing(small_disk, tiny):
    """The disk is full at each stage, with no room at all, or with room for some of its files only.

    No function sees what a job does at a full disk: HDF5, torch, CSV and the log each have their own way to fail.
    """
    folder, config = small_disk, ONE | {"save_every": 0}
    plan = make_plan(load_study(config))
    stages = {
        "dataset": [f"results/data/{name}.h5" for name in plan.datasets],
        "train": [f"results/segments/{name}/final.pt" for name in plan.segments],
        "ntk": [f"results/segments/{name}.h5" for name in plan.kernels],
        "within": [f"results/segments/{name}/within.csv" for name in plan.within],
        "metrics": [f"results/tiny/runs/{name}.csv" for name in plan.runs],
        "figure": ["fig4"],
    }
    whole = faults.results(tiny)
    for stage, targets in stages.items():
        for left in (0, 12_000) if stage in ("dataset", "train", "ntk") else (0,):
            ballast = faults.fill(folder, left)
            run = snakemake(folder, "--cores", "1", *targets, config=config)
            assert run.returncode != 0 and "Traceback" not in run.stdout, (stage, left, run.stdout)
            said = [line.strip() for line in run.stdout.splitlines() if "error: no room" in line]
            assert said and all("make room and run again" in line for line in said), (stage, left, run.stdout)
            assert not list((folder / "results").rglob(".partial-*"))
            assert faults.results(folder).items() <= whole.items()
            ballast.unlink()
        run = snakemake(folder, "--cores", "1", *targets, config=config)
        assert run.returncode == 0, run.stdout
    assert faults.results(folder) == whole


# --------------------------------------------------------------------------------------------- states and outputs
# Its trainings go on long enough to be stopped midway.
SLOW = ONE | {"save_every": 0, "figures": {}}
SLOW["experiments"] = {
    "widths": ONE["experiments"]["widths"]
    | {
        "training": {"lr": 0.05, "epochs": 60, "batch_size": 4},
        "checkpoints": {"every": 50},
        "metrics": {"velocity_dt": [50]},
    }
}


def segment_of(folder, config, task):
    """The name of a task's only segment, the target that trains it, and the log of its training."""
    (name,) = [name for name in make_plan(load_study(config)).segments if f"-task{task}-" in name]
    return name, [f"results/segments/{name}/final.pt"], folder / f"results/logs/train/{name}.log"


def stopped_midway(folder, config):
    """A folder in which the training of the second task has been stopped by SIGTERM."""
    copy_repository(folder)
    name, targets, log = segment_of(folder, config, task=2)
    run = faults.started(folder, "--cores", "1", *targets, config=config)
    state = f"results/.state/{name}/train-*/state.pt"
    while run.poll() is None and not list(folder.glob(state)):
        time.sleep(0.02)
    (job,) = faults.jobs(folder, ("train_segment.py",))
    job.terminate()
    assert run.wait(60) == 1
    assert log.read_text().endswith("stopped by SIGTERM; what was done is saved: run again to go on from here\n")
    return name, targets, log


def test_a_state_is_gone_on_from_under_the_same_code_only(tmp_path):
    """Only a real job, stopped midway, has a state that a fingerprint of real code must match."""
    folder = tmp_path / "clone"
    name, targets, log = stopped_midway(folder, SLOW)
    schedule = folder / "workflow/scripts/reactivation/jobs/schedule.py"
    text = schedule.read_text()
    changed_text = re.sub(r"EVALUATION_BATCH = \d+", "EVALUATION_BATCH = 999", text)
    assert changed_text != text
    schedule.write_text(changed_text)
    before = list(folder.glob(f"results/.state/{name}/train-*/state.pt"))
    shutil.copytree(folder, tmp_path / "other")
    run = snakemake(tmp_path / "other", "--cores", "1", *targets, config=SLOW)
    assert run.returncode == 0, run.stdout
    assert "going on" not in (tmp_path / "other" / log.relative_to(folder)).read_text()
    schedule.write_text(text)
    run = snakemake(folder, "--cores", "1", *targets, config=SLOW)
    assert run.returncode == 0, run.stdout
    assert "going on after step" in log.read_text() and not any(path.exists() for path in before)
    record = json.loads((folder / f"results/segments/{name}/segment.json").read_text())
    assert record["sittings"] == 2
    assert faults.results(folder) == faults.results(tmp_path / "other")


def test_what_snakemake_had_not_taken_note_of_is_not_trained_again(tmp_path):
    """This happens after a kill between a job's end and Snakemake's record of it; once used, the job's state goes."""
    folder = copy_repository(tmp_path / "clone")
    name, targets, log = segment_of(folder, ONE, task=1)
    assert snakemake(folder, "--cores", "1", *targets, config=ONE).returncode == 0
    made = faults.results(folder)
    shutil.rmtree(folder / f"results/segments/{name}")
    assert snakemake(folder, "--cores", "1", *targets, config=ONE).returncode == 0
    assert log.read_text() == "trained before; Snakemake had no record of it\n"
    assert faults.results(folder) == made
    assert snakemake(folder, "--cores", "2", config=ONE).returncode == 0
    assert not list((folder / "results/.state").iterdir())
    assert planned(folder, config=ONE) == {}


@pytest.mark.parametrize("keep, left", [("final", {"final.pt"}), ("none", set())])
def test_weights_go_once_they_have_been_used(finished_study, tmp_path, keep, left):
    """By kernels, and by functions of linearised twins: Snakemake deletes them, so it takes a run to see."""
    both = shared_study.STUDY["experiments"]["twins"]
    study = ONE | {"experiments": {"twins": both}, "figures": {}}
    config = study | {"checkpoints": {"keep": keep}}
    folder = finished(tmp_path / "clone", config)
    weights = sorted((folder / "results/segments").rglob("*.pt"))
    assert {path.name for path in weights} == left and len(weights) == 4 * len(left)
    found, wanted = faults.results(folder), faults.results(finished_study)
    mine = ("-w2-lr0.05-s0-", "twins-width2-dynamicsnetwork-s0", "twins-width2-dynamicslinearized-s0")
    wanted = {name: content for name, content in wanted.items() if any(word in name for word in mine)}
    assert found == {name: wanted[name] for name in wanted if not name.endswith(".pt") or name.split("/")[-1] in left}
    assert planned(folder, config=config) == {}
    assert planned(folder, config=study) == {"all": 1}  # what is gone is not missed
    # Kernels and functions on a larger probe need weights that are gone: their segments train again.
    if keep == "final":
        longer = config | {"experiments": {"twins": both | {"probe": {"size": 8}}}}
        jobs = planned(folder, config=longer)
        assert jobs == {"probe": 1, "train": 4, "ntk": 2, "function": 2, "within": 2, "metrics": 2, "all": 1}


def test_two_snakemakes_in_one_folder(tmp_path):
    """The first is a process of its own: only then is there a lock."""
    folder = copy_repository(tmp_path / "clone")
    _, targets, _ = segment_of(folder, SLOW, task=1)
    first = faults.started(folder, "--cores", "1", *targets, config=SLOW)
    while first.poll() is None and not list(folder.glob(".snakemake/locks/*")):
        time.sleep(0.02)
    second = snakemake(folder, "--cores", "1", *targets, config=SLOW)
    assert second.returncode != 0 and "Traceback" not in second.stdout
    assert "Directory cannot be locked" in second.stdout and "other Snakemake process" in second.stdout
    assert first.wait(100) == 0


DAMAGED = {
    "final": ("segments/*-w4-*-s0-task1-*/final.pt", "train"),
    "dataset": ("data/*.h5", "train"),
    "split": ("splits/*task1*.npz", "train"),
}


@pytest.mark.parametrize("pattern, rule", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_named_and_not_used(copy, pattern, rule):
    """What test_bound does not damage; times stay, so that Snakemake sees nothing."""
    folder, config = copy, ONE
    path = sorted((folder / "results").glob(pattern))[0]
    content, at = bytearray(path.read_bytes()), path.stat()
    half = len(content) // 2
    content[half:] = b"" if path.suffix == ".npz" else bytes([content[half] ^ 8]) + content[half + 1 :]
    path.unlink()  # a hard link to it keeps its content
    path.write_bytes(content)
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    (child,) = folder.glob("results/segments/*-task2-*")
    of_rule = [rule] if "final.pt" not in pattern else [str(child.relative_to(folder) / "final.pt")]
    run = snakemake(folder, "--cores", "1", "--forcerun", *of_rule, config=config)
    assert run.returncode != 0 and "Traceback" not in run.stdout
    (line,) = {line.strip() for line in run.stdout.splitlines() if line.startswith("    error:") or "error: " in line}
    said = f"has {half} bytes instead of" if path.suffix == ".npz" else "is not what was written there (its digest"
    assert f"error: {path.relative_to(folder)} {said}" in line and "delete" in line


# --------------------------------------------------------------------------------------------------- staleness
def git(folder, *arguments):
    command = ["git", "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main", *arguments]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def test_another_branch_and_back_reruns_nothing(copy):
    """Git writes the files of code anew, which reruns nothing; the other branch reruns what its code can change."""
    folder, config = copy, ONE
    (folder / ".gitignore").write_text("results\n.snakemake\n")
    git(folder, "init")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "one")
    git(folder, "checkout", "-b", "other")
    for name in ("training/loop.py", "ntk/kernel.py", "figures/layout.py"):
        path = folder / "workflow/scripts/reactivation" / name
        path.write_text(path.read_text() + "\nOTHER = 1\n")
    git(folder, "commit", "-a", "-m", "two")
    assert planned(folder, config=config) == {"train": 2, "ntk": 2, "within": 2, "metrics": 1, "figure": 1, "all": 1}
    git(folder, "checkout", "main")
    assert planned(folder, config=config) == {}


@pytest.mark.parametrize(
    "module, old, new, ran",
    [
        ("ntk/sums.py", "ROWS = 128", "ROWS = 127", {"ntk", "metrics", "figure"}),
        ("figures/layout.py", '"font.size": 8', '"font.size": 9', {"figure"}),
        ("training/training_log.py", "seconds, 3", "seconds, 4", {"train", "ntk", "within", "metrics", "figure"}),
    ],
)
def test_an_edit_runs_what_it_can_change_and_then_nothing(copy, module, old, new, ran):
    """Dry runs show what is planned; only a run shows that it is done and settled by that."""
    folder, config = copy, ONE
    before = faults.results(folder)
    edit(folder, f"reactivation/{module}", old, new)
    run = snakemake(folder, "--cores", "2", config=config)
    assert run.returncode == 0, run.stdout
    assert set(re.findall(r"^(?:local)?rule (\w+):", run.stdout, re.MULTILINE)) - {*OF_ALL_RUNS} == ran | {"all"}
    after = faults.results(folder)
    differ = {name for name in before if before[name] != after[name]}
    assert {Path(name).suffix for name in differ} == ({".csv", ""} if module == "ntk/kernel.py" else set())
    assert planned(folder, config=config) == {}


# -------------------------------------------------------------------------------------------------- divergence
def test_a_diverged_run_is_recorded_and_the_others_go_on(tmp_path):
    """From the training that diverges to the figure: no step alone shows that all the others bear it."""
    experiment = {
        "model": {"name": "cnn", "width": 4},
        "training": {"epochs": 2, "batch_size": 8},
        "grid": {"lr": [0.05, 30.0, 1e20]},
    }
    figure = {"kind": "curves", "experiment": "lrs", "color": "lr"}
    panels = [{"metric": m} for m in ("spectral_norm", "test_accuracy", "kernel_velocity", "alignment")]
    summary = {"kind": "summary", "metric": "spectral_norm", "statistic": "last", "task": 2, "x": "lr"}
    config = changed(
        ("seeds", [0]),
        ("experiments", {"lrs": changed()["experiments"]["widths"] | experiment}),
        ("figures.fig4", figure | {"panels": [*panels, summary]}),
        ("figures.fig5", figure | {"panels": panels, "where": {"lr": 1e20}}),
    )
    beside = {**figure, "panels": panels[:1], "beside": "fig4", "where": {"lr": 0.05}}
    folder = finished(tmp_path / "clone", config | {"figures": config["figures"] | {"fig6": beside}})
    records = {
        path.parent.name: json.loads(path.read_text()) for path in folder.glob("results/segments/*/segment.json")
    }
    assert len(records) == 6
    for name, record in records.items():
        mine = {path.stem for path in folder.glob(f"results/segments/{name}/checkpoints/*.pt")}
        assert len(mine) == record["checkpoints"]
        if "lr1e20" in name:
            assert record["diverged"]["task"] == 1 and record["diverged"]["step"] <= 2
            assert mine <= {"step00000000", "step00000001"} and ("task1" in name) == bool(mine)
        if "lr0.0" in name:
            assert record["diverged"] is None and len(mine) >= 5
    table = pd.read_csv(folder / "results/tiny/runs/lrs-lr1e20-s0.csv")
    (mark,) = table[table["metric"] == "diverged"].to_dict("records")
    assert mark["value"] == mark["step"] <= 2 and set(table["step"]) <= {0, 1, mark["step"]}
    assert "spectral_norm" in set(table["metric"])
    beside = json.loads((folder / "results/tiny/figures/fig4.json").read_text())
    assert {run for run in beside["diverged"] if "lr1e20" in run} == {"lrs-lr1e20-s0"}
    drawn = pd.read_csv(folder / "results/tiny/figures/fig4.csv")
    assert np.isfinite(drawn[["mean", "low", "high"]].to_numpy()).all()
    assert set(drawn[drawn["kind"] == "summary"]["lr"]) <= {0.05, 30.0}
    assert planned(folder, config=config) == {"all": 1}  # `all` has one figure fewer


def test_results_without_records_are_not_taken_for_fresh(tiny, tmp_path):
    """Snakemake itself would take them; an error lists them, and they can be deleted or vouched for."""
    folder, config = shutil.copytree(tiny, tmp_path / "clone", ignore=shutil.ignore_patterns(".snakemake")), ONE
    run = snakemake(folder, "-n", config=config)
    assert run.returncode != 0 and "Traceback" not in run.stdout
    said = "and 15 more: .snakemake has no readable record of the code"
    assert "results/data/glyphs-" in run.stdout and said in run.stdout
    assert snakemake(folder, "--touch", "--forceall", "--cores", "1", config=config).returncode == 0
    assert planned(folder, config=config) == {}
    plots = folder / "workflow/scripts/reactivation/figures/layout.py"
    plots.write_text(plots.read_text() + "\nOTHER = 1\n")
    assert planned(folder, config=config) == {"figure": 1, "all": 1}

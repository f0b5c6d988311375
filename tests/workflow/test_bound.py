"""A result is bound to the code, the inputs and the versions that made it, in the real workflow."""

import json
import os
import re
import shutil
import subprocess
import time

import pandas as pd
import pytest

import faults
from helpers import call, changed, copy_repository, edit, finished, planned, snakemake

CONFIG = changed(
    ("experiments.widths.grid.width", [4]),
    ("figures.fig4.panels", [{"metric": "spectral_norm"}, {"metric": "test_accuracy"}]),
)
DOUBLED = ("reactivation/storage/kernels.py", 'f"kernels/{kind}", stack, (1', 'f"kernels/{kind}", 2 * stack, (1')


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which CONFIG has been run: two seeds, so four segments; one figure."""
    return finished(tmp_path_factory.mktemp("bound") / "clone", CONFIG)


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "clone")


def only(folder, pattern):
    (path,) = (folder / "results").glob(pattern)
    return path


# ---------------------------------------------------------------------------------------------------- the code
def test_code_that_is_swapped_while_a_study_runs_makes_nothing(done, tmp_path):
    """As by a look at another branch; the next call makes what is missing. Only real jobs start this late."""
    folder = copy_repository(tmp_path / "clone")
    module = folder / "workflow/scripts" / DOUBLED[0]
    before = module.read_text()
    run = subprocess.Popen(**call(folder, "--cores", "2", config=CONFIG), stdout=subprocess.PIPE, text=True, stderr=-2)
    while run.poll() is None and not list(folder.glob("results/segments/*/segment.json")):
        time.sleep(0.02)
    edit(folder, *DOUBLED)
    said = run.communicate(timeout=300)[0]
    assert run.returncode == 1 and "Traceback" not in said
    lines = {line.strip() for line in said.splitlines() if "error: " in line}
    assert lines == {
        "error: reactivation/storage/kernels.py has changed since snakemake was called, so nothing is published: it "
        "would be recorded as made by the code of that time. Call the same command again"
    }
    module.write_text(before)
    assert not list(folder.glob("results/segments/*/ntk-*.h5"))
    run = snakemake(folder, "--cores", "2", config=CONFIG)
    assert run.returncode == 0, run.stdout
    assert faults.results(folder) == faults.results(done)


def test_a_library_on_pythonpath_is_not_run(copy, tmp_path):
    """Nor one that is installed; Python's own search would find both first."""
    (tmp_path / "other").mkdir()
    copy_repository(tmp_path / "other")
    edit(tmp_path / "other", *DOUBLED)
    wanted = faults.results(copy)
    path = only(copy, "segments/*-s0-task1-*/ntk-*.h5")
    path.unlink()
    called = call(copy, "--cores", "1", str(path.relative_to(copy)), config=CONFIG)
    called["env"]["PYTHONPATH"] = str(tmp_path / "other/workflow/scripts")
    run = subprocess.run(**called, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert faults.results(copy) == wanted


def test_records_that_a_power_cut_emptied_count_as_none(copy):
    for path in (copy / ".snakemake/metadata").rglob("*"):
        if path.is_file():
            os.truncate(path, 0)
    run = snakemake(copy, "-n", config=CONFIG)
    assert run.returncode != 0 and "and 22 more: .snakemake has no readable record of the code" in run.stdout


def test_a_job_that_fails_after_an_edit_runs_again_though_all_that_needs_it_is_there(copy):
    """Snakemake records the params of a job that failed, and does not miss what everything was already made from."""
    edit(copy, "reactivation/analysis/metrics.py", "import numpy as np", "import numpy as np\n\nraise MemoryError")
    assert snakemake(copy, "--cores", "2", config=CONFIG).returncode != 0
    assert not list(copy.glob("results/tiny/runs/*.csv"))
    assert planned(copy, "fig4", config=CONFIG) == {"metrics": 2, "figure": 1, "fig4": 1}


def test_results_of_another_clone_are_not_taken_for_this_ones(copy, tmp_path):
    """Snakemake has records of the same files, which it made itself."""
    other = shutil.copytree(copy, tmp_path / "other")
    edit(other, *DOUBLED)
    assert snakemake(other, "--cores", "2", config=CONFIG).returncode == 0
    shutil.rmtree(copy / "results")
    shutil.copytree(other / "results", copy / "results")
    jobs = {"ntk": 4, "metrics": 2, "figure": 1, "all": 1}
    assert planned(copy, config=CONFIG) == jobs


# -------------------------------------------------------------------------------------------------- the inputs
def cut_row(path):
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def change_digit(path):
    """One digit of a number in the last row becomes another."""
    *rest, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*rest, re.sub(r"[1-8](?=\D*$)", lambda found: str(int(found[0]) + 1), last)]))


def test_damage_is_named_and_the_remedy_brings_back_the_same_bits(copy):
    """Everything downstream is gone, so that all of it is read; a message for each, and each message is obeyed."""
    wanted, results = faults.results(copy), copy / "results"
    places = {seed_task: only(copy, f"segments/*-s{seed_task}-*") for seed_task in ("0-task1", "0-task2", "1-task2")}
    cut, gone, digit = places["0-task2"], places["1-task2"], places["0-task1"]
    kernels = only(copy, "segments/*-s1-task1-*/ntk-*.h5")
    for path in results.glob("segments/*/ntk-*.h5"):
        if path != kernels:
            path.unlink()
    shutil.rmtree(results / "tiny")
    last = sorted(cut.glob("checkpoints/*.pt"))[-1]
    os.truncate(last, 2000)
    (gone / "checkpoints/step00000008.pt").unlink()
    change_digit(digit / "evaluation.csv")
    whole = kernels.stat().st_size
    os.truncate(kernels, whole - 9)
    run = snakemake(copy, "--cores", "2", config=CONFIG)
    assert run.returncode != 0 and "Traceback" not in run.stdout
    said = {line.partition("error: ")[2] for line in run.stdout.splitlines() if "error: " in line}
    names = [str(path.relative_to(copy)) for path in (cut, gone, digit, kernels)]
    size = (cut / "final.pt").stat().st_size  # not the same file as the last checkpoint
    assert said >= {
        f"{names[0]}/checkpoints/{last.name} has 2000 bytes instead of {size}: "
        f"delete {names[0]}, a folder, and run again",
        f"{names[1]}/checkpoints/step00000008.pt is missing: delete {names[1]}, a folder, and run again",
    }
    # The kernels of the first task of seed 0 were made; the others' metrics wait for what is damaged.
    shutil.rmtree(cut)
    shutil.rmtree(gone)
    run = snakemake(copy, "--cores", "2", config=CONFIG)
    said = {line.partition("error: ")[2] for line in run.stdout.splitlines() if "error: " in line}
    assert said == {
        f"{names[2]}/evaluation.csv is not what was written there (its digest differs): "
        f"delete {names[2]}, a folder, and run again",
        f"{names[3]} has {whole - 9} bytes instead of {whole}: delete it and run again",
    }
    shutil.rmtree(digit)
    kernels.unlink()
    run = snakemake(copy, "--cores", "2", config=CONFIG)
    assert run.returncode == 0, run.stdout
    assert faults.results(copy) == wanted


def test_a_run_that_lacks_a_row_or_has_another_digit_is_not_drawn(copy):
    wanted = faults.results(copy)
    one = copy / "results/tiny/runs/widths-width4-s0.csv"
    for spoil, words in (
        (lambda: cut_row(one), f"has {len(pd.read_csv(one)) - 1} rows instead of {len(pd.read_csv(one))}"),
        (lambda: change_digit(one), "is not what was written there (its digest differs)"),
    ):
        spoil()
        run = snakemake(copy, "--cores", "1", "fig4", config=CONFIG)
        assert run.returncode != 0
        assert f"error: results/tiny/runs/{one.name} {words}" in run.stdout
        assert run.stdout.count(": delete it and run again\n") == 1
        one.unlink()
        assert snakemake(copy, "--cores", "1", config=CONFIG).returncode == 0
        assert faults.results(copy) == wanted


# ------------------------------------------------------------------------------------------------ the versions
def test_results_of_other_versions_are_made_again_or_named_on_figures(copy):
    """Another torch is pretended, in receipts."""
    for path in (copy / "results/.made/segments").glob("*-s0-task1-*/*.json"):
        receipt = json.loads(path.read_text())
        receipt["versions"]["torch"], receipt["made_with"]["torch"] = "2.12.1+cpu", ["2.12.1"]
        receipt["expected"]["torch"] = "2.12.1"
        path.write_text(json.dumps(receipt))
    jobs = {"train": 2, "ntk": 2, "within": 2, "metrics": 1, "figure": 1, "all": 1}
    assert planned(copy, config=CONFIG) == jobs
    said = snakemake(copy, "-n", config=CONFIG).stdout
    assert "now: 'it was made by torch 2.12.1, numpy" in said and ", now torch 2.13.0, numpy" in said
    (copy / "results/tiny/runs/widths-width4-s0.csv").unlink()
    warn = CONFIG | {"versions": "warn"}
    run = snakemake(copy, "--cores", "1", config=warn)
    assert run.returncode == 0 and "rule train" not in run.stdout, run.stdout
    origin = json.loads((copy / "results/tiny/figures/fig4.json").read_text())
    assert json.loads(origin["made_with"])["torch"] == ["2.12.1", "2.13.0"]
    assert planned(copy, config=warn) == {}

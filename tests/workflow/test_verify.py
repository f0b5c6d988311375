"""`snakemake verify`, as a user calls it: what is not what was written, what this code makes, what it accepts."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

import faults
from helpers import all_planned, call, changed, edit, finished, snakemake
from plans import fill

ONE = changed(("seeds", [0]), ("experiments.widths.grid.width", [2]))
OTHER = ONE | {"study": "other"}
REFACTORED = ("reactivation/training/loop.py", "seconds, rows =", "seconds, tests =")
OTHER_RATE = ("reactivation/training/optimizer.py", 'lr=training["lr"]', 'lr=training["lr"] * 1.001')


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study, and another one that shares its segments."""
    folder = finished(tmp_path_factory.mktemp("verify") / "clone", ONE)
    run = snakemake(folder, "figures", "--cores", "2", config=OTHER)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture
def clone(study, tmp_path):
    return shutil.copytree(study, tmp_path / "clone", symlinks=True)


def refactor(folder: Path) -> None:
    """Rename a local variable of the training loop, which changes its fingerprint and no bit of any result."""
    edit(folder, *REFACTORED)
    edit(folder, "reactivation/training/loop.py", "log_row(spec, rows,", "log_row(spec, tests,")


def verify(folder: Path, *arguments: str, config: dict = ONE) -> subprocess.CompletedProcess:
    run = snakemake(folder, "verify", *arguments, config=config)
    assert "Traceback" not in run.stdout, run.stdout
    assert not (folder / "results/.verify").exists()
    return run


def accept(folder: Path, config: dict = ONE) -> str:
    run = verify(folder, "--config", "accept=true", config=config)
    assert run.returncode == 0, run.stdout
    assert "A dry run says that nothing is to be done." in run.stdout, run.stdout
    assert all_planned(folder, config=config) == {}
    return run.stdout


def state(folder: Path, study: str = "tiny") -> dict[str, tuple[int, int, int]]:
    """Inode, time and size of each file of results, but for receipts and those that an acceptance writes."""
    results = folder / "results"
    named = {path.relative_to(results).as_posix(): path for path in results.rglob("*") if path.is_file()}
    page = {f"{study}/config.yaml", f"{study}/config.html", ".accepted.json"}
    return {
        name: (path.stat().st_ino, path.stat().st_mtime_ns, path.stat().st_size)
        for name, path in named.items()
        if name not in page and not name.startswith(("logs/resolved", ".made/"))
    }


def test_a_refactored_loop_is_accepted_and_nothing_runs(clone):
    refactor(clone)
    assert all_planned(clone, config=ONE)["train"] == 2
    before = state(clone)
    said = accept(clone)
    assert state(clone) == before
    assert "files are what was written." in said and "What changed: reactivation/training/loop.py." in said
    assert "accepted: 2 results (2 train), noted in results/.accepted.json" in said
    assert said.count("Made again: results/segments/") == 2  # one of each kind: a first task, and a later one
    assert all_planned(clone, "figures", config=OTHER) == {}  # shares the segments
    (entry,) = json.loads((clone / "results/.accepted.json").read_text())["accepted"]
    assert entry["results"] == {"train": 2} and entry["study"] == "tiny" and entry.keys() >= {"when", "git_commit"}
    assert entry["code"].keys() == {"reactivation/training/loop.py"} and len(set(*entry["code"].values())) == 2
    assert [one["outcome"] for one in entry["sample"]] == ["equal", "equal"]
    assert str(clone) not in json.dumps(entry)
    page = (clone / "results/tiny/config.html").read_text()
    assert entry["when"] in page and "reactivation/training/loop.py" in page

    # Jobs can go on from what was accepted.
    config = changed(("experiments.widths.probe.size", 5), of=ONE)
    run = snakemake(clone, "results/tiny/runs/widths-width2-s0.csv", "--cores", "2", config=config)
    assert run.returncode == 0 and "rule ntk" in run.stdout and "rule train" not in run.stdout, run.stdout


def test_a_changed_learning_rate_is_refused_and_the_segment_named(clone):
    edit(clone, *OTHER_RATE)
    before, planned = state(clone), all_planned(clone, config=ONE)
    run = verify(clone, "--config", "accept=true")
    segment = next((clone / "results/segments").glob("*task1*")).relative_to(clone)
    assert run.returncode == 1
    assert f"error: {segment}/checkpoints/step00000001.pt has other bits: " in run.stdout, run.stdout
    assert "nothing was accepted; what is stale is made again by: snakemake --configfile study.yaml" in run.stdout
    assert "to accept what" not in run.stdout
    assert state(clone) == before and all_planned(clone, config=ONE) == planned
    assert not (clone / "results/.accepted.json").exists()


def forget(folder: Path) -> None:
    """Leave results as an earlier release did: without receipts, and without a list of files in trainings' records."""
    shutil.rmtree(folder / "results/.made")
    for path in folder.glob("results/segments/*/segment.json"):
        time_of = path.stat().st_mtime_ns
        record = json.loads(path.read_text())
        del record["outputs"]
        path.write_text(json.dumps(record))
        os.utime(path, ns=(time_of, time_of))


def test_results_of_an_earlier_release_are_accepted_rule_by_rule(clone):
    """Kernels are others now, trainings are not."""
    forget(clone)
    refactor(clone)
    edit(clone, "reactivation/training/kernels_job.py", "**computed,", "**{k: v * 1.01 for k, v in computed.items()},")
    run = verify(clone, "--config", "accept=true")
    assert run.returncode == 1 and "/ntk-" in run.stdout and " has other bits: kernels/sum by 0.01 of" in run.stdout
    words = "to accept what is not made from these: snakemake verify --configfile study.yaml --config accept=train"
    assert words in run.stdout, run.stdout
    run = verify(clone, "--config", "accept=train")
    assert run.returncode == 0 and "accepted: 2 results (2 train)" in run.stdout, run.stdout
    run = snakemake(clone, "results/tiny/runs/widths-width2-s0.csv", "--cores", "2", config=ONE)
    assert run.returncode == 0 and "rule ntk" in run.stdout and "rule train" not in run.stdout, run.stdout


def test_deleted_checkpoints_cost_no_training(tmp_path):
    """With `keep: final`, kernels that are stale make Snakemake train again, for the checkpoints."""
    config = changed(("checkpoints", {"keep": "final"}), of=ONE)
    folder = finished(tmp_path / "clone", config)
    assert not list(folder.glob("results/segments/*/checkpoints"))
    refactor(folder)
    edit(folder, "reactivation/training/kernels_job.py", "proved = False", "proved = not True")
    assert all_planned(folder, config=config)["train"] == 2
    before = state(folder)
    said = accept(folder, config)
    assert state(folder) == before and "/ntk-" in said and "/segment.json: " in said


def test_current_results_are_made_again_and_get_the_records_that_they_lack(clone):
    forget(clone)
    run = verify(clone, "--config", "accept=true", "sample=2")
    assert run.returncode == 0 and run.stdout.count("Made again: ") == 2, run.stdout
    assert "results without a record of what was written, as an earlier release left them." in run.stdout
    assert "Every result is current." in run.stdout and "/ntk-" in run.stdout
    run = snakemake(clone, "--cores", "2", "--forcerun", "switches", config=ONE)  # which reads all runs
    assert run.returncode == 0, run.stdout


def test_damage_is_named_and_ends_it_and_the_remedy_brings_back_the_same_bits(clone):
    """Also where everything that was made of it is there: Snakemake alone would not miss it."""
    wanted = faults.results(clone)
    run = verify(clone, "--config", "sample=0")
    assert run.returncode == 0 and "files are what was written." in run.stdout and "Made again" not in run.stdout
    path = next(clone.glob("results/segments/*/ntk-*.h5"))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    next(clone.glob("results/segments/*task2*/checkpoints/step00000008.pt")).unlink()
    run = verify(clone, "--config", "accept=true")
    assert run.returncode == 1 and "Made again" not in run.stdout
    kernels, second = path.relative_to(clone), next(clone.glob("results/segments/*task2*")).relative_to(clone)
    assert f"{kernels} is not what was written there (its digest differs): delete it\n" in run.stdout, run.stdout
    assert f"{second}/checkpoints/step00000008.pt is missing: delete {second}, a folder\n" in run.stdout
    (targets,) = re.findall("then make them again: snakemake (.*) all --configfile study.yaml\n", run.stdout)
    assert sorted(targets.split()) == sorted([str(kernels), f"{second}/segment.json"])
    path.unlink()
    shutil.rmtree(clone / second)
    assert snakemake(clone, "--cores", "2", *targets.split(), "all", config=ONE).returncode == 0
    assert faults.results(clone) == wanted


def test_what_is_gone_is_named_until_it_is_made_again_or_forgotten(clone):
    path = next(clone.glob("results/segments/*task2*/ntk-*.h5"))
    path.unlink()
    run = verify(clone, "--config", "sample=0")
    name = path.relative_to(clone)
    assert run.returncode == 1 and f"error: {name} is missing\n" in run.stdout
    assert f"then make them again: snakemake {name} all --configfile study.yaml\n" in run.stdout
    assert (
        "or, if you deleted on purpose what is missing: snakemake prune --config delete=true forgets it" in run.stdout
    )
    assert snakemake(clone, "prune", "--config", "delete=true", config=ONE).returncode == 0
    assert verify(clone, "--config", "sample=0").returncode == 0


def test_nothing_is_accepted_while_another_call_is_at_work(clone):
    refactor(clone)
    fill(clone, [".snakemake/locks/0.output.lock"])
    run = verify(clone, "--config", "accept=true")
    assert run.returncode == 1
    assert "error: another call of Snakemake is at work here, so nothing is accepted (if it was killed" in run.stdout
    assert (clone / ".snakemake/locks/0.output.lock").exists() and not (clone / "results/.accepted.json").exists()


@pytest.mark.parametrize(
    "words, reason",
    [
        ("verify --config sample=none", "sample: should be a number of results, 0 or more (it is 'none')"),
        ("verify --config sample=0 accept=true", "sample: 0 is no evidence, so nothing can be accepted: "),
        (
            "verify --config accept=yes",
            "accept: should be true, false, or rules as in dataset,split,train (it is 'yes')",
        ),
        ("-n --config accept=true", "accept: unknown key"),
    ],
)
def test_keys_of_the_command_line(study, words, reason):
    run = snakemake(study, *words.split(), config=ONE)
    assert run.returncode and reason in run.stdout and "Traceback" not in run.stdout, run.stdout


def test_a_killed_call_leaves_nothing_wrong(clone):
    refactor(clone)
    before, planned = state(clone), all_planned(clone, config=ONE)
    called = call(clone, "verify", "--config", "accept=true", config=ONE)
    running = subprocess.Popen(**called, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list(clone.glob("results/.verify/.partial-*/0/clone/results")):
        assert running.poll() is None
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    left = {name for name in state(clone) if name.startswith(".verify")}
    assert left and {name: of for name, of in state(clone).items() if name not in left} == before
    assert all_planned(clone, config=ONE) == planned
    assert verify(clone).returncode == 0

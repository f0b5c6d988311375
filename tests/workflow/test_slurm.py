"""A small study on a real Slurm of one node, while jobs are cancelled, preempted and cut off in time.

A job on Slurm costs ten seconds, so there are as few as can show it all: six, in three calls of Snakemake.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from types import SimpleNamespace

import h5py
import numpy as np
import pytest

from helpers import REPOSITORY, TINY, call, changed, copy_repository, finished, snakemake
from reactivation.storage.checkpoints import read_state

SCRIPTS = REPOSITORY / "tests/slurm"
WIDTH = "experiments.widths.grid.width"
# Two segments, one after the other.
TWO = changed(
    (WIDTH, [4]),
    ("seeds", [0]),
    ("experiments.widths.training.epochs", 6),
    ("figures.fig4.panels", [{"metric": "test_accuracy", "block": ["task1"]}, {"metric": "alignment"}]),
)
# One segment of 99 steps, with kernels on two probes.
ONE = changed(
    (WIDTH, [4]),
    ("seeds", [0]),
    ("experiments.widths.scenario.tasks", 1),
    ("experiments.widths.training.epochs", 33),
    ("figures", {}),
)
ONE["experiments"]["larger"] = ONE["experiments"]["widths"] | {"probe": {"size": 8}}
# Added to a clone's Snakefile: otherwise Snakemake waits ten seconds longer before each further look at its jobs.
EVERY_TWO_SECONDS = """
if workflow.is_main_process:
    from snakemake_executor_plugin_slurm import Executor

    Executor.next_seconds_between_status_checks = property(lambda _: 2, lambda *_: None)
"""


@pytest.fixture(scope="module")
def slurm():
    """A real Slurm, taken down at the end unless it was up before."""
    if os.geteuid() != 0:
        pytest.skip("only root can start the daemons of Slurm")
    path = f"{os.environ['PATH']}:/usr/sbin"
    if shutil.which("slurmctld", path=path) is None:
        pytest.skip("no Slurm here: tests/slurm/up.sh --install installs Debian's packages")
    before = subprocess.run(["scontrol", "ping"], capture_output=True).returncode == 0
    up = subprocess.run([SCRIPTS / "up.sh"], capture_output=True, text=True)
    assert up.returncode == 0, up.stderr
    yield
    if not before:
        subprocess.run([SCRIPTS / "down.sh"], check=True)


def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def shown(number):
    return said("scontrol", "show", "job", number)


def submitted(folder):
    """(group, number) of the jobs that <folder>/log says have been submitted, in this order."""
    return re.findall(r"has been submitted with SLURM jobid .*/group_(\S+)/(\d+)\.log", (folder / "log").read_text())


def runs(number):
    return "JobState=RUNNING" in shown(number)


def sitting(folder, task):
    """The number of the job that has saved a state of the task's training last, while this has not ended; or 0."""
    with contextlib.suppress(ValueError, FileNotFoundError):
        (path,) = (folder / "results/.state").glob(f"*-task{task}-*/train-*/state.pt")
        return read_state(path)["work"]["sittings"]
    return 0


def cluster_clone(folder, slow_task, sittings, partition=""):
    """A clone with a GPU type, and a partition, filled in; the first jobs that train a task wait a second in each step.

    That changes no number.
    """
    clone = copy_repository(folder / "clone")
    profile = clone / "slurm/config.yaml"
    filled = profile.read_text().replace('gpu_type: ""', "gpu_type: standin")
    profile.write_text(filled.replace('partition: ""', f'partition: "{partition}"'))
    loop, step = clone / "workflow/scripts/reactivation/training/loop.py", "            now.step += 1\n"
    text = loop.read_text()
    assert text.count(step) == 1
    wait = f"""
            if len(spec["tasks"]) == {slow_task} and saved.sittings <= {sittings}:
                __import__("time").sleep(1)
"""
    loop.write_text(text.replace(step, step + wait))
    with (clone / "Snakefile").open("a") as file:
        file.write(EVERY_TWO_SECONDS)
    return clone


@contextlib.contextmanager
def started(folder, *arguments, config=None):
    """`snakemake --profile slurm <arguments>` in the background; its output goes to <folder>/log."""
    asked = (*arguments, "--profile", "slurm", "--slurm-init-seconds-before-status-checks", "1")
    called = call(folder, *asked, config=config)
    with (folder / "log").open("w") as log, subprocess.Popen(**called, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def hurried(slurm, tmp_path_factory):
    """A training of two minutes, in progress, under a time limit of one."""
    folder = cluster_clone(tmp_path_factory.mktemp("hurried"), slow_task=1, sittings=1, partition="gpu")
    limits = ("--set-resources", "train:runtime=1", "ntk:runtime=0")
    with started(folder, "--until", "ntk", *limits, config=ONE | {"device": "auto"}) as process:
        yield folder, process


@pytest.fixture(scope="module")
def local(hurried, tmp_path_factory):
    """A folder with the results of both studies, made without Slurm while the time of the training above runs out."""
    folder = finished(tmp_path_factory.mktemp("local") / "clone", TWO, "fig4")
    run = snakemake(folder, "--until", "ntk", "--cores", "2", config=ONE)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture(scope="module")
def disturbed(local, tmp_path_factory):
    """A study that was disturbed in three ways.

    Its Snakemake was killed while Slurm ran the first segment. When it was called again, the second segment's job was
    cancelled midway, and the job in its place preempted.
    """
    folder = cluster_clone(tmp_path_factory.mktemp("disturbed"), slow_task=2, sittings=2)
    with started(folder, "fig4", config=TWO) as process:
        while not (alone := submitted(folder)) or not runs(alone[0][1]):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.3)
        process.kill()
    while runs(alone[0][1]) or "JobState=COMPLETING" in shown(alone[0][1]):
        time.sleep(0.5)
    (record,) = folder.glob("results/segments/*/segment.json")
    before = record.read_bytes()
    for arguments in (("--unlock",), ("-n", "fig4")):
        run = snakemake(folder, *arguments, "--profile", "slurm", config=TWO)
        assert run.returncode == 0, run.stdout
    ways, ended, until = {1: ["scancel"], 2: ["scontrol", "requeue"]}, [], time.monotonic() + 500
    with started(folder, "fig4", "--config", "save_every=0.5", config=TWO) as process:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            if (now := sitting(folder, task=2)) in ways:
                number = submitted(folder)[-1][1]
                if runs(number):
                    ended.append((now, number))
                    said(*ways.pop(now), number)
    log = (folder / "log").read_text()
    assert process.returncode == 0, log
    return SimpleNamespace(folder=folder, log=log, alone=alone, record=(record, before), ended=ended)


def test_results_have_the_bytes_of_the_local_run_whatever_befell_its_jobs(disturbed, local):
    """Takes a minute; only here are jobs of a real Slurm ended from outside, and taken up by others."""
    folder = disturbed.folder
    (first, cancelled), (second, preempted) = disturbed.ended
    assert (first, second) == (1, 2) and cancelled != preempted
    # Snakemake restarts the cancelled job, once; Slurm itself restarts the other.
    assert disturbed.log.count("Trying to restart") == 1
    assert "JobState=CANCELLED" in shown(cancelled)
    assert "Restarts=1" in shown(preempted) and "JobState=COMPLETED" in shown(preempted)
    (record,) = folder.glob("results/segments/*-task2-*/segment.json")
    assert json.loads(record.read_text())["sittings"] == 3
    assert not list((folder / "results/.state").iterdir())
    tables = [path.relative_to(folder) for path in folder.glob("results/tiny/*/*.csv")]
    assert len(tables) == 2  # the figure and the run
    assert all((local / table).read_bytes() == (folder / table).read_bytes() for table in tables)
    check_kernels(folder, local)


def check_kernels(folder, local):
    """Assert that the kernels of two segments or on two probes have the same bits as those of the local run."""
    paths = [path.relative_to(folder) for path in folder.glob("results/segments/*/ntk-*.h5")]
    assert len(paths) == 2
    for path in paths:
        with h5py.File(folder / path) as ours, h5py.File(local / path) as theirs:
            np.testing.assert_array_equal(ours["kernels/sum"], theirs["kernels/sum"])


def test_a_segment_is_one_job(disturbed):
    """What is made of a segment goes together; data, splits, metrics and the figure are not jobs of Slurm."""
    groups = [group for group, _ in disturbed.alone + submitted(disturbed.folder)]
    segments = [path.name for path in disturbed.folder.glob("results/segments/*")]
    first, second = sorted(f"{segment}_ntk_train_within" for segment in segments)
    assert groups == [first, first, second, second]
    assert disturbed.log.count("has been submitted") == 3


def test_what_a_job_makes_after_its_snakemake_was_killed_is_not_made_again(disturbed):
    record, before = disturbed.record
    log = disturbed.folder / f"results/logs/train/{record.parent.name}.log"
    assert log.read_text() == "trained before; Snakemake had no record of it\n"
    assert record.read_bytes() == before and json.loads(before)["sittings"] == 1
    assert "Nothing to be done" in snakemake(disturbed.folder, "-n", "fig4", config=TWO).stdout


def test_without_a_gpu_none_is_asked_for_whatever_the_profile_says(disturbed):
    """The other case is asked of the jobs below, whose study says `device: auto`."""
    for _, number in submitted(disturbed.folder):
        assert "Partition=cpu" in shown(number) and "gres" not in shown(number)
        assert "NumCPUs=1 " in shown(number)


@pytest.mark.parametrize(
    "edit, asked, words",
    [
        (('partition: ""', "partition: nope"), (), "invalid partition specified: nope"),
        (
            ('gpu_type: ""', "gpu_type: a100"),
            ("--config", "device=auto"),
            "Requested node configuration is not available",
        ),
        (("", ""), ("--set-resources", "ntk:mem_mb=99000000"), "Requested node configuration is not available"),
        (("", ""), ("--set-resources", "train:runtime=6d", "ntk:runtime=2d"), "Requested time limit is invalid"),
    ],
    ids=["partition", "GPU", "memory", "time"],
)
def test_what_slurm_would_refuse_is_one_line_and_nothing_runs(slurm, tmp_path, edit, asked, words):
    folder = copy_repository(tmp_path / "clone")
    profile = folder / "slurm/config.yaml"
    profile.write_text(profile.read_text().replace(*edit, 1))
    run = snakemake(folder, "--profile", "slurm", *asked, config=TINY)
    assert run.returncode == 1 and not (folder / "results").exists()
    assert (
        len(re.findall(f"^Slurm refuses the jobs of this study \\(.*{words}.*slurm/config.yaml", run.stdout, re.M)) == 1
    )
    assert "Traceback" not in run.stdout and "sbatch call" not in run.stdout


def test_without_slurm_the_profile_says_so(tmp_path, monkeypatch):
    """Planning needs no Slurm."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "which", "git", "uname"):
        (tools / name).symlink_to(shutil.which(name))
    monkeypatch.setenv("PATH", str(tools))
    folder = copy_repository(tmp_path / "clone")
    assert snakemake(folder, "--profile", "slurm", "-n", config=TINY).returncode == 0
    run = snakemake(folder, "--profile", "slurm", config=TINY)
    assert run.returncode == 1 and not (folder / "results").exists()
    assert len(re.findall("^there is no sbatch on PATH: .*--profile slurm$", run.stdout, re.M)) == 1
    assert "Traceback" not in run.stdout


@pytest.fixture
def cut_off(hurried):
    """The folder of that training, at its end."""
    folder, process = hurried
    assert process.wait(timeout=300) == 0, (folder / "log").read_text()
    return folder


def test_a_job_that_exceeds_its_time_limit_goes_on_in_the_next_attempt(cut_off, local):
    """Waits for the limit, the shortest that Slurm has, while the tests above run."""
    (_, first), (_, last), _ = submitted(cut_off)
    assert "JobState=TIMEOUT" in shown(first) and "JobState=COMPLETED" in shown(last)
    (record,) = cut_off.glob("results/segments/*/segment.json")
    assert json.loads(record.read_text())["sittings"] == 2
    check_kernels(cut_off, local)


def test_kernels_on_a_second_probe_are_a_job_of_their_own(cut_off):
    """In one job Snakemake would compute both at once, with twice the processors and GPUs."""
    (first, _), (again, _), (second, _) = submitted(cut_off)
    assert first == again and re.fullmatch(r"\S+-task1-\w+_ntk_train", first)
    assert re.fullmatch(first.removesuffix("_ntk_train") + r"-ntk-\w+_ntk", second)


def test_where_there_may_be_a_gpu_one_is_asked_for(cut_off):
    for _, number in submitted(cut_off):
        assert "Partition=gpu" in shown(number) and "TresPerJob=gres:gpu:standin:1" in shown(number)
        assert "NumCPUs=1 " in shown(number)

"""The quickstart's Fig. 4 on a real Slurm of one node, while jobs are cancelled, preempted and cut off in time."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time

import h5py
import numpy as np
import pytest

from helpers import REPOSITORY, TINY, call, changed, copy_repository, finished, snakemake

SCRIPTS = REPOSITORY / "tests/slurm"
EVERY_SECOND = ("--slurm-init-seconds-before-status-checks", "1")
WIDTH = "experiments.widths.grid.width"
ONE_SEGMENT = (
    ("experiments.widths.scenario.tasks", 1),
    (WIDTH, [4]),
    ("seeds", [0]),
    ("figures", {}),
)
ONE = changed(*ONE_SEGMENT)
SLOW = changed(*ONE_SEGMENT, ("experiments.widths.training.epochs", 33))  # 99 steps: a second each, see `slowed`


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


def jobs(*states, segment=""):
    """(number, segment) of Slurm's jobs in these states, by number; only those whose segment contains `segment`."""
    listed = said("squeue", "-h", "-t", ",".join(states), "-S", "i", "-o", "%A|%k")
    found = (re.fullmatch(r"(\d+)\|rule_(\S+-task\d+-\w+?)_(?:ntk_)?train.*", line) for line in listed.splitlines())
    return [match.groups() for match in found if match and segment in match[2]]


def saved(folder, segment):
    """Whether the training of `segment` has saved a state and has not ended yet."""
    return any((folder / "results/.state" / segment).glob("train-*/state.pt"))


def slowed(folder):
    """Make each step of trainings in `folder` wait a second, which changes no number."""
    path = folder / "workflow/scripts/reactivation/training/loop.py"
    text = path.read_text()
    assert text.count("    optimizer.step()\n") == 1
    path.write_text(text.replace("    optimizer.step()\n", '    __import__("time").sleep(1)\n    optimizer.step()\n'))
    return folder


@contextlib.contextmanager
def started(folder, *arguments, config=None):
    """`snakemake --profile slurm <arguments>` in the background; its output goes to <folder>/log."""
    called = call(folder, *arguments, "--profile", "slurm", *EVERY_SECOND, config=config)
    with (folder / "log").open("w") as log, subprocess.Popen(**called, stdout=log, stderr=subprocess.STDOUT) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def hurried(slurm, tmp_path_factory):
    """A training of two minutes, in progress, under a time limit of one."""
    folder = slowed(copy_repository(tmp_path_factory.mktemp("hurried") / "clone"))
    with started(folder, "--set-resources", "train:runtime=1", "ntk:runtime=0", config=SLOW) as process:
        yield folder, process


@pytest.fixture(scope="module")
def disturbed(hurried, tmp_path_factory):
    """The folder of the quickstart's Fig. 4, and two segments whose jobs were ended midway, keyed by how."""
    folder = copy_repository(tmp_path_factory.mktemp("disturbed") / "clone")
    ways, ended = {"cancelled": ["scancel"], "preempted": ["scontrol", "requeue"]}, {}
    until = time.monotonic() + 400
    with started(folder, "fig4", "--config", "save_every=0.5") as process:
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            for number, segment in jobs("RUNNING"):
                left = [way for way in ways if way not in ended]
                if left and segment not in ended.values() and saved(folder, segment):
                    ended[left[0]] = segment
                    said(*ways[left[0]], number)
    assert process.returncode == 0, (folder / "log").read_text()
    return folder, ended


def test_fig4_has_the_bytes_of_the_local_run_whatever_befell_its_jobs(disturbed, quickstart_fig4):
    folder, ended = disturbed
    assert set(ended) == {"cancelled", "preempted"}
    figure = "results/quickstart/figures/fig4.csv"
    assert (folder / figure).read_bytes() == (quickstart_fig4 / figure).read_bytes()
    # Snakemake restarts the cancelled job, once; Slurm itself restarts the other.
    assert (folder / "log").read_text().count("Trying to restart") == 1
    for segment in ended.values():
        assert json.loads((folder / f"results/segments/{segment}/segment.json").read_text())["sittings"] == 2
    assert not list((folder / "results/.state").iterdir())


def test_a_segment_is_one_job(disturbed):
    """A segment's training and kernels go together; data, splits, metrics and the figure are not jobs of Slurm."""
    log = (disturbed[0] / "log").read_text()
    submitted = re.findall(r"has been submitted with SLURM jobid .*/group_(\S+)_ntk_train/\d+\.log", log)
    assert len(set(submitted)) == 8 and len(submitted) == 9 == log.count("has been submitted")


def test_where_there_may_be_a_gpu_one_is_asked_for(slurm, tmp_path):
    folder = copy_repository(tmp_path / "clone")
    profile = folder / "slurm/config.yaml"
    filled = (
        profile.read_text().replace('partition: ""', 'partition: "gpu"').replace('gpu_type: ""', "gpu_type: standin")
    )
    profile.write_text(filled)
    for device, wanted in (("auto", True), ("cpu", False)):
        run = snakemake(folder, "--profile", "slurm", *EVERY_SECOND, "--forceall", config=ONE | {"device": device})
        assert run.returncode == 0, run.stdout[-2000:]
        (number,) = re.findall(r"SLURM jobid (\d+)", run.stdout)
        shown = said("scontrol", "show", "job", number)
        assert "Partition=gpu" in shown and ("TresPerJob=gres:gpu:standin:1" in shown) == wanted
        assert "JobState=COMPLETED" in shown


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


def test_what_a_job_makes_after_its_snakemake_was_killed_is_not_made_again(slurm, tmp_path):
    folder, config = copy_repository(tmp_path / "clone"), changed(*ONE_SEGMENT, (WIDTH, [3]))  # no other test's segment
    with started(folder, config=config) as process:
        while not jobs("RUNNING", segment="-w3-"):
            assert process.poll() is None, (folder / "log").read_text()
            time.sleep(0.1)
        process.kill()
    while jobs("RUNNING", "COMPLETING", segment="-w3-"):
        time.sleep(0.5)
    (record,) = folder.glob("results/segments/*/segment.json")
    before = record.read_bytes()
    for arguments in (("--unlock",), ("-n",), ()):
        run = snakemake(folder, *arguments, "--profile", "slurm", *EVERY_SECOND, config=config)
        assert run.returncode == 0, run.stdout[-2000:]
    (log,) = folder.glob("results/logs/train/*.log")
    assert log.read_text() == "trained before; Snakemake had no record of it\n"
    assert record.read_bytes() == before and not list((folder / "results/.state").iterdir())
    assert "Nothing to be done" in snakemake(folder, "-n", config=config).stdout


def test_kernels_on_a_second_probe_are_a_job_of_their_own(slurm, tmp_path):
    """In one job Snakemake would compute both at once, with twice the processors and GPUs."""
    experiment = ONE["experiments"]["widths"]
    larger = experiment | {"probe": {"size": 8}}
    config = ONE | {"experiments": {"widths": experiment, "larger": larger}, "device": "auto"}
    folder = copy_repository(tmp_path / "clone")
    run = snakemake(folder, "--profile", "slurm", *EVERY_SECOND, config=config)
    assert run.returncode == 0, run.stdout[-2000:]
    numbers = re.findall(r"SLURM jobid (\d+)", run.stdout)
    shown = [said("scontrol", "show", "job", number) for number in numbers]
    assert len(shown) == 2 and all("NumCPUs=1 " in job and "TresPerJob=gres:gpu:1" in job for job in shown)
    assert len(list(folder.glob("results/segments/*/ntk-*.h5"))) == 2


def test_a_job_that_exceeds_its_time_limit_goes_on_in_the_next_attempt(hurried, tmp_path):
    folder, process = hurried
    assert process.wait(timeout=300) == 0, (folder / "log").read_text()
    *cut_off, last = re.findall(r"SLURM jobid (\d+)", (folder / "log").read_text())
    assert cut_off and all("JobState=TIMEOUT" in said("scontrol", "show", "job", number) for number in cut_off)
    assert "JobState=COMPLETED" in said("scontrol", "show", "job", last)
    (record,) = folder.glob("results/segments/*/segment.json")
    assert json.loads(record.read_text())["sittings"] == len(cut_off) + 1
    unhurried = finished(tmp_path / "clone", SLOW)
    ((ours,), (theirs,)) = (each.glob("results/segments/*/ntk-*.h5") for each in (folder, unhurried))
    with h5py.File(ours) as a, h5py.File(theirs) as b:
        np.testing.assert_array_equal(a["kernels/sum"], b["kernels/sum"])

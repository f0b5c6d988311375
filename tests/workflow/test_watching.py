"""What a person sees while a study runs, in a terminal and without one."""

import os
import re
import signal
import subprocess

import faults
from helpers import call, changed, copy_repository, snakemake
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study
from terminals import read, screen, terminal

LONG = changed(
    ("seeds", [0]),
    ("experiments.widths.grid.width", [4]),
    ("experiments.widths.training", {"lr": 0.05, "epochs": 200, "batch_size": 4}),
    ("experiments.widths.checkpoints", {"every": 100}),
    ("experiments.widths.metrics", {"velocity_dt": [100]}),
)
SUMMARY = re.compile(r"^\d+ of \d+ jobs done, \d+ left, 1 running, .*0:00:\d\d so far$", re.MULTILINE)
STATUS = r"epoch [\d.]+/\d+  loss \d\.\d{4}  [\d,]+ images/s  0:00:\d\d left"


def clone(folder):
    """A copy of the repository that looks and tells more often."""
    copy_repository(folder)
    module = folder / "workflow/scripts/reactivation/jobs/watch.py"
    module.write_text(module.read_text().replace("EVERY = 30", "EVERY = 0.5").replace("LOOK = 1 ", "LOOK = 0.2 "))
    return folder


def test_without_a_terminal_lines_say_how_far_jobs_are(tmp_path):
    folder = clone(tmp_path / "clone")
    (name, *_) = make_plan(load_study(LONG)).segments
    target = f"results/segments/{name}/final.pt"
    run = snakemake(folder, "--cores", "1", target, config=LONG)
    assert run.returncode == 0, run.stdout
    assert SUMMARY.search(run.stdout)
    assert re.search(rf"^  train/{name}: {STATUS}  test accuracy by task [\d.]+$", run.stdout, re.MULTILINE)
    assert "\x1b" not in run.stdout and "\r" not in run.stdout
    (log,) = folder.glob(".snakemake/log/*.snakemake.log")
    assert SUMMARY.findall(log.read_text()) == SUMMARY.findall(run.stdout)
    for words in (["--quiet"], ["--touch"]):
        assert not SUMMARY.search(snakemake(folder, "--cores", "1", target, "--forceall", *words, config=LONG).stdout)


def test_in_a_terminal_bars_stay_below_and_leave_nothing_behind(tmp_path):
    """Calls end by Ctrl-C, by a job's failure, and well; each goes on from the one before. Only a terminal shows it."""
    folder = clone(tmp_path / "clone")
    longer = LONG["experiments"]["widths"] | {"training": {"lr": 0.05, "epochs": 500, "batch_size": 4}}
    config = LONG | {"experiments": {"widths": longer}}  # begun three times, ended twice before it is done
    (name, *_) = make_plan(load_study(config)).segments
    called = call(folder, "--cores", "1", f"results/segments/{name}/final.pt", config=config)
    called["env"]["TERM"] = "xterm"

    def kill_job(run):
        (job,) = faults.jobs(folder, ("train_segment.py",))
        job.kill()

    endings = {
        "Terminating processes on user request": lambda run: os.killpg(run.pid, signal.SIGINT),
        "Error in rule train": kill_job,
        "Finished jobid: 0 (Rule: train)": lambda run: None,
    }
    for said, end_it in endings.items():
        reader, end = terminal(120, 40)
        # Tests that a shell runs in the background ignore Ctrl-C, and so does all that they start.
        heard = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
        run = subprocess.Popen(**called, **heard, stdout=end, stderr=end, start_new_session=True)
        os.close(end)
        bar = rf"█+.? +glyphs-cnn-w4-lr0.05-s0-task1  {STATUS}"
        seen = read(reader, bar)
        assert re.search(bar, seen)
        end_it(run)
        seen += read(reader, "(?!)")
        os.close(reader)
        assert run.wait(60) == (0 if "Finished" in said else 1)
        lines, column = screen(seen)
        assert any(said in line for line in lines), seen
        assert re.search(r"\d of \d+ jobs done, \d+ left, 1 running", seen)
        assert not any(re.search("jobs done|█", line) for line in lines), "\n".join(lines)
        assert column == 0 and not lines[-1]
        log = max(folder.glob(".snakemake/log/*.snakemake.log")).read_text()
        assert SUMMARY.search(log) and "\x1b" not in log and "█" not in log

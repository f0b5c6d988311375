"""How far jobs are: from logs to lines and bars."""

import logging
import os
import re
import threading
from functools import partial

import pytest

from reactivation.jobs import watch
from reactivation.jobs.watch import FREE, Progress, bars_below, last_line, layout, report, share
from terminals import read, screen, terminal


# ------------------------------------------------------------------------------------------------- its parts
def state(jobs, done=12):
    name = "glyphs-cnn-w64-a-very-long-name-of-a-segment-lr0.05-s{}-task2-0123456789"
    line = "epoch 3.42/10  loss 0.3120  5,200 images/s  0:00:12 left  test accuracy by task 0.5 0.5"
    running = [(f"train/{name.format(i)}", line if i % 3 else "") for i in range(jobs)]
    return Progress(done=done, total=241, failed=1, share=0.25, seconds=60, running=running)


@pytest.mark.parametrize("columns, rows", [(20, 5), (40, 24), (80, 24), (100, 10), (250, 60)])
@pytest.mark.parametrize("jobs", [0, 1, 3, 100])
def test_lines_fit_the_terminal(columns, rows, jobs):
    bar, lines = layout(state(jobs), columns, rows)
    assert len(lines) <= max(3, rows // 2)
    assert all(bar + 1 + len(text) <= columns - FREE for _, text in lines)
    assert lines[0][0] == 12 / 241
    assert all(part == pytest.approx(0.342 if "epoch" in text else 0) for part, text in lines[1:] if columns >= 40)
    if columns >= 80 and jobs == 100:
        assert re.fullmatch(r"gly.*s1-task2 +epoch 3.42/10  loss 0.3120  5,200 images/s  0:00:12 left.*", lines[2][1])
        assert lines[-1][1] == f"and {102 - len(lines)} more"


def test_plain_lines():
    assert report(state(100))[:3] == [
        "12 of 241 jobs done, 229 left, 100 running, 1 failed, about 0:03:00 left, 0:01:00 so far",
        f"  {state(1).running[0][0]}: not started yet",
        "  {}: {}".format(*state(2).running[1]),
    ]
    assert report(state(100))[-1] == "  and 80 more" and len(report(state(100))) == 22


def test_any_number_of_bars_comes_and_goes_below_what_is_logged():
    reader, end = terminal(60, 24)
    seen = []
    thread = threading.Thread(target=lambda: seen.append(read(reader, "(?!)")))
    thread.start()
    with os.fdopen(end, "w") as stream:
        handler = logging.StreamHandler(stream)
        said = lambda text: handler.handle(logging.makeLogRecord({"msg": text}))  # noqa: E731
        with bars_below(handler) as draw:
            for i, jobs in enumerate((0, 3, 100, 2, 100, 1)):
                draw(state(jobs))
                said(f"line {i}\nof two")
            draw(state(3))
        said("the last")
    thread.join(10)
    os.close(reader)
    lines, column = screen(seen[0])
    assert [line for line in lines if line] == [
        *(word for i in range(6) for word in (f"line {i}", "of two")),
        "the last",
    ]
    assert column == 0 and "and 90 more" in seen[0]


def test_the_last_whole_line_of_a_log_unless_it_is_an_earlier_jobs(tmp_path):
    log = tmp_path / "log"
    assert last_line(log, 0) == (0, "")
    for content, line in {
        b"": "",
        b"epoch 1/2  lo": "",
        b"epoch 1/2\nepoch 2/": "epoch 1/2",
        b"x" * 9000 + b"\n \xff\x1b[1mloss\r\n\n": "\ufffd[1mloss",
    }.items():
        log.write_bytes(content)
        assert last_line(log, log.stat().st_mtime)[1] == line
        assert last_line(log, log.stat().st_mtime + 0.1) == (0, "")


@pytest.mark.parametrize(
    "line, expected",
    [
        ("epoch 3.5/10  loss 0.3", 0.35),
        ("checkpoint 5/25  epoch 3.000", 0.2),
        ("20/40 images  9.0 images/s", 0.5),
        ("0/0 images", 0),
        ("error: data/1/2 is no folder", 0),
        ("", 0),
    ],
)
def test_how_far_a_line_says_a_job_is(line, expected):
    assert share(line) == pytest.approx(expected)


class Job:
    """A job, or a group of jobs, with what `look` reads of it."""

    def __init__(self, rule, log=None, jobs=()):
        self.rule, self.log, self.jobs = type("Rule", (), {"name": rule}), [log] if log else [], jobs

    def is_group(self):
        return bool(self.jobs)

    def __len__(self):
        return len(self.jobs) or 1


def test_a_group_is_shown_by_the_job_that_wrote_last(tmp_path):
    """Slurm's jobs are such groups: a segment's training and its kernels, on another machine."""
    train, ntk = (Job(rule, tmp_path / f"{rule}.log") for rule in ("train", "ntk"))
    group, everything, waiting = Job("", jobs=(ntk, train)), Job("all"), Job("train", tmp_path / "none.log")
    scheduler = type("Scheduler", (), {"finished_jobs": 1, "failed": {group}})
    dag = type("Dag", (), {"finished": lambda self, job: job is waiting, "__len__": lambda self: 9})()
    workflow = type("Workflow", (), {"scheduler": scheduler, "dag": dag})
    running = {waiting: 1.0, group: 2.0, everything: 3.0}
    look = partial(watch.look, workflow, [train, ntk, waiting], running, 7)
    name = lambda job: str(job.log[0]).removesuffix(".log")  # noqa: E731
    assert look().running == [(name(waiting), ""), (name(train), "")]
    for job, line in ((train, "epoch 2/2"), (ntk, "checkpoint 1/4")):
        job.log[0].write_text(f"{line}\n")
        os.utime(job.log[0], (100, 100 + (job is ntk)))
        assert look().running == [(name(job), line), (name(waiting), "")]
    assert look() == Progress(1, 9, 2, pytest.approx((1 + 1 / 4 + 1) / 3), 7, look().running)

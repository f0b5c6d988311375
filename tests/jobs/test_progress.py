"""A long job's lines in its log."""

from helpers import own_process

JOB = """
from reactivation.jobs import progress
from reactivation.jobs.job import log_to
progress.EVERY = 0
with log_to(r"{log}"):
    assert list(progress.progress(iter(range(30)), {total}, "images")) == list(range(30))
    print("done")
"""


def test_the_log_counts(tmp_path):
    assert own_process(JOB.format(log=tmp_path / "log", total=30)) == ""
    first, *_, last, done = (tmp_path / "log").read_text().split("\n")[:-1]
    assert first.startswith("0/30 images  ")
    assert last.startswith("30/30 images  ") and last.endswith("images/s  00:00 left")
    assert done == "done"


def test_without_knowing_how_many_there_are(tmp_path):
    assert own_process(JOB.format(log=tmp_path / "log", total=None)) == ""
    assert "\n30/? images  " in (tmp_path / "log").read_text()

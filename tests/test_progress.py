"""Where a job's progress is seen."""

import os
import pty
import re
import subprocess
import sys

from helpers import REPOSITORY, own_process

JOB = """
from reactivation.job import logged
from reactivation.progress import progress
with logged(r"{log}"):
    assert list(progress(range(30), 30, "images")) == list(range(30))
    print("done")
"""


def test_the_bar_is_on_the_terminal_although_the_job_prints_into_its_log(tmp_path):
    reader, terminal = pty.openpty()
    code = JOB.format(log=tmp_path / "log")
    run = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY / "workflow/scripts", stderr=terminal)
    os.close(terminal)
    seen = b""
    try:
        while part := os.read(reader, 1024):
            seen += part
    except OSError:  # how a terminal whose other end is closed says so
        pass
    os.close(reader)
    assert run.wait() == 0
    assert re.search(r"100%.* 30/30 \[.* images/s\]", seen.decode().split("\r")[-2])
    assert (tmp_path / "log").read_text() == "done\n"


def test_without_a_terminal_the_log_has_lines(tmp_path):
    assert own_process(JOB.format(log=tmp_path / "log")) == ""
    first, *_, last, done = (tmp_path / "log").read_text().split("\n")[:-1]
    assert first.startswith("0%") and " 0/30 [" in first
    assert last.startswith("100%") and " 30/30 [" in last
    assert done == "done"

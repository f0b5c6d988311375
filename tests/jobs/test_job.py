"""What a job's log says about an error."""

import errno
import shutil
from pathlib import Path

import pytest

from reactivation.errors import InputError
from reactivation.jobs.job import log_to


def test_a_users_mistake_is_one_line_in_the_log(tmp_path):
    with pytest.raises(SystemExit) as stopped, log_to(tmp_path / "log"):
        print("before")
        raise InputError("key: wrong")
    assert stopped.value.code == 1
    assert (tmp_path / "log").read_text() == "before\nerror: key: wrong\n"


def test_our_mistake_is_a_traceback_in_the_log(tmp_path):
    with pytest.raises(SystemExit), log_to(tmp_path / "log"):
        raise ZeroDivisionError("ours")
    assert "Traceback" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "error, said",
    [
        (
            OSError(errno.EROFS, "Read-only file system", "results/a"),
            "results/a cannot be read or written, as its file",
        ),
        (OSError(errno.EFBIG, "File too large"), "a file of this job would be larger than a file may be"),
        (PermissionError(errno.EACCES, "Permission denied", "a.png"), "a.png cannot be read or written by this user"),
        (RuntimeError("write failed: errno = 28, error message = 'No space left on device'"), "no room for a file of"),
        (shutil.Error([("a", "b", "[Errno 30] Read-only file system: 'b'")]), "a file of this job cannot be read or"),
    ],
)
def test_what_the_system_refuses_is_one_line_in_the_log(tmp_path, error, said):
    with pytest.raises(SystemExit) as stopped, log_to(tmp_path / "log"):
        raise error
    assert stopped.value.code == 1
    assert (tmp_path / "log").read_text().startswith(f"error: {said}")
    assert (tmp_path / "log").read_text().count("\n") == 1


def test_a_process_that_cannot_be_started_is_no_lock(tmp_path):
    with pytest.raises(SystemExit), log_to(tmp_path / "log"):
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
    assert "Traceback" in (tmp_path / "log").read_text()


def test_a_log_that_cannot_be_written_is_said_on_the_terminal(tmp_path, capsys, monkeypatch):
    def refused(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(SystemExit) as stopped, log_to(tmp_path / "log"):
        raise AssertionError("never reached")
    assert stopped.value.code == 1
    line = "cannot be read or written, as its file system is read-only: make it writable and run again"
    assert capsys.readouterr().out.startswith(f"error: {tmp_path / 'log'} {line}")

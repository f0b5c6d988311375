"""What a job's log says about an error."""

import pytest

from reactivation.errors import InputError
from reactivation.jobs.job import logged


def test_a_users_mistake_is_one_line_in_the_log(tmp_path):
    with pytest.raises(SystemExit) as stopped, logged(tmp_path / "log"):
        print("before")
        raise InputError("key: wrong")
    assert stopped.value.code == 1
    assert (tmp_path / "log").read_text() == "before\nerror: key: wrong\n"


def test_our_mistake_is_a_traceback_in_the_log(tmp_path):
    with pytest.raises(SystemExit), logged(tmp_path / "log"):
        raise ZeroDivisionError("ours")
    assert "Traceback" in (tmp_path / "log").read_text()

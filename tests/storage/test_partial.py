"""Temporary names: what nobody writes any more goes, what another clone or machine is writing stays."""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reactivation.storage.files import atomic, publish, write_json, write_text
from reactivation.storage.partial import abandoned, fitting


def name_of(pid, path):
    """The temporary name of a file that the process of this machine with the number `pid` writes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: pid)
        with contextlib.suppress(FileNotFoundError), atomic(path) as temporary:
            pass
    return temporary.name


DEAD = 4194305  # more than any process has


def test_what_another_process_is_writing_is_left(tmp_path):
    """A file stays while its process on this machine lives. A file from another machine stays for a day."""
    dead, of_other_file = (name_of(DEAD, tmp_path / name) for name in ("a.txt", "b-a.txt"))
    machine = dead.split("-")[1]
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        living = name_of(other.pid, tmp_path / "a.txt")
        elsewhere = dead.replace(machine, "0123456789ab")
        before_reboot = living.replace(machine, f"{machine[:8]}{'0000' if machine[8:] != '0000' else '1111'}")
        everyone = (living, elsewhere, dead, before_reboot, of_other_file, ".partial-12-a.txt", ".partial-a.txt")
        for left in everyone:
            (tmp_path / left).write_text("half")
        write_json(tmp_path / "a.txt", {})
        assert {path.name for path in tmp_path.iterdir()} == {"a.txt", living, elsewhere, of_other_file}
        for left in (living, elsewhere):
            os.utime(tmp_path / left, (time.time() - 90_000,) * 2)
        write_json(tmp_path / "a.txt", {})
        assert {path.name for path in tmp_path.iterdir()} == {"a.txt", of_other_file}
        other.stdin.close()


def test_a_process_that_was_killed_does_not_live_on_because_nobody_asked_for_its_end(tmp_path):
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    left = tmp_path / name_of(zombie.pid, tmp_path / "a.txt")
    left.touch()
    assert abandoned(left)
    zombie.wait()


def test_folders_that_others_are_publishing_are_left(tmp_path):
    dead = tmp_path / name_of(DEAD, tmp_path / "out")
    elsewhere = tmp_path / dead.name.replace(dead.name.split("-")[1], "0123456789ab")
    (tmp_path / "work").mkdir()
    (tmp_path / "work/step1.pt").write_text("weights")
    for left in (elsewhere, dead, tmp_path / ".partial-out"):
        left.mkdir()
        (left / "step1.pt").touch()
    publish(tmp_path / "work", tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == sorted([elsewhere, tmp_path / "out", tmp_path / "work"])


def test_clones_that_publish_the_same_folder_at_the_same_time_both_succeed(tmp_path, monkeypatch):
    """The other one is done between the moment that this one removed the folder and the moment that it renames."""
    (tmp_path / "work").mkdir()
    (tmp_path / "work/step1.pt").write_text("weights")
    rename = Path.replace

    def other_was_faster(path, target):
        monkeypatch.setattr(Path, "replace", rename)
        shutil.copytree(tmp_path / "work", tmp_path / "out")
        return rename(path, target)

    monkeypatch.setattr(Path, "replace", other_was_faster)
    publish(tmp_path / "work", tmp_path / "out")
    assert (tmp_path / "out/step1.pt").read_text() == "weights"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "work"]


# -------------------------------------------------------------------------------------------------------- names
@pytest.mark.parametrize("name", ["x" * 251 + ".csv", "é" * 125 + ".h5", "y" * 255], ids=["csv", "h5", ""])
def test_a_name_as_long_as_a_file_may_have_can_be_written(tmp_path, name):
    for _ in range(2):
        with atomic(tmp_path / name) as temporary:
            temporary.write_text("whole")
            assert temporary.suffix == Path(name).suffix and len(temporary.name.encode()) <= 255
    (tmp_path / name_of(DEAD, tmp_path / name)).touch()
    write_text(tmp_path / name, "again")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_names_are_cut_between_letters():
    for most in range(40, 60):
        cut = fitting("Größe-" * 20, most, "-s0")
        assert len(cut.encode()) in (most, most - 1) and cut.startswith("Größe-") and cut.endswith("-s0")
    assert fitting("short", 5) == "short" and fitting("a" * 30, 20) == f"{'a' * 9}-{fitting('a' * 30, 20)[-10:]}"
    assert fitting("a" * 30, 20) != fitting("a" * 31, 20)

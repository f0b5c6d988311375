"""What was written is what is read: missing, cut, changed and foreign files are named, each with what to do."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reactivation.errors import InputError
from reactivation.storage.files import write_json
from reactivation.storage.hdf5 import new_hdf5
from reactivation.storage.receipts import (
    LARGE,
    check_input,
    checkpoint_paths,
    described,
    is_result,
    listed,
    read_receipt,
    receipt_path,
    write_receipt,
)


@pytest.fixture
def results(tmp_path, monkeypatch):
    """The folder of a workflow with a table of two rows and a segment; the working directory."""
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "results/study/runs/a-s0.csv"
    run.parent.mkdir(parents=True)
    run.write_text("step,value\n0,1.5\n1,2.5\n")
    write_receipt("results/study/runs/a-s0.csv", {"versions": {}})
    segment("a-0123456789")
    return tmp_path / "results"


def segment(name):
    folder = Path("results/segments", name)
    (folder / "checkpoints").mkdir(parents=True)
    for step in (0, 1):
        (folder / f"checkpoints/step{step:08d}.pt").write_text(f"weights {step} of {name}")
    (folder / "final.pt").write_text("weights")
    (folder / "evaluation.csv").write_text("step\n0\n1\n")
    write_json(folder / "segment.json", {"outputs": listed(folder)})
    write_receipt(folder / "segment.json", {"versions": {}})


def said(path):
    with pytest.raises(InputError) as error:
        check_input(path)
    return str(error.value)


RUN = "results/study/runs/a-s0.csv"
SEGMENT = "results/segments/a-0123456789"


def test_what_was_written_passes(results):
    for path in (RUN, f"{SEGMENT}/checkpoints", f"{SEGMENT}/final.pt", f"{SEGMENT}/segment.json"):
        check_input(path)
    assert [path.name for path in checkpoint_paths(f"{SEGMENT}/checkpoints")] == ["step00000000.pt", "step00000001.pt"]


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_text("step,value\n0,1.5\n"), "has 1 row instead of 2"),
        (lambda path: path.write_text("step,value\n0,1.5\n1,2.55\n"), "has 24 bytes instead of 23"),
        (
            lambda path: path.write_text("step,value\n0,1.5\n1,2.6\n"),
            "is not what was written there (its digest differs)",
        ),
    ],
)
def test_a_changed_table_is_named(results, spoil, words):
    spoil(results / "study/runs/a-s0.csv")
    assert said(RUN) == f"{RUN} {words}: delete it and run again"


@pytest.mark.parametrize(
    "spoil, words",
    [
        (lambda folder: (folder / "checkpoints/step00000001.pt").unlink(), "checkpoints/step00000001.pt is missing"),
        (
            lambda folder: os.truncate(folder / "checkpoints/step00000000.pt", 4),
            "checkpoints/step00000000.pt has 4 bytes",
        ),
        (
            lambda folder: (folder / "checkpoints/step00000001.pt").write_text("weights 1 of b-0123456789"),
            "checkpoints/step00000001.pt is not what was written there",
        ),
        (lambda folder: shutil.rmtree(folder / "checkpoints"), "checkpoints/step00000000.pt is missing"),
    ],
)
def test_a_checkpoint_is_named_and_its_whole_segment_is_to_be_deleted(results, spoil, words):
    """Snakemake would not see that one file of a folder is gone."""
    spoil(results / "segments/a-0123456789")
    message = said(f"{SEGMENT}/checkpoints")
    assert message.startswith(f"{SEGMENT}/{words}") and message.endswith(f": delete {SEGMENT}, a folder, and run again")


def test_another_segments_record_is_not_this_ones(results):
    segment("b-0123456789")
    shutil.copy(results / "segments/b-0123456789/segment.json", results / "segments/a-0123456789/segment.json")
    assert "segments/a-0123456789/segment.json is not what was written there" in said(f"{SEGMENT}/final.pt")


def test_a_result_without_a_record_is_refused(results):
    receipt_path(RUN).unlink()
    assert said(RUN).startswith(f"{RUN} has no record of what was written (results/.made/study/runs/a-s0.csv.json)")
    for text in ("", "{", "[]", "{}"):
        receipt_path(RUN).write_text(text)
        assert read_receipt(RUN) is None


def test_a_record_that_lists_no_files_is_refused(results):
    write_json(f"{SEGMENT}/segment.json", {"config": {}})
    write_receipt(f"{SEGMENT}/segment.json", {"versions": {}})
    assert "segment.json does not list the segment's files" in said(f"{SEGMENT}/final.pt")


def test_files_of_users_have_no_record():
    ours = ("results/a/runs/x.csv", "results/a/claims.csv", "results/data/x.h5", "results/segments/s/final.pt")
    assert all(map(is_result, ours))
    assert not any(map(is_result, ("kernels/mine.h5", "/data/mine.h5", "results/a/hand.csv")))


def test_a_large_file_of_the_same_size_and_time_is_not_read_again(results):
    path = results / "data/d-0123456789.h5"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(LARGE)
    write_receipt("results/data/d-0123456789.h5", {"versions": {}})
    entry, at = json.loads(receipt_path("results/data/d-0123456789.h5").read_text()), path.stat().st_mtime_ns
    assert entry["mtime_ns"] == at and entry["sha256"] == described(path)["sha256"]
    os.utime(path, ns=(at + 10**9, at + 10**9))  # as by Snakemake, once the job has ended
    check_input("results/data/d-0123456789.h5")
    at = path.stat().st_mtime_ns
    assert read_receipt("results/data/d-0123456789.h5")["mtime_ns"] == at
    with path.open("r+b") as file:
        file.write(b"x")
    assert "is not what was written there" in said("results/data/d-0123456789.h5")
    os.utime(path, ns=(at, at))
    check_input("results/data/d-0123456789.h5")


OPEN = "import h5py, sys, time; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); time.sleep(60)"


def test_a_file_that_another_program_writes_is_not_taken_for_another(results):
    """HDF5 marks a file that is open for writing in the file itself; a program that is killed leaves the mark."""
    path = Path("results/data/d-0123456789.h5")
    with new_hdf5(path) as file:
        file["x"] = 1
    write_receipt(path, {"versions": {}})
    writer = subprocess.Popen([sys.executable, "-c", OPEN, path], stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"open\n"
    assert said(path) == f"{path} is locked by another program that has it open: close it there and run again"
    writer.kill()
    writer.communicate()
    assert said(path).endswith(f"if that was killed, remove the mark with: h5clear -s {path}")

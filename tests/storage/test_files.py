"""Files are whole or absent, and damage to any kind of file is named."""

import os
import pickle
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers import REPOSITORY, flips
from reactivation.errors import InputError
from reactivation.storage.arrays import read_arrays, write_arrays
from reactivation.storage.checkpoints import read_checkpoint, write_checkpoint
from reactivation.storage.datasets import read_class_count, read_images, read_labels, read_normalisation, write_dataset
from reactivation.storage.files import archive_digest, atomic, publish, write_json
from reactivation.storage.kernels import read_kernels, write_kernels
from reactivation.storage.rows import EVALUATION, read_rows, write_rows
from reactivation.training.networks import cnn


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("whole")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Otherwise a machine that dies may leave the name without its content, which no kill of a process shows."""
    synced, path = [], tmp_path / "file.txt"
    fsync = os.fsync

    def noted(descriptor):
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with atomic(path) as temporary:
        temporary.write_text("whole")
    assert synced == [(path.stat().st_ino, 5, False)]


def test_a_pickle_in_place_of_weights_or_indices_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    evil = {"step": 1, "epoch": 1.0, "model": Evil()}
    torch.save(evil, tmp_path / "archive.pt")
    torch.save(evil, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(evil, protocol=2))
    np.savez(tmp_path / "objects.npz", test=np.array([Evil()], dtype=object))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps({"test": Evil()}))
    for path in sorted(tmp_path.iterdir()):
        weights = path.suffix == ".pt"
        with pytest.raises(InputError, match="is not a readable checkpoint" if weights else "is damaged") as caught:
            (read_checkpoint if weights else read_arrays)(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "ran").exists()


def test_damaged_results_are_named(tmp_path):
    kernels = {"sum": np.zeros((2, 3, 3))}
    steps = np.array([1, 2])
    write_kernels(tmp_path / "ntk.h5", kernels, steps, steps / 2, {"label": np.zeros(3)}, {})
    write_arrays(tmp_path / "split.npz", test=np.arange(100))
    row = {"step": 1, "epoch": 1.0, "class": 0, "images": 1, "test_accuracy": 0.5, "test_loss": 1.0}
    write_rows(tmp_path / "evaluation.csv", [row, row])
    readers = {
        "ntk.h5": read_kernels,
        "split.npz": read_arrays,
        "evaluation.csv": lambda path: read_rows(path, EVALUATION),
    }
    for name, read in readers.items():
        read(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - 15 if name == "evaluation.csv" else len(content) // 2])
        with pytest.raises(InputError, match=rf"{name} is damaged \(.*\): delete it and run again"):
            read(tmp_path / name)


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_is_published_survives_its_first_name(tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    (tmp_path / "work/checkpoints").mkdir(parents=True)
    (tmp_path / "work/checkpoints/step1.pt").write_text("weights")
    (tmp_path / "work/final.pt").write_text("final")
    (tmp_path / "out/checkpoints").mkdir(parents=True)
    (tmp_path / "out/checkpoints/of-before").touch()
    for _ in range(2):  # a job that is killed in between does it again
        for name in ("checkpoints", "final.pt"):
            publish(tmp_path / "work" / name, tmp_path / "out" / name)
    shutil.rmtree(tmp_path / "work")
    found = {path.relative_to(tmp_path / "out"): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(name): path.read_text() for name, path in found.items()} == {
        "checkpoints/step1.pt": "weights",
        "final.pt": "final",
    }


def test_what_a_killed_job_left_goes_when_the_file_is_written_again(tmp_path):
    code = f"""
import os, signal
from reactivation.storage.files import atomic
with atomic({str(tmp_path / "a.txt")!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "workflow/scripts")
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".partial-")
    write_json(tmp_path / "b.json", {})  # another file's leftovers stay
    assert left.exists()
    write_json(tmp_path / "a.txt", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.json"]


def test_a_bit_that_flips_is_noticed_or_of_no_account(tmp_path):
    """Each reader raises InputError with the file's name, or reads what was written.

    Only many random places find what no checksum of a format covers.
    """
    rng = np.random.default_rng(0)
    probe = {"index": np.arange(4), "label": np.array([0, 0, 1, 1]), "task": np.array([1, 1, 2, 2])}
    kernels = {"sum": rng.normal(size=(3, 4, 4)), "trace": rng.normal(size=(3, 4, 4))}
    times = np.arange(3), np.arange(3) / 2
    write_kernels(tmp_path / "ntk.h5", kernels, *times, probe, {"config": "x" * 200}, {"head": kernels})
    samples = [
        (part, f"c{i % 2}", rng.integers(0, 256, (8, 8, 3), np.uint8)) for i in range(8) for part in ("train", "test")
    ]
    write_dataset(tmp_path / "data.h5", samples)
    write_checkpoint(tmp_path / "a.pt", cnn(2, 8, 3).state_dict(), 7, 1.5)
    write_arrays(tmp_path / "split.npz", test=np.arange(100), task1_train=np.arange(50))
    readers = {
        "ntk.h5": lambda path: read_kernels(path),
        "data.h5": lambda path: [
            *read_images(path, "train", np.arange(8)),
            *read_labels(path),
            *read_normalisation(path),
            read_class_count(path),
        ],
        "a.pt": lambda path: read_checkpoint(path),
        "split.npz": lambda path: read_arrays(path),
    }
    for name, read in readers.items():
        path = tmp_path / name
        whole, noticed = read(path), 0
        for damaged in flips(path.read_bytes(), 400, seed=0):
            path.write_bytes(damaged)
            try:
                again = read(path)
            except InputError as error:
                noticed += 1
                assert str(path) in str(error) and "delete" in str(error) and "\n" not in str(error)
            else:
                torch.testing.assert_close(again, whole, rtol=0, atol=0)
        assert noticed > 100, name


def test_archives_are_told_apart_by_their_content(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(seed)
        write_checkpoint(tmp_path / f"{name}.pt", cnn(2, 8, 3).state_dict(), 7, 1.5)
    a, b, c = (archive_digest(tmp_path / f"{name}.pt") for name in "abc")
    assert a == b != c

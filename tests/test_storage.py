"""Files: whole or absent, and read as they were written."""

import os

import h5py
import numpy as np
import pytest
import torch
from reactivation import storage
from reactivation.errors import InputError
from reactivation.job import logged
from reactivation.models import cnn


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with storage.atomic(path) as temporary:
        temporary.write_text("whole")
    with pytest.raises(RuntimeError), storage.atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_checkpoints(tmp_path):
    model = cnn(2, 8, 3)
    storage.write_checkpoint(tmp_path / "a.pt", model, 7, 1.5)
    read = storage.read_checkpoint(tmp_path / "a.pt")
    assert (read["step"], read["epoch"]) == (7, 1.5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(read["model"][name], tensor)


def test_a_pickle_in_place_of_weights_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    torch.save({"model": Evil()}, tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a.pt is no readable checkpoint"):
        storage.read_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "ran").exists()


def test_truncated_checkpoints_are_named(tmp_path):
    storage.write_checkpoint(tmp_path / "a.pt", cnn(2, 8, 3), 7, 1.5)
    whole = (tmp_path / "a.pt").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "a.pt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a.pt is no readable checkpoint"):
            storage.read_checkpoint(tmp_path / "a.pt")


def test_damaged_results_are_named(tmp_path):
    kernels = {"sum": np.zeros((2, 3, 3))}
    steps = np.array([1, 2])
    storage.write_kernels(tmp_path / "ntk.h5", kernels, steps, steps / 2, {"label": np.zeros(3)}, {})
    storage.write_arrays(tmp_path / "split.npz", test=np.arange(100))
    row = {"step": 1, "epoch": 1.0, "class": 0, "images": 1, "test_accuracy": 0.5, "test_loss": 1.0}
    storage.write_rows(tmp_path / "evaluation.csv", [row, row])
    readers = {
        "ntk.h5": storage.read_kernels,
        "split.npz": storage.read_arrays,
        "evaluation.csv": storage.read_evaluation,
    }
    for name, read in readers.items():
        read(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - 15 if name == "evaluation.csv" else len(content) // 2])
        with pytest.raises(InputError, match=rf"{name} is damaged \(.*\): delete it and run again"):
            read(tmp_path / name)


@pytest.mark.parametrize("hard_links", [True, False])
def test_a_link_survives_its_checkpoint(tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    (tmp_path / "step1.pt").write_text("weights")
    storage.link(tmp_path / "step1.pt", tmp_path / "final.pt")
    (tmp_path / "step1.pt").unlink()
    assert (tmp_path / "final.pt").read_text() == "weights"


def test_kernels_are_all_that_a_reader_needs_to_know(tmp_path):
    stack = np.random.default_rng(0).normal(size=(3, 4, 4))
    probe = {"index": np.arange(4), "label": np.array([0, 0, 1, 1]), "task": np.array([1, 1, 2, 2])}
    path = tmp_path / "ntk.h5"
    storage.write_kernels(path, {"sum": stack}, np.array([1, 2, 4]), np.array([0.1, 0.2, 0.4]), probe, {"host": "h"})
    assert (h5py.File(path)["kernels/sum"][:] == stack).all()
    with h5py.File(path) as file:
        assert file["kernels/sum"].chunks == (1, 4, 4)
        assert file.attrs["host"] == "h"
    read = storage.read_kernels(path)
    assert read["step"].tolist() == [1, 2, 4] and read["probe"]["task"].tolist() == [1, 1, 2, 2]


def test_tables_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    storage.write_rows(tmp_path / "e.csv", [
        {"step": 1, "epoch": value, "class": 0, "images": 2, "test_accuracy": np.float64(1 / 3), "test_loss": 1e-300}
    ])  # fmt: skip
    (row,) = storage.read_evaluation(tmp_path / "e.csv")
    assert (row["epoch"], row["test_accuracy"], row["test_loss"]) == (value, 1 / 3, 1e-300)


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

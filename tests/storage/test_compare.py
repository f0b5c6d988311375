"""Whether two files hold the same result, apart from notes on their making; on a GPU, within bounds."""

import zlib

import h5py
import numpy as np
import pytest
import torch

from reactivation.storage.arrays import write_arrays
from reactivation.storage.checkpoints import read_checkpoint, write_checkpoint, write_tensors
from reactivation.storage.compare import BOUNDS, apart, difference, pixels
from reactivation.storage.kernels import write_kernels
from reactivation.storage.receipts import described

PROBE = {"index": np.arange(3), "label": np.arange(3), "held_out": np.zeros(3, bool), "task": np.ones(3, int)}


@pytest.fixture
def pair(tmp_path):
    (tmp_path / "made").mkdir()
    (tmp_path / "there").mkdir()
    return lambda name: (tmp_path / "made" / name, tmp_path / "there" / name)


def compared(made, there, entry=None, loose=False, **early):
    return difference(made, there, entry, loose, **early)


def test_checkpoints(pair):
    made, there = pair("step00000001.pt")
    weights = {"a": torch.tensor([1.0, -4.0]), "b": torch.tensor([0.5])}
    write_checkpoint(there, weights, 1, 0.5)
    write_checkpoint(made, weights, 1, 0.5)
    assert compared(made, there) is None and compared(made, there, described(there)) is None
    write_checkpoint(made, weights | {"a": torch.tensor([1.0, -4.001])}, 1, 0.5)
    words = compared(made, there)
    assert words == "has other bits: a by 0.0002 of its largest weight"
    assert compared(made, there, described(there)) == words
    assert compared(made, there, loose=True) is None
    write_checkpoint(made, weights | {"a": torch.tensor([1.0, -4.1])}, 1, 0.5)
    assert compared(made, there, loose=True) == "has other bits: a by 0.02 of its largest weight"
    write_tensors(there, read_checkpoint(there) | {"optimizer": {"state": {0: torch.ones(2)}}})
    write_checkpoint(made, weights, 1, 0.5)
    assert compared(made, there) == "has another state of the optimizer, or another step"
    write_checkpoint(made, {"a": weights["a"]}, 1, 0.5)
    assert compared(made, there, loose=True) == "has other weights"


def test_checkpoints_that_are_gone_are_compared_by_their_record(pair):
    made, there = pair("step00000001.pt")
    write_checkpoint(made, {"a": torch.ones(2)}, 1, 0.5)
    entry = described(made)
    assert compared(made, there, entry) is None
    assert "nothing was recorded" in compared(made, there)
    assert "they differ" in compared(made, there, entry | {"sha256": "0"})
    assert compared(there, made) == "was not made again"


def kernels(path, values, steps, **notes):
    write_kernels(path, {"sum": values}, np.array(steps), np.array(steps) / 4, PROBE, {"diverged": "null"} | notes)


def test_kernels_of_the_first_checkpoints(pair):
    made, there = pair("ntk-0.h5")
    values = np.random.default_rng(0).normal(size=(3, 3, 3))
    kernels(there, values, [0, 1, 2], host="b", seconds="2")
    kernels(made, values[:2], [0, 1], host="a", seconds="1")
    assert compared(made, there, first=2) is None
    close = values[:2] + 0.1 * BOUNDS["kernels"] * np.abs(values).max()
    kernels(made, close, [0, 1])
    assert (
        compared(made, there, first=2).startswith("has other bits: kernels/sum by ")
        and compared(made, there, loose=True, first=2) is None
    )
    kernels(made, values[:2] * 1.01, [0, 1])
    assert "kernels/sum" in compared(made, there, loose=True, first=2)
    kernels(made, values[:2], [0, 4])
    assert "has other bits: epoch" in compared(made, there, first=2)
    kernels(made, np.concatenate([values, values]), range(6))
    assert "another number of entries" in compared(made, there, first=2)
    kernels(made, values, [0, 1, 2], diverged='{"step": 3}')
    assert compared(made, there) == "has another diverged"
    kernels(made, values[:1], [0])
    assert compared(made, there, first=2) == "has another number of entries in epoch"
    kernels(made, values[:2], [0, 1])
    assert compared(made, there, first=3) == "has another number of entries in epoch"


def test_data_sets_apart_from_notes(pair):
    made, there = pair("a.h5")
    for path, digest, day in ((made, "x", "1"), (there, "x", "2")):
        with h5py.File(path, "w") as file:
            file["train/images"] = np.arange(12, dtype=np.uint8)
            file.attrs.update(digest=digest, started=day)
    assert compared(made, there) is None
    with h5py.File(made, "a") as file:
        file.attrs["digest"] = "y"
    assert compared(made, there) == "has another digest"
    with h5py.File(made, "a") as file:
        file["train/labels"] = np.arange(2)
    assert "train/labels" in compared(made, there)


def test_arrays(pair):
    made, there = pair("a.npz")
    write_arrays(there, a=np.arange(3))
    write_arrays(made, a=np.arange(3))
    assert compared(made, there) is None
    write_arrays(made, a=np.arange(1, 4))
    assert compared(made, there) == "has other contents"


def test_tables(pair):
    made, there = pair("evaluation.csv")
    there.write_text("step,loss,seconds\n1,0.5,3\n2,0.25,3\n")
    made.write_text("step,loss,seconds\n1,0.5,9\n")  # stopped early, on a slower machine
    assert compared(made, there, until=2) is None
    assert "rows" in compared(made, there, until=3) and "rows" in compared(made, there)
    made.write_text("step,loss,seconds\n1,0.501,9\n")
    assert compared(made, there, until=2) == "has 0.501 instead of 0.5 as loss in row 1"
    assert compared(made, there, loose=True, until=2) is None
    for name in ("function-0123456789.csv", "within.csv"):
        made, there = pair(name)
        there.write_text("step,class,distance\n1,0,0.5\n1,1,0.5\n2,0,0.5\n2,1,0.5\n")
        made.write_text("step,class,distance\n1,0,0.5\n1,1,0.5\n")
        assert compared(made, there, first=1) is None and "rows" in compared(made, there, first=2)
    made, there = pair("run.csv")
    there.write_text("step,loss,word\n1,0.5,a\n2,0.25,b\n")
    made.write_text("step,loss,word\n1,0.5,a\n")  # not a table that may end early
    assert "rows" in compared(made, there)
    made.write_text("step,loss,word\n1,0.5,a\n2,0.25,c\n")
    assert "instead of b as word" in compared(made, there, loose=True)


def png(path, rows, text):
    def chunk(kind, content):
        return len(content).to_bytes(4, "big") + kind + content + zlib.crc32(kind + content).to_bytes(4, "big")

    parts = [chunk(b"IHDR", b"1"), chunk(b"tEXt", text), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_pictures_by_their_pixels(pair):
    made, there = pair("a.png")
    png(there, b"rows", b"Monday")
    png(made, b"rows", b"Tuesday")
    assert compared(made, there) is None and pixels(made) == b"1rows"
    png(made, b"roWs", b"Monday")
    assert compared(made, there) == "has other pixels"


def test_text(pair):
    made, there = pair("claims.md")
    there.write_text("a")
    assert compared(made, there) == "was not made again"
    made.write_text("a")
    assert compared(made, there) is None
    made.write_text("b")
    assert compared(made, there) == "has other bytes"
    there.unlink()
    assert compared(made, there) == "is missing"


def test_how_far_arrays_are_apart():
    assert apart(np.array([1.0, np.nan]), np.array([1.0, np.nan])) == 0
    assert apart(np.array([2.0, 1.0]), np.array([4.0, 1.0])) == 0.5
    assert apart(np.array([1.0, np.nan]), np.array([1.0, 1.0])) == np.inf == apart(np.ones(1), np.zeros(1))

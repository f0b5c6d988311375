"""A tight memory limit: less memory is taken, what does not fit goes to a temporary file, and kernels are the same."""

import contextlib
import errno
import json
import os

import numpy as np
import pytest
import torch

from helpers import own_process
from kernel_cases import KINDS, assert_close, expected, in_double
from reactivation.ntk import blocks, empirical_ntk, guards, store
from reactivation.training.networks import cnn
from sample_networks import NETWORKS, build

TIGHT = 1 << 16  # bytes


def test_a_tight_limit_holds_and_changes_nothing():
    """Only a process's real peak shows what the estimates leave out."""
    code = """
import json
import numpy as np
import torch
from ntk_approaches import cnn, empirical_ntk, measured

torch.set_num_threads(1)
model, x = cnn(16, 32, 10).eval(), torch.randn(120, 3, 32, 32)
empirical_ntk(model, x[:4], memory_limit=20_000_000)  # loads what is compiled
(_, tight, k), (_, free, expected) = (
    measured(lambda: empirical_ntk(model, x, memory_limit=limit, prove=prove)["trace"], "cpu")
    for limit, prove in ((20_000_000, True), (None, False))
)
print(json.dumps([tight, free, np.abs(k - expected).max() / expected.max(), (k == k.T).all().item()]))
"""
    tight, free, error, symmetric = json.loads(own_process(code, "benchmarks"))
    assert tight < 1.3 * 20e6 < free, (tight, free)
    assert error < 1e-6 and symmetric


@contextlib.contextmanager
def full(size):
    """In place of `guards.scratch`: a disk without room."""
    raise OSError(errno.ENOSPC, "No space left on device")
    yield


def full_after_a_while(monkeypatch):
    written, calls = store.OnDisk.add, []

    def add(self, start, part):
        calls.append(start)
        if len(calls) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written(self, start, part)

    monkeypatch.setattr(store.OnDisk, "add", add)


@pytest.mark.parametrize("when", ["at once", "after a while"])
def test_passes_are_repeated_where_no_disk_has_room(monkeypatch, caplog, when):
    if when == "at once":
        monkeypatch.setattr(blocks, "scratch", full)
    else:
        full_after_a_while(monkeypatch)
    model, x = in_double(*build(NETWORKS["cnn"]))
    assert_close(empirical_ntk(model, x, kernels=KINDS, memory_limit=TIGHT), expected("cnn"), 1e-12)
    assert "passes are repeated" in caplog.text and "No space left" in caplog.text


def test_a_networks_own_error_is_not_taken_for_a_full_disk():
    class Broken(torch.nn.Linear):
        def forward(self, x):
            if len(x) == 1:
                raise OSError("no such weights")
            return super().forward(x)

    with pytest.raises(OSError, match="no such weights"):
        empirical_ntk(Broken(4, 2), torch.randn(9, 4), memory_limit=1)


def test_files_are_not_kept_in_memory(monkeypatch, tmp_path):
    """A file on a tmpfs would take memory, and one without room would not do."""
    monkeypatch.setattr(guards.tempfile, "gettempdir", lambda: str(tmp_path))
    with guards.scratch(1000) as file:
        file.write(b"1")
        assert not list(tmp_path.iterdir())  # nothing is left behind, however the process ends
    with pytest.raises(OSError, match="no disk"), guards.scratch(1 << 60):
        pass
    if guards.Path("/dev/shm").is_mount():
        monkeypatch.setattr(guards.tempfile, "gettempdir", lambda: "/dev/shm")
        with guards.scratch(1000) as file:
            assert os.fstat(file.fileno()).st_dev != guards.Path("/dev/shm").stat().st_dev


def test_only_a_tight_limit_writes_a_file(monkeypatch):
    model, x = build(NETWORKS["cnn"])
    monkeypatch.setattr(blocks, "scratch", full)
    empirical_ntk(model, x)


def test_samples_are_read_as_they_were_written():
    rows = torch.arange(7 * 2 * 5, dtype=torch.float32).view(7, 2, 5)
    with guards.scratch(1000) as file:
        other, on_disk = store.OnDisk(file, 7, 5), store.OnDisk(file, 7, 2)
        for start, stop in ((0, 3), (3, 6), (3, 5), (5, 7)):  # the second attempt at samples 3 … 5 took fewer
            on_disk.add(start, rows[start:stop])
            other.add(start, -rows[start:stop])
        for piece, columns in enumerate((slice(0, 2), slice(2, 4), slice(4, 5))):
            read = on_disk.read([slice(1, 4), slice(6, 7)], piece)
            assert torch.equal(read, rows[[1, 2, 3, 6]][..., columns])
        assert torch.equal(other.read([slice(0, 7)]), -rows)
    in_memory = store.InMemory()
    for start, stop in ((0, 3), (3, 6), (3, 5), (5, 7)):
        in_memory.add(start, rows[start:stop])
    assert torch.equal(in_memory.read([slice(0, 7)]), rows)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_layers_and_two_batches_from_a_file(dtype):
    torch.manual_seed(0)
    model, x = cnn(8, 8, 3).eval().to(dtype), torch.randn(9, 3, 8, 8, dtype=dtype)
    for others in (None, torch.randn(5, 3, 8, 8, dtype=dtype)):
        free = empirical_ntk(model, x, others, kernels=KINDS, per_layer=True)
        tight = empirical_ntk(model, x, others, kernels=KINDS, per_layer=True, memory_limit=TIGHT)
        for name, share in free.layers.items():
            for kind in KINDS:
                scale = np.abs(free[kind]).max()
                np.testing.assert_allclose(tight.layers[name][kind], share[kind], rtol=0, atol=1e-6 * scale)

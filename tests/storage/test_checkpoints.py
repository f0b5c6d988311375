"""Checkpoints, and the errors for bad ones."""

import numpy as np
import pytest
import torch

from reactivation.errors import InputError
from reactivation.storage.checkpoints import read_checkpoint, write_checkpoint
from reactivation.training.networks import cnn


def test_checkpoints(tmp_path):
    model = cnn(2, 8, 3)
    write_checkpoint(tmp_path / "a.pt", model.state_dict(), 7, 1.5)
    read = read_checkpoint(tmp_path / "a.pt")
    assert (read["step"], read["epoch"]) == (7, 1.5)
    for name, tensor in model.state_dict().items():
        assert torch.equal(read["model"][name], tensor)


def test_truncated_checkpoints_are_named(tmp_path):
    write_checkpoint(tmp_path / "a.pt", cnn(2, 8, 3).state_dict(), 7, 1.5)
    whole = (tmp_path / "a.pt").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 10):
        (tmp_path / "a.pt").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"a.pt is not a readable checkpoint"):
            read_checkpoint(tmp_path / "a.pt")


def test_weights_that_are_not_finite_are_named(tmp_path):
    model = cnn(2, 8, 3)
    next(model.parameters()).data[0] = np.nan
    write_checkpoint(tmp_path / "a.pt", model.state_dict(), 7, 1.5)
    with pytest.raises(InputError, match=r"a.pt is not a readable checkpoint \(it should have finite weights"):
        read_checkpoint(tmp_path / "a.pt")

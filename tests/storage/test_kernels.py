"""Files of kernels, and the errors for invalid ones."""

import h5py
import numpy as np
import pytest

from reactivation.errors import InputError
from reactivation.storage.kernels import read_kernels, write_kernels


@pytest.mark.parametrize(
    "change, said",
    [
        ({"kernels": {"sum": np.full((2, 3, 3), np.nan)}}, "kernels/sum is not finite everywhere"),
        ({"kernels": {"sum": np.zeros((1, 3, 3))}}, r"kernels/sum has the shape \(1, 3, 3\), not \(2, 3, 3\)"),
        ({"epoch": np.zeros(3)}, "its steps do not ascend"),
        ({"step": np.array([2, 1])}, "its steps do not ascend"),
        ({"probe": {"label": np.zeros(3), "index": np.zeros(2)}}, "parts of its probe differ in length"),
        ({"layers": {"a": {"trace": np.zeros((2, 3, 3))}}}, "layers/a has other kernels than the whole network"),
        ({"layers": {"a": {"sum": np.zeros((2, 3))}}}, r"layers/a/sum has the shape \(2, 3\), not \(2, 3, 3\)"),
        ({"layers": {"a": {"sum": np.full((2, 3, 3), np.inf)}}}, "layers/a/sum is not finite everywhere"),
    ],
)
def test_kernels_that_make_no_sense_are_named(tmp_path, change, said):
    sound = {"kernels": {"sum": np.zeros((2, 3, 3))}, "step": np.arange(2), "epoch": np.arange(2.0)}
    sound |= {"probe": {"label": np.zeros(3)}, "attributes": {}}
    write_kernels(tmp_path / "ntk.h5", **sound)
    read_kernels(tmp_path / "ntk.h5")
    write_kernels(tmp_path / "ntk.h5", **(sound | change))
    with pytest.raises(InputError, match=rf"ntk.h5 is damaged \({said}\): delete it and run again"):
        read_kernels(tmp_path / "ntk.h5")


def test_kernels_of_no_checkpoint(tmp_path):
    probe = {"label": np.array([0, 1])}
    write_kernels(tmp_path / "a.h5", {"sum": np.empty((0, 2, 2))}, np.empty(0, int), np.empty(0), probe, {})
    read = read_kernels(tmp_path / "a.h5")
    assert read["kernels"]["sum"].shape == (0, 2, 2) and len(read["step"]) == 0 and read["diverged"] is None


def test_layers_are_read_in_the_networks_order(tmp_path):
    """HDF5 would sort them by name."""
    stack, probe = np.ones((2, 3, 3)), {"label": np.zeros(3)}
    layers = {name: {"sum": i * stack} for i, name in enumerate(("stem", "conv10", "conv2", "head"))}
    write_kernels(tmp_path / "a.h5", {"sum": stack}, np.arange(2), np.arange(2.0), probe, {}, layers)
    read = read_kernels(tmp_path / "a.h5")["layers"]
    assert list(read) == list(layers)
    assert all((read[name]["sum"] == layers[name]["sum"]).all() for name in layers)


def test_kernels_are_all_that_a_reader_needs_to_know(tmp_path):
    stack = np.random.default_rng(0).normal(size=(3, 4, 4))
    probe = {"index": np.arange(4), "label": np.array([0, 0, 1, 1]), "task": np.array([1, 1, 2, 2])}
    path = tmp_path / "ntk.h5"
    write_kernels(path, {"sum": stack}, np.array([1, 2, 4]), np.array([0.1, 0.2, 0.4]), probe, {"host": "h"})
    assert (h5py.File(path)["kernels/sum"][:] == stack).all()
    with h5py.File(path) as file:
        assert file["kernels/sum"].chunks == (1, 4, 4)
        assert file.attrs["host"] == "h"
    read = read_kernels(path)
    assert read["step"].tolist() == [1, 2, 4] and read["probe"]["task"].tolist() == [1, 1, 2, 2]

"""Each layer's share of the kernel, in the files and tables of a real study."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_images, read_normalisation
from reactivation.storage.kernels import read_kernels
from reactivation.training.networks import cnn


@pytest.fixture
def done(finished_study):
    return finished_study


def test_shares_of_layers_add_up_to_the_kernel(done):
    paths = sorted((done / "results/segments").glob("*-cnn-w2-*/ntk-*.h5"))
    assert len(paths) == 4
    for path in paths:
        read = read_kernels(path)
        assert list(read["layers"]) == ["conv1", "conv2", "conv3", "head"]
        for kind, stack in read["kernels"].items():
            total = sum(share[kind] for share in read["layers"].values())
            np.testing.assert_allclose(total, stack, rtol=1e-12, atol=1e-12 * stack.max())
        with h5py.File(path) as file:
            assert file["layers/head/sum"].shape == file["kernels/sum"].shape


def test_the_heads_share_is_that_of_its_parameters(done):
    """Each logit alone has the kernel of features and bias: the features' Gram matrix plus one."""
    (path,) = (done / "results/segments").glob("*-cnn-w2-*-s0-task1-*/ntk-*.h5")
    read = read_kernels(path)
    (data,) = (done / "results/data").glob("*.h5")
    pixels, _ = read_images(data, "train", read["probe"]["index"])
    mean, std = read_normalisation(data)
    x = torch.tensor((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    model = cnn(2, 8, 4).double()
    model.load_state_dict(read_checkpoint(path.parent / "checkpoints/step00000002.pt")["model"])
    features = model[:-1](x).detach().numpy()
    at = read["step"].tolist().index(2)
    expected = features @ features.T + 1
    np.testing.assert_allclose(read["layers"]["head"]["trace"][at], expected, rtol=1e-6)


def test_tables_and_figures_have_them(done):
    (path,) = (done / "results/tiny/runs").glob("widths-width2-s0.csv")
    run = pd.read_csv(path)
    assert run["layer"].dropna().unique().tolist() == ["conv1", "conv2", "conv3", "head"]
    traces = run[(run["metric"] == "trace") & (run["block"] == "all")]
    totals = [part.groupby(["kernel", "step"])["value"].sum() for part in (traces.dropna(subset="layer"), traces)]
    pd.testing.assert_series_equal(2 * totals[0], totals[1])  # the layers alone; the layers and the whole
    drawn = pd.read_csv(done / "results/tiny/figures/layers.csv")
    assert drawn["layer"].unique().tolist() == ["conv1", "conv2", "conv3", "head"]

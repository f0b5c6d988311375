"""Real CIFAR-10, from the tarball that config/cifar10-small.yaml names."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from helpers import REPOSITORY, copy_repository, snakemake

FOLDER = Path(os.environ.get("REACTIVATION_DATA", REPOSITORY / "data"))
CONFIG = yaml.safe_load((REPOSITORY / "config/cifar10-small.yaml").read_text())

pytestmark = pytest.mark.skipif(
    not (FOLDER / CONFIG["datasets"]["cifar10"]["root"]).exists(),
    reason=f"no CIFAR-10 tarball in {FOLDER}; set REACTIVATION_DATA to the folder that holds it",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The study of config/cifar10-small.yaml with a quarter of its images and half of its epochs."""
    folder = copy_repository(tmp_path_factory.mktemp("cifar") / "clone")
    experiment = CONFIG["experiments"]["width_lr"]
    experiment["scenario"]["limit_per_class"] //= 4
    experiment["training"]["epochs"] = 4
    experiment["grid"]["width"] = [16]
    run = snakemake(
        folder,
        "--cores",
        "2",
        "--config",
        f"data_root={FOLDER.resolve()}",
        config=CONFIG | {"seeds": [0], "device": "cpu"},
    )
    assert run.returncode == 0, run.stdout
    return folder / "results"


def test_cifar10_is_whole(done):
    (path,) = (done / "data").iterdir()
    with h5py.File(path) as file:
        assert file["train/images"].shape == (50_000, 32, 32, 3) and file["test/images"].shape == (10_000, 32, 32, 3)
        assert file.attrs["class_names"][0] == "airplane" and len(file.attrs["class_names"]) == 10
        assert (np.bincount(file["train/labels"][:]) == 5000).all() and (
            np.bincount(file["test/labels"][:]) == 1000
        ).all()
        # The channel means and deviations of CIFAR-10 that everybody normalises with.
        np.testing.assert_allclose(file.attrs["mean"], [0.4914, 0.4822, 0.4465], atol=1e-4)
        np.testing.assert_allclose(file.attrs["std"], [0.2470, 0.2435, 0.2616], atol=1e-4)


def test_it_learns_and_the_norm_drops_at_the_switch(done):
    (path,) = (done / "cifar10-small/runs").iterdir()
    run = pd.read_csv(path)
    accuracy = run[(run["metric"] == "test_accuracy") & (run["block"] == "task1")].set_index("epoch")["value"]
    assert accuracy[4] > 0.3  # chance is 0.2
    norm = run[(run["metric"] == "spectral_norm") & (run["kernel"] == "sum") & (run["block"] == "all")]
    norm = norm.set_index("epoch")["value"]
    assert norm.loc[4 + 1e-6 : 5].min() < 0.5 * norm[4]

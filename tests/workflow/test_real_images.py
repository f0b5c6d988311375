"""Real CIFAR, from the tarballs that the small configs name."""

import os
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import REPOSITORY, finished, jobs_of, snakemake

FOLDER = Path(os.environ.get("REACTIVATION_DATA", REPOSITORY / "data"))
WHERE = ("--config", f"data_root={FOLDER.resolve()}")
CONFIG = yaml.safe_load((REPOSITORY / "config/cifar10-small.yaml").read_text()) | {"claims": {}}  # too few seeds

BOTH = yaml.safe_load((REPOSITORY / "config/cifar-small.yaml").read_text()) | {"claims": {}}

pytestmark = pytest.mark.skipif(
    not all((FOLDER / dataset["root"]).exists() for dataset in BOTH["datasets"].values()),
    reason=f"no tarballs of CIFAR in {FOLDER}; set REACTIVATION_DATA to the folder that holds them",
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A clone with Figure 4 of config/cifar10-small.yaml: a quarter of its images and epochs, one network."""
    experiment, figure = CONFIG["experiments"]["width_lr"], CONFIG["figures"]["fig4"]
    experiment["scenario"]["limit_per_class"] //= 4
    experiment["training"]["epochs"] = 2
    experiment["grid"] = {"width": [16], "lr": [0.01]}
    config = CONFIG | {
        "seeds": [0],
        "device": "cpu",
        "experiments": {"width_lr": experiment},
        "figures": {"fig4": figure},
    }
    return finished(tmp_path_factory.mktemp("cifar") / "clone", config, "fig4", *WHERE)


def test_cifar10_is_whole(done):
    """The tarballs as people have them: no drawn images have their sizes, counts and names of classes."""
    (path,) = (done / "results/data").glob("cifar10-*")
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
    (path,) = (done / "results/cifar10-small/runs").iterdir()
    run = pd.read_csv(path)
    accuracy = run[(run["metric"] == "test_accuracy") & (run["block"] == "task1")].set_index("epoch")["value"]
    assert accuracy[2] > 0.25  # it is 0.32; chance is 0.2
    norm = run[(run["metric"] == "spectral_norm") & (run["kernel"] == "sum") & (run["block"] == "all")]
    norm = norm.set_index("epoch")["value"]
    assert norm.loc[2 + 1e-6 : 3].min() < 0.5 * norm[2]


def test_new_classes_of_cifar100_and_frequencies_of_cifar10(done):
    """Figures 2 and 3 of config/cifar-small.yaml, one seed of a few images; CIFAR-10 is read already."""
    for experiment, grid in zip(BOTH["experiments"].values(), ({"shift": [0, 10]}, {"alpha": [0.9]}), strict=True):
        experiment["grid"] = grid
        experiment["scenario"]["limit_per_class"] = 50
        experiment["model"] = {"name": "cnn", "width": 8}
        experiment["training"] = {"lr": 0.01, "epochs": 2, "batch_size": 32}
    config = BOTH | {"seeds": [0], "device": "cpu"}
    run = snakemake(done, "figures", "--cores", "2", *WHERE, config=config)
    assert run.returncode == 0, run.stdout
    assert jobs_of(run.stdout)["dataset"] == 1
    with h5py.File(next(done.glob("results/data/cifar100-*.h5"))) as file:
        assert list(file.attrs["class_names"][:3]) == ["apple", "aquarium_fish", "baby"]
        assert (np.bincount(file["train/labels"][:]) == 500).all() and len(file.attrs["class_names"]) == 20
    drawn = pd.read_csv(done / "results/cifar-small/figures/fig2.csv")
    last = drawn[(drawn["kind"] == "summary") & (drawn["metric"] == "kernel_distance")].set_index("shift")["value"]
    assert last[10] > last[0]  # new classes move the kernel further than the old ones do again
    assert (done / "results/cifar-small/figures/fig3.png").exists()

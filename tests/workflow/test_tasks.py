"""The real workflow over every scenario, network, parametrization and kind of figure."""

import h5py
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import copy_repository, finished, planned
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_labels
from reactivation.storage.tables import read_tables
from zoo_study import FIGURES, ZOO


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("zoo") / "clone", ZOO)


def table(done, run):
    return read_tables([done / f"results/zoo/runs/{run}.csv"])


def test_all_of_it_runs_once(done):
    """The only run of every scenario, network and kind of panel; the other tests here look at it."""
    assert planned(done, config=ZOO) == {}
    assert len(list(done.glob("results/segments/*"))) == 3 + 3 + 4
    for name in FIGURES:
        assert sorted(path.suffix for path in done.glob(f"results/zoo/figures/{name}.*")) == [
            ".csv",
            ".json",
            ".pdf",
            ".png",
        ]
        with Image.open(done / f"results/zoo/figures/{name}.png") as image:
            assert np.asarray(image.convert("L")).std() > 10


def test_a_figure_on_the_scale_of_another_needs_that_ones_runs(tmp_path):
    folder = copy_repository(tmp_path)
    jobs = planned(folder, "mixture", config=ZOO)
    assert (jobs["train"], jobs["figure"], jobs["metrics"]) == (3 + 4, 2, 2 + 3)
    assert planned(folder, "window", config=ZOO)["train"] == 4


def test_there_and_back_with_replay(done):
    """Segment by segment: 18 images, then 9 + 4 and 4 replayed, then 18 and 4 + 4; two epochs in the middle."""
    rows = table(done, "back-s0")
    ends = rows[rows["metric"] == "trace"].groupby("task")[["epoch", "step"]].max()
    assert ends["epoch"].tolist() == [1, 3, 4]
    assert ends["step"].diff().fillna(3).tolist() == [3, 2 * 3, 4]
    assert rows.groupby("task")["similarity"].first().dropna().tolist() == [0, 0]
    assert {"train", "held_out", "task1_train", "task2_held_out"} <= set(rows["block"])
    split = read_arrays(next(done.glob("results/splits/*task3*.npz")))
    assert {name: len(of) for name, of in split.items()} == {
        "held_out": 12,
        "task1_train": 18,
        "task2_train": 13,
        "task3_train": 18,
    }
    for name in ("evaluation", "within"):  # tests are taken on the three images of each class that are held out
        of_tests = pd.read_csv(next(done.glob(f"results/segments/*-mlp-*task3*/{name}.csv")))
        assert set(of_tests["images"]) == {3}
    with h5py.File(next(done.glob("results/segments/*-mlp-*task3*/ntk-*.h5"))) as file:
        assert file["probe/in_train"][:].all() and set(file["probe/index"][8:]) <= set(split["held_out"])
        assert file["kernels/sum"].shape[1:] == (16, 16)
        assert file["probe/held_out"][:].tolist() == [False] * 8 + [True] * 8
        assert file["probe/task"][:].tolist() == [1] * 4 + [2] * 4 + [1] * 4 + [2] * 4


def test_an_optimizer_goes_on_and_images_are_normalised_as_told(done):
    finals = sorted(done.glob("results/segments/*-mlp-*/final.pt"))
    states = [read_checkpoint(path)["optimizer"]["state"][0]["step"] for path in finals]
    assert sorted(map(float, states)) == [3, 3 + 2 * 3, 3 + 2 * 3 + 4]
    with h5py.File(next(done.glob("results/data/*.h5"))) as file:
        assert file.attrs["mean"].tolist() == [0.5] * 3 and file.attrs["std"].tolist() == [0.25] * 3


def test_a_mixture_trains_on_its_frequencies(done):
    split = read_arrays(next(done.glob("results/splits/*-4classes-task2-*")))
    images, labels = read_labels(next(done.glob("results/data/*.h5")))
    assert np.bincount(images[split["task1_train"]]).tolist() == [9, 9, 3, 3]
    assert sorted(np.bincount(images[split["task2_train"]]).tolist()) in ([3, 3, 9, 9],)
    assert len(labels) == 16


def test_summaries_hold_one_number_per_run(done):
    drawn = pd.read_csv(done / "results/zoo/figures/window.csv")
    points = drawn[drawn["kind"] == "summary"].set_index("shift")
    assert points["similarity"].tolist() == pytest.approx([1, 1 / 3, 0])
    norm = table(done, "window-shift1-s0")
    norm = norm[(norm["metric"] == "spectral_norm") & (norm["kernel"] == "sum") & (norm["block"] == "all")]
    before = norm.loc[norm["task"] == 1, "value"].iloc[-1]
    assert points.loc[1, "value"] == pytest.approx(1 - norm.loc[norm["task"] == 2, "value"].min() / before)
    spectrum = drawn[drawn["kind"] == "spectrum"]
    assert sorted(spectrum["index"].unique()) == [0, 1, 2]
    np.testing.assert_allclose(spectrum.loc[spectrum["index"] == 0, "mean"], norm["value"])

"""Linearised twins in the real workflow."""

import numpy as np
import pytest
import torch

from edits import BOTH, EXPERIMENT
from helpers import changed, finished, planned, snakemake
from reactivation.planning.plan import make_plan
from reactivation.storage.tables import read_table
from reactivation.study.load import load_study

FIGURE = {
    "experiment": "widths",
    "panels": [
        {"metric": "test_accuracy", "block": ["task1"], "color": "dynamics", "where": {"width": 2}},
        {"metric": "function_distance", "block": ["all", "probe"], "color": "width"},
        {"kind": "summary", "metric": "accuracy_error", "statistic": "last", "block": "task2", "x": "width"},
    ],
}
STUDY = changed(
    (f"{EXPERIMENT}.grid.width", [2]),
    BOTH,
    ("seeds", [0]),
    ("checkpoints", {"keep": "final"}),
    ("figures.figS2", FIGURE),
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    return finished(tmp_path_factory.mktemp("twins") / "clone", STUDY)


def test_a_second_call_has_nothing_to_do(done):
    assert planned(done, config=STUDY) == {}


def test_the_budget_of_twins_is_measured(done):
    run = snakemake(done, "budget", config=STUDY)
    assert run.returncode == 0 and "GFLOP/s in training" in run.stdout, run.stdout


def test_a_figure_of_networks_needs_no_twin(done):
    assert planned(done, "fig4", "--forceall", config=STUDY)["train"] == 2


def test_the_tables_of_a_real_twin(done):
    study = make_plan(load_study(STUDY))
    twin, network = (
        read_table(done / f"results/tiny/runs/widths-width2-dynamics{name}-s0.csv")
        for name in ("linearized", "network")
    )
    assert set(twin["metric"]) == {
        *("test_accuracy", "test_loss", "forgetting"),
        *("function_distance", "function_error", "accuracy_error", "forgetting_error"),
    }
    distance = twin[(twin["metric"] == "function_distance") & (twin["block"] == "probe")]
    kernel = network[(network["metric"] == "trace") & (network["block"] == "all")]
    assert distance["step"].tolist() == kernel[kernel["kernel"] == "sum"]["step"].tolist()  # at every checkpoint
    first = distance.drop_duplicates("task")
    assert first["value"].tolist()[0] == 0  # the same function at initialisation
    # Both tasks begin with a step that is the same to first order: the functions part later.
    later = distance.groupby("task")["value"].last()
    assert (first["value"].to_numpy() < 0.2 * later.to_numpy()).all()
    last = study.runs["widths-width2-dynamicslinearized-s0"].segments[-1]
    assert torch.load(done / f"results/segments/{last}/final.pt")["step"] == 12


def test_switches_know_the_twins_errors(done):
    table = read_table(done / "results/tiny/reactivation.csv")
    assert set(table["run"]) == {"widths-width2-dynamicsnetwork-s0"}
    assert np.isfinite(table[["static_function_error", "static_accuracy_error"]]).all(axis=None)
    assert table["static_forgetting_error"].notna().tolist() == (table["task"] == 2).tolist()
    files = read_table(done / "results/tiny/files.csv")
    named = files["kernels"].fillna(files["function"])
    assert len(files) == 4 and all((done / path).exists() for path in named)


def test_networks_and_their_kernels_are_those_of_a_study_without_twins(done):
    assert planned(
        done, config=changed((f"{EXPERIMENT}.grid.width", [2]), ("seeds", [0]), ("checkpoints", {"keep": "final"}))
    ) == {
        "metrics": 1,
        "figure": 1,
        "all": 1,
    }

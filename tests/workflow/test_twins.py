"""Linearised twins in the real workflow."""

import numpy as np
import pytest
import torch

from helpers import planned, snakemake
from reactivation.planning.plan import make_plan
from reactivation.storage.tables import read_table
from reactivation.study.load import load_study
from shared_study import STUDY


@pytest.fixture
def done(finished_study):
    return finished_study


def test_the_budget_of_twins_is_measured(done):
    run = snakemake(done, "budget", config=STUDY)
    assert run.returncode == 0 and "GFLOP/s in training" in run.stdout, run.stdout


def test_a_figure_of_networks_needs_no_twin(done):
    assert planned(done, "fig4", "--forceall", config=STUDY)["train"] == 8


def test_the_tables_of_a_real_twin(done):
    study = make_plan(load_study(STUDY))
    twin, network = (
        read_table(done / f"results/tiny/runs/twins-width2-dynamics{name}-s0.csv") for name in ("linearized", "network")
    )
    assert set(twin["metric"]) == {
        *("test_accuracy", "test_loss", "forgetting"),
        *("function_distance", "function_error", "accuracy_error", "forgetting_error"),
    }
    distance = twin[(twin["metric"] == "function_distance") & (twin["block"] == "probe")]
    kernel = network[(network["metric"] == "trace") & (network["block"] == "all") & network["layer"].isna()]
    assert distance["step"].tolist() == kernel[kernel["kernel"] == "sum"]["step"].tolist()  # at every checkpoint
    first = distance.drop_duplicates("task")
    assert first["value"].tolist()[0] == 0  # the same function at initialisation
    # Both tasks begin with a step that is the same to first order: the functions part later.
    later = distance.groupby("task")["value"].last()
    assert (first["value"].to_numpy() < 0.2 * later.to_numpy()).all()
    last = study.runs["twins-width2-dynamicslinearized-s0"].segments[-1]
    assert torch.load(done / f"results/segments/{last}/final.pt")["step"] == 12


def test_switches_know_the_twins_errors(done):
    table = read_table(done / "results/tiny/reactivation.csv")
    table = table[table["experiment"] == "twins"]
    assert set(table["run"]) == {f"twins-width2-dynamicsnetwork-s{seed}" for seed in (0, 1)}
    assert np.isfinite(table[["static_function_error", "static_accuracy_error"]]).all(axis=None)
    assert table["static_forgetting_error"].notna().tolist() == (table["task"] == 2).tolist()
    files = read_table(done / "results/tiny/files.csv")
    files = files[files["run"].str.startswith("twins-")]
    named = files["kernels"].fillna(files["function"])
    assert len(files) == 2 * 4 and all((done / path).exists() for path in named)

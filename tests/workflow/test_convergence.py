"""Kernels of untrained networks in the real workflow."""

import copy
import json

import numpy as np
import pandas as pd

from convergence import PANEL, study
from helpers import finished, planned
from reactivation.analysis.width_convergence import slope


def test_the_workflow_compares_untrained_networks_and_trains_none(tmp_path):
    """The only run of the rule `convergence`, and of what it plans."""
    config = study(PANEL, PANEL | {"kernel": "trace"})
    config["figures"]["again"] = {"experiment": "widths", "panels": [PANEL], "beside": "wide"}
    folder = finished(tmp_path / "clone", config, "wide", "again")
    assert not (folder / "results/segments").exists() and not (folder / "results/tiny/runs").exists()
    assert planned(folder, "wide", "again", config=config) == {}
    tables = sorted((folder / "results/tiny/convergence").iterdir())
    origins = [json.loads(path.read_text()) for path in tables if path.suffix == ".json"]
    assert {origin["config"]["kernels"][0] for origin in origins} == {"sum", "trace"}
    assert all({"code", "git_commit", "versions", "device", "seconds"} <= origin.keys() for origin in origins)
    tables = [path for path in tables if path.suffix == ".csv"]
    assert len(tables) == 2
    drawn = pd.read_csv(folder / "results/tiny/figures/wide.csv")
    for (_, of_panel), kernel in zip(drawn.groupby("panel"), ("sum", "trace"), strict=True):
        (table,) = (table for path in tables for table in [pd.read_csv(path)] if table["kernel"][0] == kernel)
        assert len(table) == 2 * 3 * 3 and set(zip(table["width"], table["other"], strict=True)) == {(2, 4), (4, 8)}
        values = table["value"].to_numpy().reshape(2, 3, 3)
        np.testing.assert_allclose(of_panel["value"], np.exp(np.log(values).mean(2)).ravel())
        stated = of_panel[["slope", "slope_low", "slope_high"]].drop_duplicates().to_numpy()
        np.testing.assert_allclose(stated, [slope(np.array([2, 4]), values)])
    record = json.loads((folder / "results/tiny/figures/wide.json").read_text())
    assert list(record["config"]["experiments"]) == ["widths"] and set(record["runs"]) == {path.stem for path in tables}
    retrained = copy.deepcopy(config)
    retrained["experiments"]["widths"]["training"]["lr"] = 0.01
    assert "convergence" not in planned(folder, "wide", config=retrained)
    more = copy.deepcopy(config)
    more["figures"]["wide"]["panels"][0]["widths"] = [2, 4, 8, 16]
    assert planned(folder, "wide", config=more) == {"convergence": 1, "figure": 1, "wide": 1}

"""Claims of a real study."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from reactivation.storage.tables import read_tables


def test_claims_of_a_real_study(finished_study):
    folder = finished_study / "results/tiny"
    numbers, accuracy = (pd.read_csv(folder / f"{name}.csv") for name in ("reactivation", "accuracy"))
    numbers, accuracy = (table[table["experiment"] == "widths"] for table in (numbers, accuracy))
    assert len(numbers) == 4 * 2 * 2 and set(numbers["kernel"]) == {"sum", "trace"}  # runs, kernels, tasks
    assert list(numbers)[:7] == ["run", "experiment", "lr", "width", "dynamics", "seed", "kernel"]
    assert len(accuracy) == 4 * 3 * 2  # after 0, 1, 2 tasks, of each
    second = numbers[(numbers["task"] == 2) & (numbers["kernel"] == "sum")]
    rows = read_tables(sorted(folder.glob("runs/widths-*.csv")))
    rows = rows[(rows["metric"] == "kernel_velocity") & (rows["kernel"] == "sum") & (rows["block"] == "all")]
    rows = rows[rows["layer"].isna() & (rows["dt"] == 1)]
    for _, row in second.iterrows():
        velocity = rows[rows["run"] == row["run"]].set_index("epoch")["value"]
        assert row["velocity_ratio"] == pytest.approx(velocity[2] / velocity[1])
    claims = pd.read_csv(folder / "claims.csv")
    assert (claims["name"] == "velocity_spikes").all() and (claims["seeds"] == 2).all()
    assert list(claims["kernel"]) == ["sum"] * 2 + ["trace"] * 2
    smallest = second.assign(log=np.log(second["velocity_ratio"])).groupby("seed")["log"].min()
    assert claims["effect"][0] == pytest.approx(np.exp(smallest.mean()))
    assert claims["verdict"][0] in (folder / "claims.md").read_text()
    assert (folder / "claims.pdf").read_bytes().startswith(b"%PDF")
    with Image.open(folder / "claims.png") as image:
        assert image.size[0] > 1500 and image.info["Title"] == "tiny: claims" and "scipy" in image.info["versions"]

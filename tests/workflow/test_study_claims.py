"""Claims of a real study."""

import numpy as np
import pandas as pd
import pytest

from helpers import all_planned, changed, finished
from reactivation.storage.tables import read_tables

STUDY = changed(("claims", {"min_seeds": 2, "velocity_spikes": {"experiment": "widths"}}))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which STUDY has been run."""
    return finished(tmp_path_factory.mktemp("study") / "clone", STUDY)


@pytest.mark.parametrize(
    "module, old, new, rules",
    [
        (
            "reactivation/analysis/metrics.py",
            "0.5 * np.sum",
            "0.50001 * np.sum",
            {"metrics", "switches", "claims", "figure"},
        ),
        ("reactivation/analysis/switches.py", "away.max() / 2", "away.max() / 3", {"switches", "claims"}),
        ("reactivation/analysis/verdicts.py", "EXACT = 5", "EXACT = 4", {"claims"}),
    ],
)
def test_code_reruns_the_claims_that_it_can_change(done, module, old, new, rules):
    path = done / "workflow/scripts" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    of_claims = {"metrics", "switches", "claims", "figure"}
    assert of_claims & set(all_planned(done, config=STUDY)) == rules
    path.write_text(text)


def test_a_threshold_reruns_the_claims_only(done):
    config = STUDY | {"claims": STUDY["claims"] | {"velocity_spikes": {"experiment": "widths", "ratio": 3}}}
    assert {"switches", "claims", "metrics", "figure"} & set(all_planned(done, config=config)) == {"claims"}


def test_claims_of_a_real_study(done):
    folder = done / "results/tiny"
    numbers, accuracy = (pd.read_csv(folder / f"{name}.csv") for name in ("reactivation", "accuracy"))
    assert len(numbers) == 4 * 2 * 2 and set(numbers["kernel"]) == {"sum", "trace"}  # runs, kernels, tasks
    assert list(numbers)[:5] == ["run", "experiment", "width", "seed", "kernel"]
    assert len(accuracy) == 4 * 3 * 2  # after 0, 1, 2 tasks, of each
    second = numbers[(numbers["task"] == 2) & (numbers["kernel"] == "sum")]
    rows = read_tables(sorted(folder.glob("runs/*.csv")))
    at = (rows["metric"] == "kernel_velocity") & (rows["kernel"] == "sum") & (rows["block"] == "all")
    for _, row in second.iterrows():
        velocity = rows[at & (rows["run"] == row["run"])].set_index("epoch")["value"]
        assert row["velocity_ratio"] == pytest.approx(velocity[2] / velocity[1])
    claims = pd.read_csv(folder / "claims.csv")
    assert (claims["name"] == "velocity_spikes").all() and (claims["seeds"] == 2).all() and len(claims) == 2
    smallest = second.assign(log=np.log(second["velocity_ratio"])).groupby("seed")["log"].min()
    assert claims["effect"][0] == pytest.approx(np.exp(smallest.mean()))
    assert claims["verdict"][0] in (folder / "claims.md").read_text()

"""Verdicts: intervals over seeds, and seeds that are left out or too few."""

import itertools

import numpy as np
import pandas as pd
import pytest

from claim_tables import ALL, RATES, REACTIVATED, TABLES, WIDTHS, expected, judged, table
from reactivation.analysis.verdicts import COVERAGE, claims_rows, interval, judge, markdown
from reactivation.storage.headers import CLAIMS as CLAIM_COLUMNS
from reactivation.storage.tables import read_table


def test_rounding_decides_nothing_at_a_threshold():
    """The mean of three numbers 0.8 exceeds 0.8 in the last digit."""
    rows = table(task=[2, 3, 4, 5, 6], noise=0, change=lambda row: {"drop_epochs": 5.0 if row["task"] == 6 else 0.1})
    verdict, (row,) = judged("drop_and_spike_coincide", rows)
    assert row["effect"] == pytest.approx(0.8) and verdict == "not supported"


# -------------------------------------------------------------------------------------------------------- too few runs
def test_too_few_seeds():
    verdict, found = judged("velocity_spikes", table(seeds=2, **WIDTHS))
    assert verdict == "too few runs" and found[0]["sentence"].startswith("2 seeds with all that it needs, of 3; ")
    assert found[0]["effect"] == pytest.approx(10, rel=0.1)  # reported nevertheless


def judged_without(rows, lost, name="velocity_spikes", **limits):
    """`judged`, where the runs `lost` diverged in their last task."""
    spec = {"experiment": "e", "where": {}, "runs": expected(rows), "ratio": 2.0, "longer": 0.0} | limits
    found = judge(name, rows[~lost], spec, ALL)
    return found[0]["verdict"], found


def test_a_seed_with_a_diverged_run_is_left_out_and_the_run_named():
    rows = table(seeds=4, **WIDTHS)
    lost = (rows["seed"] == 3) & (rows["width"] == 64)
    rows.loc[rows["seed"] == 3, "velocity_ratio"] = 1e6  # would show in the effect
    verdict, found = judged_without(rows, lost)
    assert verdict == "supported" and {row["seeds"] for row in found} == {3} and found[0]["effect"] < 11
    assert found[0]["sentence"].endswith("left out are seeds with runs that diverged: width64-s3")


def test_what_diverged_in_every_seed_does_not_vanish_from_a_claim():
    rows = table(**WIDTHS)
    verdict, (row,) = judged_without(rows, rows["width"] == 256)
    assert verdict == "too few runs" and row["seeds"] == 0
    assert row["sentence"].endswith("diverged: width256-s0, width256-s1, width256-s2")


def test_seeds_that_lost_different_runs_are_not_averaged_over_different_runs():
    rows = table(width=[16, 64, 256], lr=[0.1, 0.01], change=lambda row: {"recovery_epochs": row["width"] / 50})
    lost = (rows["lr"] == 0.1) & (rows["width"] == rows["seed"].map({0: 16, 1: 16, 2: 64}))
    assert judged_without(rows, lost, "over_converged_recovers_last")[0] == "too few runs"


def test_no_runs_at_all():
    verdict, (row,) = judged("velocity_spikes", table(**WIDTHS).iloc[:0])
    assert verdict == "too few runs" and row["sentence"] == "0 seeds with all that it needs, of 3"


def test_another_experiment_with_text_on_an_axis_changes_nothing(tmp_path):
    rows = table(
        lr=[1e-3, 1e-4, 1e-5], change=lambda row: {"recovery_epochs": {1e-3: 2.0, 1e-4: 4.0, 1e-5: 8.0}[row["lr"]]}
    )
    other = table(lr=["0.1/width", "0.2/width"])
    both = pd.concat([rows, other.assign(run="other" + other["run"])])
    both.to_csv(tmp_path / "table.csv", index=False)
    spec = {"experiment": "e", "where": {}, "runs": expected(rows), "longer": 0.0}
    (alone,), (beside,) = (
        judge("over_converged_recovers_last", given, spec, ALL) for given in (rows, read_table(tmp_path / "table.csv"))
    )
    assert (
        beside == alone | {key: pytest.approx(alone[key]) for key in ("effect", "low", "high")} and alone["effect"] < 0
    )


@pytest.mark.parametrize("name", TABLES)
def test_undefined_numbers_are_too_few_runs_not_a_verdict(name):
    undefined = set(REACTIVATED) - {"task", "starts", "ends", "dt"}
    rows = TABLES[name][0].assign(**dict.fromkeys(undefined, np.nan))
    verdict, found = judged(name, rows)
    assert verdict == "too few runs" and not any(row["holds"] for row in found)


# ----------------------------------------------------------------------------------------------------------- intervals
def test_the_interval_of_few_seeds_takes_every_resample():
    assert interval(np.array([1.0, 2.0]), 0.5) == (1.375, 1.625)  # of the means 1, 1.5, 1.5, 2
    low, high = interval(np.array([1.0, 2.0, 6.0]), 0.95)
    means = sorted(np.mean(list(part)) for part in itertools.product([1.0, 2.0, 6.0], repeat=3))
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_the_interval_of_many_seeds_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 1, 40)
    low, high = interval(values, 0.95)
    error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.05)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.05)
    assert interval(values, 0.95) == (low, high)  # the same each time


@pytest.mark.parametrize("seeds, share", [(3, 64), (5, 84), (20, 91)])
def test_the_stated_coverage_is_that_of_the_intervals(seeds, share):
    rng = np.random.default_rng(2)
    spans = [interval(rng.normal(size=seeds), 0.95) for _ in range(300)]
    held = np.mean([low <= 0 <= high for low, high in spans])
    assert held == pytest.approx(share / 100, abs=0.07) and f"{share} %" in COVERAGE


def test_seeds_are_paired():
    """A difference that all seeds share counts, however much the seeds differ."""

    def change(row):
        slow = 10.0 ** row["seed"]
        return {"turn_epochs": slow * (1.0 if row["lr"] == 0.1 else 5.0)}

    verdict, (_, slower) = judged("alignment_turns", table(**RATES, change=change))
    assert verdict == "supported" and 4 < slower["low"] < slower["high"] < 6


# ---------------------------------------------------------------------------------------------------------------- text
def test_the_table_for_people_has_a_row_for_each_claim():
    rows = pd.concat([table(**WIDTHS, **RATES), TABLES["repeats"][0]])
    spec = {
        "experiment": "e|f",
        "where": {"lr": 0.1},
        "runs": expected(table(**WIDTHS, **RATES)),
        "ratio": 2.0,
        "moved": 0.05,
    }
    found = claims_rows(rows, ALL | {"tested": {"velocity_spikes": spec, "lazy_networks_reactivate": spec}})
    assert [row["claim"] for row in found] == [2, 2, 11, 11] and all(set(row) == set(CLAIM_COLUMNS) for row in found)
    lines = markdown(found, "tiny", ALL).splitlines()
    assert (
        lines[-2].startswith("| 2 | At every switch")
        and r"(`e\|f`, lr 0.1)" in lines[-2]
        and "**supported**" in lines[-1]
    )
    assert "should be more than 2×" in lines[-1]
    assert "names no claims" in markdown([], "tiny", ALL)

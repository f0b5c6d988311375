"""Verdicts: intervals over seeds, and seeds that are left out or too few."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from claim_tables import ALL, RATES, REACTIVATED, TABLES, WIDTHS, expected, judged, table
from helpers import REPOSITORY
from reactivation.analysis.claims import Measure
from reactivation.analysis.verdicts import _measured, _verdict, digits, interval, judge, text
from reactivation.storage.tables import read_table


def test_rounding_decides_nothing_at_a_threshold():
    """The mean of three numbers 0.8 exceeds 0.8 in the last digit."""
    rows = table(task=[2, 3, 4, 5, 6], noise=0, change=lambda row: {"drop_epochs": 5.0 if row["task"] == 6 else 0.1})
    verdict, (row,) = judged("drop_and_spike_coincide", rows)
    assert row["effect"] == pytest.approx(0.8) and verdict == "open"


# ------------------------------------------------------------------------------------------------------------ verdicts
@pytest.mark.parametrize(
    "values, below, finding",
    [
        ([2.9, 3.0, 3.1], False, "supported"),
        ([2.9, 3.0, 3.1], True, "contradicted"),
        ([0.9, 1.0, 1.1], False, "contradicted"),
        ([0.9, 1.0, 1.1], True, "supported"),
        ([1.0, 2.0, 3.0], False, "open"),  # the threshold is inside
        ([2.0, 2.0, 2.0], False, "open"),  # all are on it
        ([9.0, 9.0, np.inf], False, "open"),
        ([np.inf, np.inf, np.inf], False, "supported"),
        ([3.0, 3.0, np.nan], False, "open"),  # two seeds, of three
        ([9.0, np.nan, np.nan], False, "open"),  # one has no interval
        ([np.nan, np.nan, np.nan], False, "open"),
    ],
)
def test_a_measure_is_judged_by_its_whole_interval(values, below, finding):
    found = _measured(Measure("m", pd.Series(values), 2.0, "number", below), ALL)
    assert found["finding"] == finding
    assert found["holds"] or finding != "supported"
    assert found["seeds"] == np.count_nonzero(~np.isnan(values))


def test_one_measure_contradicts_a_claim_and_all_support_it():
    supported, contradicted, undecided = "supported", "contradicted", "open"
    assert _verdict([supported, supported]) == supported
    assert _verdict([supported, undecided]) == _verdict([undecided]) == undecided
    assert _verdict([supported, contradicted, undecided]) == contradicted


# ------------------------------------------------------------------------------------------------------- too few seeds
def test_too_few_seeds():
    verdict, found = judged("velocity_spikes", table(seeds=2, **WIDTHS))
    assert verdict == "open" and found[0]["sentence"].startswith("2 seeds with all that it needs, of 3; ")
    assert found[0]["effect"] == pytest.approx(10, rel=0.1)  # reported nevertheless


def judged_without(rows, lost, name="velocity_spikes", **limits):
    """`judged`, where the runs `lost` diverged in their last task."""
    spec = {"experiment": "e", "where": {}, "runs": expected(rows), "ratio": 2.0, "longer": 0.0} | limits
    found = judge(rows[~lost], spec | {"name": name}, "sum", ALL)
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
    assert verdict == "open" and row["seeds"] == 0
    assert row["sentence"].endswith("diverged: width256-s0, width256-s1, width256-s2")


def test_seeds_that_lost_different_runs_are_not_averaged_over_different_runs():
    rows = table(width=[16, 64, 256], lr=[0.1, 0.01], change=lambda row: {"recovery_epochs": row["width"] / 50})
    lost = (rows["lr"] == 0.1) & (rows["width"] == rows["seed"].map({0: 16, 1: 16, 2: 64}))
    assert judged_without(rows, lost, "over_converged_recovers_last")[0] == "open"


def test_no_runs_at_all():
    verdict, (row,) = judged("velocity_spikes", table(**WIDTHS).iloc[:0])
    assert verdict == "open" and row["sentence"] == "0 seeds with all that it needs, of 3"


def test_another_experiment_with_text_on_an_axis_changes_nothing(tmp_path):
    rows = table(
        lr=[1e-3, 1e-4, 1e-5], change=lambda row: {"recovery_epochs": {1e-3: 2.0, 1e-4: 4.0, 1e-5: 8.0}[row["lr"]]}
    )
    other = table(lr=["0.1/width", "0.2/width"])
    both = pd.concat([rows, other.assign(run="other" + other["run"])])
    both.to_csv(tmp_path / "table.csv", index=False)
    spec = {"name": "over_converged_recovers_last", "experiment": "e", "where": {}, "longer": 0.0}
    spec["runs"] = expected(rows)
    (alone,), (beside,) = (judge(given, spec, "sum", ALL) for given in (rows, read_table(tmp_path / "table.csv")))
    assert (
        beside == alone | {key: pytest.approx(alone[key]) for key in ("effect", "low", "high")} and alone["effect"] < 0
    )


@pytest.mark.parametrize("name", TABLES)
def test_undefined_numbers_leave_a_claim_open(name):
    undefined = set(REACTIVATED) - {"task", "starts", "ends", "dt"}
    rows = TABLES[name][0].assign(**dict.fromkeys(undefined, np.nan))
    verdict, found = judged(name, rows)
    assert verdict == "open" and not any(row["holds"] for row in found)


# ----------------------------------------------------------------------------------------------------------- intervals
@pytest.mark.parametrize("n", [2, 3, 5, 40])
@pytest.mark.parametrize("confidence", [0.5, 0.95])
def test_intervals_are_those_of_scipy(n, confidence):
    values = np.random.default_rng(n).normal(3, 2, n)
    found = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    assert interval(values, confidence) == pytest.approx((found.low, found.high))
    found = stats.t.interval(confidence, n - 1, loc=values.mean(), scale=stats.sem(values))
    assert interval(values, confidence) == pytest.approx(found)


def test_intervals_of_seeds_that_agree_are_infinite_or_single():
    assert np.isnan(interval(np.array([1.0]), 0.95)).all() and np.isnan(interval(np.array([]), 0.95)).all()
    assert interval(np.full(3, 0.75), 0.95) == (0.75, 0.75)
    assert interval(np.full(3, -np.inf), 0.95) == (-np.inf, -np.inf)
    for values in ([1, 2, np.inf], [-np.inf, np.inf, np.inf]):
        assert interval(np.array(values, dtype=float), 0.95) == (-np.inf, np.inf)


def test_the_interval_of_a_ratio_is_that_of_logarithms():
    ratios = np.array([2.0, 8.0, 4.0])
    found = _measured(Measure("m", pd.Series(np.log(ratios)), 2.0, "times"), ALL)
    assert found["effect"] == pytest.approx(stats.gmean(ratios))
    limits = stats.ttest_1samp(np.log(ratios), 0).confidence_interval(0.95)
    assert (found["low"], found["high"]) == pytest.approx(np.exp([limits.low, limits.high]))


def coverage(draws, truth):
    """Share of the rows of `draws` whose nominal 95 % intervals hold `truth`."""
    n = draws.shape[1]
    reach = stats.t.ppf(0.975, n - 1) * draws.std(axis=1, ddof=1) / np.sqrt(n)
    low, high = draws.mean(axis=1) - reach, draws.mean(axis=1) + reach
    for i in range(20):  # `interval` row by row would take a minute
        assert (low[i], high[i]) == pytest.approx(interval(draws[i], 0.95))
    return np.mean((low <= truth) & (truth <= high))


TRIES = 40_000


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_intervals_hold_the_mean_of_normal_numbers_and_the_geometric_mean_of_log_normal_ones(seeds):
    rng = np.random.default_rng(seeds)
    assert 0.93 <= coverage(rng.normal(1.0, 3.0, (TRIES, seeds)), 1.0) <= 0.97
    assert 0.93 <= coverage(np.log(rng.lognormal(1.0, 2.0, (TRIES, seeds))), 1.0) <= 0.97


def test_the_stated_coverage_of_skewed_numbers_is_that_of_the_intervals():
    rng, text = np.random.default_rng(0), (REPOSITORY / "docs/method.md").read_text()
    kinds = {
        "exponential": lambda size: (rng.exponential(size=size), 1.0),
        "log-normal": lambda size: (rng.lognormal(size=size), np.exp(0.5)),
    }
    (seeds,) = re.findall(r"^\| seeds \|([ |\d]+)\|$", text, re.M)
    for kind, draw in kinds.items():
        (stated,) = re.findall(rf"^\| {kind}[^|]*\|([ |\d%]+)\|$", text, re.M)
        for n, share in zip(seeds.split("|"), re.findall(r"\d+", stated), strict=True):
            assert 100 * coverage(*draw((TRIES, int(n)))) == pytest.approx(int(share), abs=1)


def test_seeds_are_paired():
    """A difference that all seeds share counts, however much the seeds differ."""

    def change(row):
        slow = 10.0 ** row["seed"]
        return {"turn_epochs": slow * (1.0 if row["lr"] == 0.1 else 5.0)}

    verdict, (_, slower) = judged("alignment_turns", table(**RATES, change=change))
    assert verdict == "supported" and 4 < slower["low"] < slower["high"] < 6


# ---------------------------------------------------------------------------------------------------------------- text
def test_effects_have_three_digits_and_a_unit():
    assert text(0.12345, "share") == "12.3 %" and text(1234.5, "times") == "1230×" and text(2, "epochs") == "2 epochs"
    assert text(np.nan, "share") == "undefined" and digits(-np.inf, "number") == "-∞"
    assert text(6.1449e6, "times") == "6.14·10⁶×" and digits(-1.5e-7, "number") == "-1.5·10⁻⁷"
    assert digits(1e6, "number") == "10⁶" and digits(999_400, "number") == "999000"

"""Each claim on a synthetic table that supports it, and on tables that do not."""

import numpy as np
import pandas as pd
import pytest

from claim_tables import BESIDE, RATES, TABLES, WIDTHS, first_task, judged, late, number, saturating, small, table
from reactivation.analysis.claims import CLAIMS, lazy_networks_reactivate
from reactivation.study.schema_claims import Claims


@pytest.mark.parametrize("name", TABLES)
def test_a_claim_is_supported_where_its_table_shows_it(name):
    verdict, found = judged(name, TABLES[name][0])
    assert verdict == "supported" and all(row["holds"] for row in found)
    for row in found:
        assert row["low"] <= row["effect"] <= row["high"] and row["seeds"] == 3
        assert row["effect"] < row["threshold"] if row["sign"] == "<" else row["effect"] > row["threshold"]
        assert row["measure"] in row["sentence"] and row["claim"] == number(name)


@pytest.mark.parametrize("name, rows", [(name, rows) for name, (_, others) in TABLES.items() for rows in others])
def test_a_claim_is_not_supported_where_a_part_of_it_fails(name, rows):
    verdict, found = judged(name, rows)
    assert verdict != "supported" and not all(row["holds"] for row in found)


def test_frequencies_are_compared_with_new_classes():
    alphas = {"alpha": [0.1, 0.5, 0.9]}
    assert judged("frequencies_barely_matter", table(**alphas, change=small), BESIDE)[0] == "supported"
    for change in (
        lambda row: small(row) | {"norm_drop": 0.8 * row["alpha"]},
        lambda row: small(row) | {"velocity_at": 0.08},
    ):
        assert judged("frequencies_barely_matter", table(**alphas, change=change), BESIDE)[0] == "contradicted"
    still = table(shift=[0, 1], change=lambda row: {"norm_drop": -0.1})  # nothing to compare with
    assert judged("frequencies_barely_matter", table(**alphas, change=small), still)[0] == "contradicted"


def test_every_claim_has_its_tables():
    assert set(TABLES) | {"frequencies_barely_matter"} == set(CLAIMS)
    assert list(CLAIMS) == [name for name, key in Claims.model_fields.items() if key.description.startswith("Claim ")]
    assert len(CLAIMS) == 11


def test_effects_are_those_that_the_tables_were_made_with():
    _, (distance, velocity) = judged("wider_is_lazier", table(**WIDTHS, noise=0, change=first_task(-0.5)))
    assert distance["effect"] == pytest.approx(2**-0.5) == velocity["effect"]
    _, (spike, fall) = judged("velocity_spikes", table(**WIDTHS, noise=0))
    assert spike["effect"] == pytest.approx(10) == fall["effect"]
    _, (_, regained, times) = judged("check_mark", table(**WIDTHS, noise=0))
    assert regained["effect"] == pytest.approx(0.5 / 0.6) and times["effect"] == pytest.approx(49)
    _, (longer,) = judged("over_converged_recovers_last", table(**RATES, noise=0, change=late))
    assert longer["effect"] == pytest.approx(4) and longer["unit"] == "epochs"
    _, (concave,) = judged("diminishing_returns", table(shift=[0, 5, 10], noise=0, change=saturating))
    assert concave["effect"] == pytest.approx((1 - 2**-5) / (1 - 2**-10) - 0.5)


def test_a_norm_that_is_not_back_took_at_least_as_long_as_the_task():
    rows = table(
        **RATES, noise=0, change=lambda row: late(row) | ({"recovery_epochs": np.nan} if row["lr"] == 0.1 else {})
    )
    verdict, (longer,) = judged("over_converged_recovers_last", rows)
    assert verdict == "supported" and longer["effect"] == pytest.approx(10 - 4)


def test_the_claim_on_lazy_networks_looks_at_the_widest_twin_at_the_smallest_rate():
    rows = pd.DataFrame({"task": 2, "seed": [0, 0, 1, 1], "width": [2, 4, 2, 4], "lr": 0.1, "velocity_ratio": 3.0,
                         "distance": 0.2, "static_function_error": [0.9, 0.3, 0.8, 0.4]})  # fmt: skip
    limits = {"ratio": 2.0, "moved": 0.05, "mispredicted": 0.1}
    *_, error = lazy_networks_reactivate(rows, limits, rows)
    assert np.exp(error.values).tolist() == pytest.approx([0.3, 0.4]) and error.threshold == 0.1
    assert len(list(lazy_networks_reactivate(rows, limits))) == 2
    *_, error = lazy_networks_reactivate(rows, limits, rows.assign(lr=np.nan))  # one rate, which is not an axis
    assert np.exp(error.values).tolist() == pytest.approx([0.3, 0.4])

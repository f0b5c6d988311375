"""The page of claims for people."""

import numpy as np
import pandas as pd

from claim_tables import ALL, RATES, TABLES, WIDTHS, expected, table
from reactivation.analysis.claims_text import markdown
from reactivation.analysis.verdicts import claims_rows
from reactivation.storage.headers import CLAIMS

ROWS = table(**WIDTHS, **RATES).assign(experiment="e", forgetting=0.65)


def of_kernels(*kernels, name="velocity_spikes", experiment="e|f"):
    """The spec of a claim, tested on ROWS."""
    runs = {"experiment": experiment, "where": {"lr": 0.1}, "runs": expected(ROWS)}
    return runs | {"name": name, "ratio": 2.0, "moved": 0.05, "kernels": list(kernels)}


def test_the_page_has_a_line_for_each_claim_and_kernel():
    rows = pd.concat([ROWS, ROWS.assign(kernel="trace", velocity_ratio=1.0)])
    tested = [of_kernels("sum", "trace"), of_kernels("sum", name="lazy_networks_reactivate")]
    judged = claims_rows(rows, ALL | {"tested": tested})
    assert [(found[0]["claim"], found[0]["kernel"]) for found in judged] == [(2, "sum"), (2, "trace"), (11, "sum")]
    assert all(set(row) == set(CLAIMS) for found in judged for row in found)
    lines = [line for line in markdown(judged, rows, "tiny", ALL).splitlines() if line.startswith("| ")][2:]
    assert (
        lines[0].startswith("| 2 | At every switch") and r"(`e\|f`, lr 0.1) | `sum` | **supported** | 3 |" in lines[0]
    )
    assert lines[1].startswith(r"| 2 | the same (`e\|f`, lr 0.1) | `trace` | contradicted | 3 |")  # on other numbers
    assert "**supported**" in lines[2] and "should be more than 2×" in lines[2]


def test_a_claim_on_two_experiments_has_a_verdict_on_each():
    other = ROWS.assign(run="other-" + ROWS["run"], velocity_ratio=1.0)
    second = of_kernels("sum", experiment="g") | {"runs": expected(other)}
    judged = claims_rows(pd.concat([ROWS, other]), ALL | {"tested": [of_kernels("sum"), second]})
    assert [found[0]["verdict"] for found in judged] == ["supported", "contradicted"]
    text = markdown(judged, ROWS, "tiny", ALL)
    assert r"(`e\|f`, lr 0.1) | `sum` | **supported**" in text and "(`g`, lr 0.1) | `sum` | **contradicted**" in text


def test_several_tests_of_one_experiment_are_told_apart():
    first, second = of_kernels("sum") | {"key": "velocity_spikes.0"}, of_kernels("sum") | {"key": "velocity_spikes.1"}
    beside = {"beside": expected(ROWS), "beside_experiment": "twins", "where_beside": {"width": 16, "lr": 0.1}}
    judged = claims_rows(ROWS, ALL | {"tested": [first, second | {"ratio": 100.0}]})
    assert [found[0]["name"] for found in judged] == ["velocity_spikes.0", "velocity_spikes.1"]
    assert [found[0]["threshold"] for found in judged] == [2.0, 100.0]
    rows = ROWS.assign(static_function_error=0.5)
    lazy = of_kernels("sum", name="lazy_networks_reactivate") | {"mispredicted": 0.1} | beside
    judged = claims_rows(rows, ALL | {"tested": [lazy, lazy | {"where": {}, "where_beside": {}}]})
    where = ["lr 0.1, beside twins with width 16, lr 0.1", "beside twins"]
    assert [found[0]["where"] for found in judged] == where
    assert f"(`e\\|f`, {where[0]})" in markdown(judged, rows, "tiny", ALL)


def test_without_claims_the_page_says_so():
    assert "names no claims" in markdown(
        [], TABLES["repeats"][0].assign(experiment="e", forgetting=np.nan), "tiny", ALL
    )


def forgetting(rows):
    return [line for line in markdown([], rows, "tiny", ALL).splitlines() if line.startswith("* ")]


def test_what_is_forgotten_is_told_apart_from_what_the_head_forgets():
    rows = pd.DataFrame({"run": ["a", "a", "a", "b", "b", "c"], "experiment": "e", "kernel": "sum"})
    rows["task"] = [1, 2, 3, 2, 3, 2]  # c has not come to the last task
    rows["forgetting"] = [np.nan, 0.1, 0.4, 0.2, 0.8, 0.9]
    rows = pd.concat([rows, rows.assign(kernel="trace"), rows[:1].assign(run="d", experiment="one_task")])
    lost = "* `e` (3 tasks, 2 runs): 0.60 over all classes"
    assert forgetting(rows) == [f"{lost}."]
    within = rows.assign(forgetting_within_task=rows["forgetting"] / 4)
    assert forgetting(within) == [f"{lost}, 0.15 within the task."]
    text = markdown([], rows[rows["experiment"] == "one_task"], "tiny", ALL)
    assert "Forgetting" not in text

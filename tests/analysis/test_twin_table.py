"""The table of a linearised twin, and what other tables and figures take from it."""

import numpy as np
import pandas as pd
import pytest

from reactivation.analysis.switches import accuracy_rows, static_errors
from reactivation.analysis.twin_table import twin_table
from reactivation.figures.select import shown

# -------------------------------------------------------------------------------------------------------- tables
SPEC = {
    "experiment": "widths",
    "axes": {"dynamics": "linearized"},
    "seed": 1,
    "tasks": [{"classes": c, "weights": [1.0, 1.0]} for c in ([0, 1], [2, 3])],
    "epochs": [2, 2],
    "similarity": [None, 0.0],
}


def of_epochs(accuracies):
    """Evaluations at epochs, from the accuracy on each class."""
    return [
        {"step": int(10 * epoch), "epoch": epoch, "class": c, "images": 10, "test_accuracy": a, "test_loss": 1 - a}
        for epoch, of_classes in accuracies.items()
        for c, a in enumerate(of_classes)
    ]


def function_of(epochs, distance, change):
    return [
        {
            "step": int(10 * epoch),
            "epoch": epoch,
            "part": part,
            "class": c,
            "images": n,
            "distance": distance,
            "change": change,
        }
        for epoch in epochs
        for part, n in (("test", 10), ("probe", 2))
        for c in range(4)
    ]


@pytest.fixture(scope="module")
def table():
    networks = [
        of_epochs({0.0: [0] * 4, 1.0: [0.8, 0.8, 0, 0], 2.0: [1, 0.8, 0, 0]}),
        of_epochs({2.5: [0.5, 0.5, 0.5, 0.5], 4.0: [0, 0.2, 1, 1]}),
    ]
    twins = [
        of_epochs({0.0: [0] * 4, 1.0: [0.5, 0.5, 0, 0], 2.0: [0.6, 0.6, 0, 0]}),
        of_epochs({2.5: [0.2, 0.2, 0.5, 0.5], 4.0: [0, 0, 0.9, 0.7]}),
    ]
    functions = [function_of([0.0], 0.0, 0.0) + function_of([1.0, 2.0], 1.0, 4.0), function_of([2.5, 4.0], 9.0, 4.0)]
    return pd.DataFrame(twin_table(SPEC, twins, networks, functions))


def curve(table, metric, block):
    of = table[(table["metric"] == metric) & (table["block"] == block)]
    return list(zip(of["task"], of["epoch"], of["value"].round(9), strict=True))


def test_each_task_of_a_twin_starts_where_its_network_stands(table):
    assert curve(table, "test_accuracy", "task1") == [
        (1, 0.0, 0.0),
        (1, 1.0, 0.5),
        (1, 2.0, 0.6),
        (2, 2.0, 0.9),  # the network's
        (2, 2.5, 0.2),
        (2, 4.0, 0.0),
    ]


def test_a_twin_forgets_what_its_network_knew(table):
    assert curve(table, "forgetting", "task1") == [(2, 2.0, 0.0), (2, 2.5, 0.7), (2, 4.0, 0.9)]
    assert curve(table, "forgetting_error", "task1") == [(2, 2.0, 0.0), (2, 2.5, 0.3), (2, 4.0, 0.1)]


def test_errors_are_the_twins_minus_the_networks(table):
    found = curve(table, "accuracy_error", "task2")
    assert found == [(1, 0.0, 0), (1, 1.0, 0), (1, 2.0, 0), (2, 2.0, 0), (2, 2.5, 0), (2, 4.0, -0.2)]


def test_functions_are_apart_by_root_mean_squares_and_undefined_where_nothing_changed(table):
    for block in ("all", "task1", "probe"):
        assert curve(table, "function_distance", block) == [
            (1, 0.0, 0),
            (1, 1.0, 1),
            (1, 2.0, 1),
            (2, 2.5, 3),
            (2, 4.0, 3),
        ]
        assert curve(table, "function_error", block) == [(1, 1.0, 0.5), (1, 2.0, 0.5), (2, 2.5, 1.5), (2, 4.0, 1.5)]


@pytest.mark.parametrize(
    "metric, block, task, value",
    [
        ("test_accuracy", "task1", 1, 0.6),
        ("accuracy_error", "task1", 1, -0.3),
        ("test_accuracy", "task2", 2, 0.8),
    ],
)
def test_a_summary_of_a_task_is_of_that_tasks_twin(table, metric, block, task, value):
    """The start of the next twin has the same time, but does not count."""
    panel = {"kind": "summary", "metric": metric, "statistic": "last", "task": task, "x": "width", "color": None}
    panel |= {"block": [block], "runs": ["twin"], "axes": ["width"], "kernel": None, "reference": None, "dt": None}
    runs = table.assign(run="twin", width=2, layer=np.nan)
    (found,) = shown({"panels": [panel]}, runs)["value"]
    assert found == pytest.approx(value)


def test_a_task_of_a_twin_has_one_place_in_the_accuracy_matrix(table):
    matrix = {(row["trained"], row["task"]): round(row["test_accuracy"], 9) for row in accuracy_rows(table)}
    assert matrix == {(0, 1): 0, (0, 2): 0, (1, 1): 0.6, (1, 2): 0, (2, 1): 0, (2, 2): 0.8}


def test_a_networks_row_says_how_wrong_the_static_kernel_was_at_the_end(table):
    errors = static_errors(table)
    assert errors[1] == {"static_function_error": 0.5, "static_accuracy_error": pytest.approx(-0.3)}
    assert errors[2] == {
        "static_function_error": 1.5,
        "static_accuracy_error": pytest.approx(-0.2),
        "static_forgetting_error": pytest.approx(0.1),
    }

"""Linearised twins in tables, plans, configs and the real workflow."""

import numpy as np
import pandas as pd
import pytest
import torch

from helpers import changed, finished, planned, snakemake
from reactivation.analysis.claims import lazy_networks_reactivate
from reactivation.analysis.switches import accuracy_rows, static_errors
from reactivation.analysis.twin_table import twin_table
from reactivation.figures.select import shown
from reactivation.planning.plan import make_plan
from reactivation.storage.tables import read_table
from reactivation.study.load import ConfigError, load_study

EXPERIMENT = "experiments.widths"
BOTH = (f"{EXPERIMENT}.grid.dynamics", ["network", "linearized"])


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
    """Of epochs, by what share of each class is right."""
    return [
        {"step": int(10 * epoch), "epoch": epoch, "class": c, "images": 10, "test_accuracy": a, "test_loss": 1 - a}
        for epoch, of_classes in accuracies.items()
        for c, a in enumerate(of_classes)
    ]


def function_of(epochs, distance, change):
    return [
        {"step": int(10 * epoch), "epoch": epoch, "part": part, "class": c, "images": n, "distance": distance, "change": change}
        for epoch in epochs
        for part, n in (("test", 10), ("probe", 2))
        for c in range(4)
    ]  # fmt: skip


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


@pytest.mark.parametrize("metric, block, task, value", [
    ("test_accuracy", "task1", 1, 0.6),
    ("accuracy_error", "task1", 1, -0.3),
    ("test_accuracy", "task2", 2, 0.8),
])  # fmt: skip
def test_a_summary_of_a_task_is_of_that_tasks_twin(table, metric, block, task, value):
    """Not of the next one's start, which has the same time."""
    panel = {"kind": "summary", "metric": metric, "statistic": "last", "task": task, "x": "width", "color": None}
    panel |= {"block": [block], "runs": ["twin"], "axes": ["width"], "kernel": "sum", "reference": "init", "dt": None}
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


def test_the_claim_on_lazy_networks_looks_at_the_widest_twin_at_the_smallest_rate():
    rows = pd.DataFrame({"task": 2, "seed": [0, 0, 1, 1], "width": [2, 4, 2, 4], "lr": 0.1, "velocity_ratio": 3.0,
                         "distance": 0.2, "static_function_error": [0.9, 0.3, 0.8, 0.4]})  # fmt: skip
    limits = {"ratio": 2.0, "moved": 0.05, "mispredicted": 0.1}
    *_, error = lazy_networks_reactivate(rows, limits, rows)
    assert error.values.tolist() == [0.3, 0.4] and error.threshold == 0.1
    assert len(list(lazy_networks_reactivate(rows, limits))) == 2
    *_, error = lazy_networks_reactivate(rows, limits, rows.assign(lr=np.nan))  # one rate, on no axis
    assert error.values.tolist() == [0.3, 0.4]


# --------------------------------------------------------------------------------------------------------- plans
def plan(*edits):
    return make_plan(load_study(changed(*edits)))


def test_networks_are_named_as_without_twins():
    tiny, both = plan(), plan(BOTH)
    assert tiny.segments.items() <= both.segments.items() and tiny.kernels.items() <= both.kernels.items()
    assert len(both.segments) == 2 * len(tiny.segments) and both.kernels.keys() == tiny.kernels.keys()


def test_a_twin_goes_on_from_its_networks_segment_of_the_task_before():
    both = plan(BOTH)
    network, twin = (both.runs[f"widths-width2-dynamics{name}-s0"] for name in ("network", "linearized"))
    assert twin.networks == network.segments and network.networks == () and twin.kernels == ()
    first, second = twin.segments
    assert both.segments[first].parent is None and both.segments[second].parent == network.segments[0]
    assert second.startswith("glyphs-cnn-linearized-w2-lr0.05-s0-task2-")
    assert both.functions[twin.functions[1]].network == network.segments[1]


def test_a_twin_alone_trains_its_network_too():
    alone = plan((f"{EXPERIMENT}.training.dynamics", "linearized"), ("figures", {}))
    assert len(alone.segments) == 16 and not alone.kernels
    assert alone.segments == plan(BOTH).segments


def test_who_says_nothing_means_networks_but_for_errors_of_twins():
    """So that a study can have twins by one line."""
    panels = [{"metric": "spectral_norm"}, {"metric": "test_accuracy"}, {"metric": "function_error"}]
    claims = {"wider_is_lazier": {"experiment": "widths"}}
    both = plan(BOTH, ("figures.fig4.panels", panels), ("claims", claims))
    kinds = [
        {both.runs[run].spec["axes"]["dynamics"] for run in panel["runs"]}
        for panel in both.figures["fig4"].spec["panels"]
    ]
    assert kinds == [{"network"}, {"network"}, {"linearized"}]
    assert all("network" in run for run in both.claims["tested"]["wider_is_lazier"]["runs"])
    colored = {"experiment": "widths", "color": "dynamics", "where": {"width": 2}, "panels": panels[1:2]}
    assert len(plan(BOTH, ("figures.fig4", colored)).figures["fig4"].runs) == 4


@pytest.mark.parametrize(
    "edits, message",
    [
        ([("figures.fig4.panels", [{"metric": "function_error"}])], "panels.0.metric: function_error is of linearised twins, and runs of networks are shown"),
        (
            [BOTH, ("figures.fig4.where", {"dynamics": "linearized"})],
            "panels.1.metric: alignment is of networks: a linearised twin has the kernel of its task's start",
        ),
        (
            [(f"{EXPERIMENT}.model", {"name": "resnet18", "norm": "batch"}), BOTH],
            "experiments.widths.training.dynamics: linearized needs a network whose images do not mix: choose norm: group",
        ),
        ([(f"{EXPERIMENT}.grid.dynamics", ["network", "linear"])], "grid.dynamics.1: Input should be 'network' or 'linearized'"),
        (
            [("claims", {"wider_is_lazier": {"experiment": "widths", "where": {"dynamics": "linearized"}}}), BOTH],
            "claims.wider_is_lazier.experiment: widths has linearised twins there, which have no kernels",
        ),
        (
            [
                (f"{EXPERIMENT}.grid.lr", [0.1, 0.2]),
                (f"{EXPERIMENT}.training", {"epochs": 2}),
                ("claims", {"lazy_networks_reactivate": {"experiment": "widths", "beside": "widths"}}),
            ],
            "claims.lazy_networks_reactivate.beside: widths should have dynamics: [network, linearized] in its grid",
        ),
    ],
)  # fmt: skip
def test_what_a_config_may_get_wrong(edits, message):
    with pytest.raises(ConfigError) as error:
        load_study(changed(*edits))
    assert message in str(error.value)


# ------------------------------------------------------------------------------------------------ the real workflow
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
        read_table(done / f"results/tiny/runs/widths-width2-dynamics{name}-s0.csv") for name in ("linearized", "network")
    )  # fmt: skip
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

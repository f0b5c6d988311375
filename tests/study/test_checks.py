"""Checks of keys against each other: figures, panels, twins, untrained networks."""

import pytest

from convergence import PANEL, study
from edits import BOTH, EXPERIMENT, FIGURE, MIXTURE, errors
from helpers import TINY, changed
from reactivation.planning.plan import make_plan
from reactivation.study.load import ConfigError, load_study

SUMMARY = {"kind": "summary", "metric": "spectral_norm", "statistic": "drop"}
SWITCH = {"metric": "trace", "time": "since_switch"}


@pytest.mark.parametrize(
    "figure, message",
    [
        ({"panels": [SUMMARY | {"statistic": "fall"}]}, "panels.0.statistic: Input should be 'last', 'max', 'drop' or"),
        ({"panels": [SUMMARY | {"task": 3}]}, "panels.0.task: 3 is more than the 2 of a run"),
        ({"panels": [SUMMARY | {"task": 1}]}, "panels.0.task: the first task has no drop: there is none before it"),
        ({"panels": [SUMMARY | {"x": "lr"}]}, "panels.0.x: lr is not an axis of widths, which has width"),
        ({"panels": [{"kind": "spectrum"}]}, "where: must choose one value of width, of which the grid has several"),
        (
            {"panels": [{"kind": "pie"}]},
            "panels.0.kind: should be one of 'curves', 'summary', 'spectrum'",
        ),
        ({"kind": "summary", "panels": [{"metric": "trace"}]}, "panels.0.statistic: is missing"),
        ({"panels": [{"metric": "trace", "where": {"width": 3}}]}, "panels.0.where.width: 3 is not in the grid, which"),
        (
            {"panels": [{"metric": "trace", "color": "lr"}]},
            "panels.0.color: lr is not an axis of widths, which has width",
        ),
        ({"panels": [{"metric": "trace", "experiment": "w"}]}, "panels.0.experiment: there is no experiment 'w'; this"),
        (
            {"panels": [{"metric": "trace", "block": ["train"]}]},
            "panels.0.block: trace has no block 'train'; it has all",
        ),
        ({"beside": "fig9", "panels": [SUMMARY]}, "beside: there is no figure 'fig9'; this config has fig4, other"),
        (
            {"beside": "fig4", "panels": [SUMMARY]},
            "panels.0: fig4 has no panel with the same summary of spectral_norm to take the sc",
        ),
        (
            {"beside": "other", "panels": [{"metric": "trace"}]},
            "beside: other takes its own scales from another figure",
        ),
        ({"panels": [{"metric": "trace"}], "experiment": None}, "experiment: is missing"),
        (
            {"panels": [{"kind": "spectrum", "color": "lr", "where": {"width": 2}}]},
            "panels.0.color: a spectrum has the",
        ),
        ({"panels": [{"metric": "forgetting", "block": ["task2"]}]}, "panels.0.block: forgetting has no block 'task2'"),
        (
            {"panels": [SUMMARY | {"metric": "forgetting"}]},
            "panels.0.statistic: forgetting has no drop: at a switch nothing",
        ),
        (
            {"panels": [{"metric": "accuracy_within_task", "block": ["all"]}]},
            "panels.0.block: accuracy_within_task has no block 'all'; it has task1, task2, current",
        ),
        (
            {"panels": [SUMMARY | {"metric": "forgetting_within_task"}]},
            "panels.0.statistic: forgetting_within_task has no drop: at a switch nothing",
        ),
        ({"kind": "bars"}, "kind: Input should be 'curves', 'summary'"),
        ({"panels": [SWITCH | {"task": 3}]}, "panels.0.task: needs a task 3, but the runs have 2"),
        ({"panels": [SWITCH | {"task": 1}]}, "panels.0.task: Input should be greater than or equal to 2 (it is 1)"),
        (
            {"panels": [SWITCH | {"unit": "hours"}]},
            "panels.0.unit: Input should be 'epochs' or 'steps' (it is 'hours')",
        ),
        ({"panels": [SWITCH | {"time": "later"}]}, "panels.0.time: Input should be 'epoch', 'tasks', 'iterations' or"),
        (
            {"panels": [SWITCH | {"time": "tasks", "unit": "steps"}]},
            "panels.0.unit: belongs to time: since_switch, and time is tasks here: remove it, or change time",
        ),
        (
            {"panels": [SWITCH | {"time": "epoch", "task": 2}]},
            "panels.0.task: belongs to time: since_switch, and time is",
        ),
        (
            {"panels": [SUMMARY | {"time": "since_switch"}]},
            "panels.0.time: does not belong here; it is a key of another kind",
        ),
    ],
)
def test_mistakes_in_figures(figure, message):
    panels = {"panels": [{"metric": "trace"}]}
    config = changed(("figures.other", {"experiment": "widths", "color": "width"} | panels | figure))
    if figure.get("beside") == "other":
        config["figures"]["third"] = config["figures"]["other"] | {"beside": "other"}
        config["figures"]["other"] = TINY["figures"]["fig4"] | {"beside": "fig4"}
    lines = [line for line in errors(config) if not line.startswith("figures.third.panels")]
    name = "third" if figure.get("beside") == "other" else "other"
    assert len(lines) == 1 and lines[0].startswith(f"figures.{name}.{message}"), lines


@pytest.mark.parametrize(
    "layers, panel, message",
    [
        (
            False,
            {"metric": "trace"},
            "panels.0.color: widths has no kernels of layers: set layers: true there, which computes its",
        ),
        (
            True,
            {"metric": "test_loss"},
            "panels.0.metric: test_loss has no values for layers; those that have are spectral_norm, trace",
        ),
        (True, {"metric": "cross_task_overlap"}, "panels.0.metric: cross_task_overlap has no values for layers"),
        (True, {"metric": "trace", "block": ["task1"]}, "panels.0.block: layers have metrics on the whole probe only"),
        (True, SUMMARY, "panels.0.color: layer works for curves only: a summary has one number per run"),
        (
            True,
            {"metric": "trace", "where": {}},
            "panels.0.where: must choose one value of width, of which the grid has several",
        ),
    ],
)
def test_mistakes_in_panels_of_layers(layers, panel, message):
    panel = {"color": "layer", "where": {"width": 2}} | panel
    config = changed((f"{EXPERIMENT}.layers", layers), ("figures.other", {"experiment": "widths", "panels": [panel]}))
    (line,) = errors(config)
    assert line.startswith(f"figures.other.{message}"), line


@pytest.mark.parametrize(
    "metric, known",
    [
        ("eigenvector_rotation", "it has all"),
        ("eigenvector_alignment", "it has all, task1, task2, current"),
        ("block_norm", "it has all, task1, task2, task1-task2, current"),
        ("trace", "it has all, task1, task2, current"),
    ],
)
def test_a_metric_says_which_parts_of_the_probe_it_has(metric, known):
    (line,) = errors(changed((f"{FIGURE}.panels", [{"metric": metric, "block": ["task2-task1"]}])))
    assert line == f"{FIGURE}.panels.0.block: {metric} has no block 'task2-task1'; {known}"


def test_rates_are_tried_at_the_widths_that_there_are():
    load_study(changed((f"{EXPERIMENT}.training.lr", "0.1/(width-1)")))


@pytest.mark.parametrize(
    "model, remedy",
    [
        ({"name": "resnet18"}, "choose norm: group"),
        ({"name": "cnn_bn"}, "choose one without batch normalization, which cnn_bn has"),
    ],
)
def test_twins_need_networks_that_do_not_mix_images(model, remedy):
    size = ("datasets.glyphs.image_size", 16)
    (line,) = errors(changed(BOTH, size, (f"{EXPERIMENT}.model", model), ("figures", {})))
    message = "training.dynamics: linearized needs a network that does not mix images"
    assert line == f"{EXPERIMENT}.{message}: {remedy}"


def test_the_probe_has_no_part_for_a_task_without_new_classes():
    """A panel of it would be empty."""
    there_and_back = {"kind": "sequence", "tasks": [{"classes": [0, 1]}, {"classes": [2, 3]}, {"classes": [0, 1]}]}
    scenario = (f"{EXPERIMENT}.scenario", there_and_back)
    load_study(changed(scenario))  # the test set has one
    for block in ("task3", "current"):
        (line,) = errors(changed(scenario, (f"{FIGURE}.panels", [{"metric": "trace", "block": [block]}])))
        assert line == f"{FIGURE}.panels.0.block: trace has no block {block!r}; it has all, task1, task2"


def test_a_summary_against_similarity_may_have_a_line_per_width():
    """The shift need not be chosen: similarity depends on it."""
    window = {"kind": "sliding_window", "classes": 4, "window": 2}
    grid = {"width": [2, 4], "shift": [0, 1, 2]}
    panel = {"kind": "summary", "metric": "spectral_norm", "statistic": "drop"}
    edits = [(f"{EXPERIMENT}.scenario", window), (f"{EXPERIMENT}.grid", grid), (f"{FIGURE}.panels", [panel])]
    assert len(make_plan(load_study(changed(*edits))).figures["fig4"].runs) == 2 * 3 * 2


def test_the_same_panel_may_be_written_in_two_ways():
    panels = [{"metric": "kernel_velocity", "dt": 1, "block": ["all"], "scale": "log"}]
    other = {"experiment": "widths", "color": "width", "beside": "fig4", "panels": panels}
    load_study(changed(("figures.other", other)))


def test_a_panel_that_only_its_default_makes_impossible():
    """With the same classes in both tasks there is no second part of the probe."""
    mixture = (f"{EXPERIMENT}.scenario", MIXTURE)
    (line,) = errors(changed(mixture, (f"{FIGURE}.panels", [{"metric": "cross_task_overlap"}])))
    assert line == f"{FIGURE}.panels.0.block: cross_task_overlap has no block 'task1-task2'; it has none"


def test_an_axis_that_a_figure_neither_shows_nor_fixes():
    config = changed((f"{EXPERIMENT}.grid.lr", [0.1, 0.2]), (f"{EXPERIMENT}.training.lr", ...))
    assert errors(config) == [f"{FIGURE}.where: must choose one value of lr, of which the grid has several"]
    config["figures"]["fig4"]["where"] = {"lr": "1e-1"}  # as PyYAML reads 1e-1
    load_study(config)


# --------------------------------------------------------------------------------------------------------------- twins
@pytest.mark.parametrize(
    "edits, message",
    [
        (
            [("figures.fig4.panels", [{"metric": "function_error"}])],
            "panels.0.metric: function_error needs linearised twins, but the panel shows networks",
        ),
        (
            [BOTH, ("figures.fig4.where", {"dynamics": "linearized"})],
            "panels.1.metric: alignment needs networks: the kernel of a linearised twin does not change within a task",
        ),
        (
            [
                BOTH,
                ("figures.fig4.panels", [{"metric": "accuracy_within_task"}]),
                ("figures.fig4.color", "dynamics"),
                ("figures.fig4.where", {"width": 2}),
            ],
            "panels.0.metric: accuracy_within_task needs networks: linearised twins are tested among all classes only",
        ),
        (
            [
                (f"{EXPERIMENT}.scenario", TINY["experiments"]["widths"]["scenario"] | {"tasks": 1}),
                ("figures.fig4.panels", [{"metric": "accuracy_within_task"}]),
            ],
            "panels.0.metric: accuracy_within_task needs a second task",
        ),
        (
            [(f"{EXPERIMENT}.model", {"name": "resnet18", "norm": "batch"}), BOTH],
            "experiments.widths.training.dynamics: "
            "linearized needs a network that does not mix images: choose norm: group",
        ),
        (
            [(f"{EXPERIMENT}.grid.dynamics", ["network", "linear"])],
            "grid.dynamics.1: Input should be 'network' or 'linearized'",
        ),
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
)
def test_what_a_config_may_get_wrong(edits, message):
    with pytest.raises(ConfigError) as error:
        load_study(changed(*edits))
    assert message in str(error.value)


# -------------------------------------------------------------------------------------------------- untrained networks
@pytest.mark.parametrize(
    "edit, line",
    [
        ({"widths": [2, 4]}, "figures.wide.panels.0.widths: List should have at least 3 items"),
        (
            {"widths": [2, 4, 6]},
            "figures.wide.panels.0.widths: should grow by one factor, such as [16, 32, 64, 128] (it is",
        ),
        ({"widths": [8, 4, 2]}, "figures.wide.panels.0.widths: should grow by one factor"),
        ({"widths": [4, 4, 4]}, "figures.wide.panels.0.widths: should grow by one factor"),
        ({"widths": [0, 4, 8]}, "figures.wide.panels.0.widths.0: Input should be greater than or equal to 1"),
        ({"widths": None}, "figures.wide.panels.0.widths: Input should be a valid list"),
        ({"initialisations": 1}, "figures.wide.panels.0.initialisations: Input should be greater than or equal to 2"),
        ({"color": "width"}, "figures.wide.panels.0.color: a convergence has one color: remove it"),
        ({"metric": "alignment"}, "figures.wide.panels.0.metric: does not belong here; it is a key of another kind"),
        ({"experiment": "none"}, "figures.wide.panels.0.experiment: there is no experiment 'none'"),
        ({"where": {"depth": 2}}, "figures.wide.panels.0.where.depth: is not an axis of widths, which has width"),
    ],
    ids=str,
)
def test_mistakes_are_said_in_one_line(edit, line):
    with pytest.raises(ConfigError) as error:
        load_study(study(PANEL | edit))
    assert str(error.value).count("\n") == 1 and line in str(error.value)


def test_axes_that_the_untrained_network_depends_on_must_be_chosen():
    config = study(PANEL)
    experiment = config["experiments"]["widths"]
    experiment["model"] = {"name": "mlp", "width": 4}
    experiment["training"] = {"epochs": 2, "batch_size": 8}
    experiment["grid"] = {"depth": [1, 2], "lr": [0.1, 0.2]}
    with pytest.raises(ConfigError, match=r"figures.wide.where: must choose one value of depth, of which the grid has"):
        load_study(config)
    config["figures"]["wide"]["where"] = {"depth": 1}
    ((convergence),) = make_plan(load_study(config)).convergences.values()
    assert convergence.spec["model"]["depth"] == 1


def test_a_panel_of_a_switch_needs_one():
    one = {"kind": "class_split", "tasks": 1, "classes_per_task": 2}
    (line,) = errors(changed((f"{EXPERIMENT}.scenario", one), (f"{FIGURE}.panels", [SWITCH])))
    assert line == f"{FIGURE}.panels.0.time: needs a task 2, but the runs have 1"


def test_the_time_since_a_switch_is_in_epochs_of_the_second_task_unless_a_panel_says_otherwise():
    (panel,) = make_plan(load_study(changed((f"{FIGURE}.panels", [SWITCH])))).figures["fig4"].spec["panels"]
    assert (panel["unit"], panel["task"]) == ("epochs", 2)

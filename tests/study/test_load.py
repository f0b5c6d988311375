"""Every mistake in a config is named, all at once, by the path of its key."""

import re
from itertools import combinations

import pytest
import yaml

from helpers import REPOSITORY, TINY, changed
from reactivation.planning.plan import make_plan
from reactivation.storage.headers import BESIDE_AXES
from reactivation.study.grid import axis_names, variants
from reactivation.study.handbook import readme_text
from reactivation.study.load import ConfigError, load_study
from reactivation.study.schema import schema_text
from reactivation.study.schema_experiments import SECTIONS

EXPERIMENT = "experiments.widths"
FIGURE = "figures.fig4"


def errors(config):
    with pytest.raises(ConfigError) as caught:
        load_study(config, "study.yaml")
    head, *lines = str(caught.value).splitlines()
    assert head == f"study.yaml: {'1 error' if len(lines) == 1 else f'{len(lines)} errors'}"
    return [line.removeprefix("  ") for line in lines]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_configs_of_the_repository_are_valid(path):
    if path.name != "schema.yaml":
        load_study(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "path, value, message",
    [
        ("sneeds", [1], "sneeds: unknown key; did you mean seeds?"),
        ("seeds", [0, 0], "seeds: names 0 twice"),
        ("seeds", [], "seeds: List should have at least 1 item"),
        ("seeds", "0", "seeds: Input should be a valid list"),
        ("study", "a/b", "study: should be a name of letters, digits, - and _, b"),
        ("study", "segments", "study: segments is a folder that all studies share"),
        ("figures.fig4.title", "a</Script>", "figures.fig4.title: must not contain </script"),
        (
            "datasets.glyphs.classes",
            101,
            "datasets.glyphs.classes: Input should be less than or equal to 100 (it is 101)",
        ),
        ("datasets.glyphs.clases", 4, "datasets.glyphs.clases: unknown key; did you mean classes?"),
        ("datasets.glyphs.source", "mnist", "datasets.glyphs.source: should be one of 'glyphs', 'torch"),
        (
            f"{EXPERIMENT}.dataset",
            "cifar",
            f"{EXPERIMENT}.dataset: there is no data set 'cifar'; this config has glyphs",
        ),
        (f"{EXPERIMENT}.training.lr", "fast", f"{EXPERIMENT}.training.lr: Input should be a number, or arith"),
        (
            f"{EXPERIMENT}.training.lr",
            -1,
            f"{EXPERIMENT}.training.lr: Input should be greater than 0 and finite (it is -1)",
        ),
        (f"{EXPERIMENT}.training.lr", float("inf"), f"{EXPERIMENT}.training.lr: Input should be greater than 0 and f"),
        (f"{EXPERIMENT}.training.epochs", 2.5, f"{EXPERIMENT}.training.epochs: Input should be a valid integer"),
        (f"{EXPERIMENT}.training.epochs", True, f"{EXPERIMENT}.training.epochs: Input should be a valid integer"),
        (f"{EXPERIMENT}.training.epochs", ..., f"{EXPERIMENT}.training.epochs: is missing"),
        (f"{EXPERIMENT}.training", 3, f"{EXPERIMENT}.training: should be a mapping of keys to values (it is 3)"),
        (f"{EXPERIMENT}.grid.width", [0, 4], f"{EXPERIMENT}.grid.width.0: Input should be greater than or equal to 1"),
        (f"{EXPERIMENT}.grid.width", [4, 0], f"{EXPERIMENT}.grid.width.1: Input should be greater than or equal to 1"),
        (f"{EXPERIMENT}.grid.width", [4, 4], f"{EXPERIMENT}.grid.width: names 4 twice"),
        (f"{EXPERIMENT}.grid.width", 4, f"{EXPERIMENT}.grid.width: Input should be a valid list"),
        (f"{EXPERIMENT}.grid.widht", [4], f"{EXPERIMENT}.grid.widht: is no key of scenario, model, training; did you"),
        (f"{EXPERIMENT}.model.width", 4, f"{EXPERIMENT}.grid.width: is given in model as well"),
        (
            f"{EXPERIMENT}.scenario.tasks",
            3,
            f"{EXPERIMENT}.scenario: 3 tasks of 2 classes need 6 classes; glyphs has 4",
        ),
        (
            f"{EXPERIMENT}.scenario.class_order",
            [0, 1, 2, 4],
            f"{EXPERIMENT}.scenario.class_order: class 4 is out of range: glyphs has classes 0 to 3",
        ),
        (
            f"{EXPERIMENT}.scenario.class_order",
            [0, 1],
            f"{EXPERIMENT}.scenario: 2 tasks of 2 classes need 4 classes; c",
        ),
        (f"{EXPERIMENT}.checkpoints", {"every": 2}, f"{EXPERIMENT}.metrics.velocity_dt: 1 is no multiple of"),
        (f"{FIGURE}.panels", [{"metric": "trace"}], f"{FIGURE}.panels.0.kernel: the experiment computes trace only"),
        (
            f"{FIGURE}.experiment",
            "width",
            f"{FIGURE}.experiment: there is no experiment 'width'; this config has widths",
        ),
        (f"{FIGURE}.color", "lr", f"{FIGURE}.color: lr is no axis of widths, which has width"),
        (f"{FIGURE}.where", {"lr": 3}, f"{FIGURE}.where.lr: is no axis of widths, which has width"),
        (f"{FIGURE}.where", {"width": 3}, f"{FIGURE}.where.width: 3 is not in the grid, which has [2, 4]"),
        (f"{FIGURE}.panels.0.metric", "acuracy", f"{FIGURE}.panels.0.metric: Input should be 'spectral_norm'"),
        (f"{FIGURE}.panels.0.block", ["task3"], f"{FIGURE}.panels.0.block: test_accuracy has no block 'task3'; it has"),
        (f"{FIGURE}.panels.4.dt", 2, f"{FIGURE}.panels.4.dt: 2 is not in the experiment's velocity_dt [1]"),
        ("figures", {"train": TINY["figures"]["fig4"]}, "figures.train: is the name of a target or rule"),
        ("figures", {"figure": TINY["figures"]["fig4"]}, "figures.figure: is the name of a target or rule"),
        (f"{EXPERIMENT}.grid.width", [], f"{EXPERIMENT}.grid.width: List should have at least 1 item"),
        (f"{EXPERIMENT}.metrics", {"velocity_dt": [5]}, f"{FIGURE}.panels.4.dt: 5 epochs are more than the 4 of a run"),
        (
            "figures",
            {"../fig": TINY["figures"]["fig4"]},
            "figures.../fig: should be a name of letters, digits and _, b",
        ),
    ],
)
def test_one_mistake_is_one_line(path, value, message):
    config = changed((path, value))
    if "computes trace only" in message:
        config["experiments"]["widths"]["kernels"] = ["trace"]
    lines = errors(config)
    assert any(line.startswith(message) for line in lines), lines
    assert len(lines) == 1, lines


WINDOW = {"kind": "sliding_window", "classes": 4, "window": 2, "shift": 1}
MIXTURE = {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.5, "alpha": 0.9}
SEQUENCE = {"kind": "sequence", "tasks": [{"classes": [0, 1]}, {"classes": [2]}]}


@pytest.mark.parametrize(
    "scenario, key, message",
    [
        ({"tasks": 2}, "", "needs the key kind"),
        (
            WINDOW | {"kind": "window"},
            ".kind",
            "should be one of 'class_split', 'sliding_window', 'mixture', 'sequence'",
        ),
        (WINDOW | {"window": 0}, ".window", "Input should be greater than or equal to 1 (it is 0)"),
        (WINDOW | {"classes": 5}, "", "windows over 5 classes need as many; glyphs has 4"),
        (WINDOW | {"shift": 3}, "", "the last of 2 windows of 2, each shifted by 3, ends at class 5"),
        (WINDOW | {"alpha": 0.5}, ".alpha", "does not belong here; it is a key of another kind"),
        (MIXTURE | {"alpha": 1.5}, ".alpha", "Input should be less than or equal to 1 (it is 1.5)"),
        (MIXTURE | {"second": [1, 2]}, ".second", "class 1 is in `first` as well: the two groups must be disjoint"),
        (MIXTURE | {"second": [2, 9]}, ".second", "class 9 is out of range: glyphs has classes 0 to 3"),
        ({k: v for k, v in MIXTURE.items() if k != "start"}, ".start", "is missing"),
        (SEQUENCE | {"tasks": []}, ".tasks", "List should have at least 1 item"),
        (SEQUENCE | {"tasks": [{"classes": [0, 0]}]}, ".tasks.0.classes", "names 0 twice"),
        (SEQUENCE | {"tasks": [{"classes": [7]}]}, ".tasks.0.classes", "class 7 is out of range: glyphs has classes"),
        (
            SEQUENCE | {"tasks": [{"classes": [0], "weights": [0]}]},
            ".tasks.0.weights.0",
            "Input should be greater than 0",
        ),
        (SEQUENCE | {"tasks": [{"classes": [0], "weights": [1, 1]}]}, ".tasks.0.weights", "has 2 values for 1 classes"),
        (SEQUENCE | {"replay": -1}, ".replay", "Input should be greater than or equal to 0 (it is -1)"),
    ],
)
def test_mistakes_in_scenarios(scenario, key, message):
    (line,) = errors(changed((f"{EXPERIMENT}.scenario", scenario), ("figures", {})))
    assert line.startswith(f"{EXPERIMENT}.scenario{key}: {message}"), line


@pytest.mark.parametrize(
    "section, value, message",
    [
        ("model", {"depth": 2}, "model: needs the key name"),
        (
            "model",
            {"name": "transformer"},
            "model.name: should be one of 'cnn', 'mlp', 'rnn', 'resnet18'",
        ),
        ("model", {"name": "cnn", "depth": 2}, "model.depth: does not belong here; it is a key of another kind"),
        ("model", {"name": "mlp", "activation": "sine"}, "model.activation: Input should be 'relu', 'tanh' or 'gelu'"),
        ("training", {"momentum": 1}, "training.momentum: Input should be less than 1 (it is 1)"),
        ("training", {"optimizer": "adam", "momentum": 0.9}, "training.momentum: is of sgd only; adam has its own"),
        ("training", {"lr": "0.1*(3-width)"}, "training.lr: 0.1*(3-width) is no number greater than 0 at width 4"),
        ("training", {"lr": "sqrt(3-width)"}, "training.lr: sqrt(3-width) is no number greater than 0 at width 4"),
        ("training", {"lr": "0.1/(4-width)"}, "training.lr: 0.1/(4-width) is no number greater than 0 at width 4"),
        ("training", {"lr": "0.1/depth"}, "training.lr: Input should be a number, or arithmetic with numbers, width"),
    ],
)
def test_mistakes_in_models_and_training(section, value, message):
    if section == "training":
        value = {"lr": 0.1, "epochs": 2} | value
    lines = errors(changed((f"{EXPERIMENT}.{section}", value), ("figures", {})))
    assert [line for line in lines if line.startswith(f"{EXPERIMENT}.{message}")] == lines


SUMMARY = {"kind": "summary", "metric": "spectral_norm", "statistic": "drop"}


@pytest.mark.parametrize(
    "figure, message",
    [
        ({"panels": [SUMMARY | {"statistic": "fall"}]}, "panels.0.statistic: Input should be 'last', 'max', 'drop' or"),
        ({"panels": [SUMMARY | {"task": 3}]}, "panels.0.task: 3 is more than the 2 of a run"),
        ({"panels": [SUMMARY | {"task": 1}]}, "panels.0.task: the first task has no drop: there is none before it"),
        ({"panels": [SUMMARY | {"x": "lr"}]}, "panels.0.x: lr is no axis of widths, which has width"),
        ({"panels": [{"kind": "spectrum"}]}, "where: must choose one value of width, of which the grid has several"),
        (
            {"panels": [{"kind": "pie"}]},
            "panels.0.kind: should be one of 'curves', 'summary', 'spectrum'",
        ),
        ({"kind": "summary", "panels": [{"metric": "trace"}]}, "panels.0.statistic: is missing"),
        ({"panels": [{"metric": "trace", "where": {"width": 3}}]}, "panels.0.where.width: 3 is not in the grid, which"),
        ({"panels": [{"metric": "trace", "color": "lr"}]}, "panels.0.color: lr is no axis of widths, which has width"),
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
        ({"beside": "other", "panels": [{"metric": "trace"}]}, "beside: other is drawn beside another figure itself"),
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
        ({"kind": "bars"}, "kind: Input should be 'curves', 'summary'"),
    ],
)
def test_mistakes_in_figures(figure, message):
    panels = {"panels": [{"metric": "trace"}]}
    config = changed(("figures.other", {"experiment": "widths", "color": "width"} | panels | figure))
    if figure.get("beside") == "other":
        config["figures"]["third"] = config["figures"]["other"] | {"beside": "other"}
        config["figures"]["other"] = TINY["figures"]["fig4"] | {"beside": "fig4"}
        message = message.replace("beside", "beside", 1)
    lines = [line for line in errors(config) if not line.startswith("figures.third.panels")]
    name = "third" if figure.get("beside") == "other" else "other"
    assert len(lines) == 1 and lines[0].startswith(f"figures.{name}.{message}"), lines


@pytest.mark.parametrize(
    "layers, panel, message",
    [
        (
            False,
            {"metric": "trace"},
            "panels.0.color: widths has no layers: say layers: true there, which computes its",
        ),
        (True, {"metric": "test_loss"}, "panels.0.metric: test_loss is not of layers, which have spectral_norm, trace"),
        (True, {"metric": "cross_task_overlap"}, "panels.0.metric: cross_task_overlap is not of layers"),
        (True, {"metric": "trace", "block": ["task1"]}, "panels.0.block: layers have metrics on the whole probe only"),
        (True, SUMMARY, "panels.0.color: layer is of curves: a summary has one number per run"),
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


def test_the_probe_has_no_part_for_a_task_without_new_classes():
    """It would be drawn as nothing."""
    there_and_back = {"kind": "sequence", "tasks": [{"classes": [0, 1]}, {"classes": [2, 3]}, {"classes": [0, 1]}]}
    scenario = (f"{EXPERIMENT}.scenario", there_and_back)
    load_study(changed(scenario))  # the test set does
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


def test_a_rate_may_be_chosen_as_it_is_written():
    rates = ["0.1/width", "1/1000"]
    for chosen in ("0.1 / width", "1/1000", 0.001):
        edits = [
            (f"{EXPERIMENT}.grid.lr", rates),
            (f"{EXPERIMENT}.training.lr", ...),
            (f"{FIGURE}.where", {"lr": chosen}),
        ]
        assert len(make_plan(load_study(changed(*edits))).figures["fig4"].runs) == 4


def test_hints_are_keys_of_the_same_place():
    lines = errors(
        changed(("seed", 1), (f"{EXPERIMENT}.training.learning_rte", 1), (f"{EXPERIMENT}.training.epoch", 1))
    )
    assert "seed: unknown key; did you mean seeds?" in lines
    assert f"{EXPERIMENT}.training.learning_rte: unknown key" in lines
    assert f"{EXPERIMENT}.training.epoch: unknown key; did you mean epochs?" in lines


def test_axes_are_numbers_or_words():
    tasks = [[{"classes": [0]}, {"classes": [1]}], [{"classes": [0]}, {"classes": [2]}]]
    edits = [(f"{EXPERIMENT}.scenario", {"kind": "sequence"}), (f"{EXPERIMENT}.grid", {"width": [2], "tasks": tasks})]
    (line,) = errors(changed(*edits, ("figures", {})))
    assert line.startswith(f"{EXPERIMENT}.grid.tasks: has values that are neither numbers nor words")


def test_sequences_may_cover_more_than_their_own_classes():
    one = {"kind": "sequence", "tasks": [{"classes": [0, 1]}, {"classes": [2]}], "classes": [0, 1, 2, 3]}
    two = one | {"tasks": [{"classes": [0, 1]}, {"classes": [3]}]}
    plans = [make_plan(load_study(changed((f"{EXPERIMENT}.scenario", of), ("figures", {})))) for of in (one, two)]
    assert len(set(plans[0].segments) & set(plans[1].segments)) == 4  # the first task, of 2 widths and 2 seeds
    (line,) = errors(changed((f"{EXPERIMENT}.scenario", one | {"classes": [0, 1]}), ("figures", {})))
    assert line == f"{EXPERIMENT}.scenario.tasks.1.classes: class 2 is not among scenario.classes"


def test_a_combination_that_does_not_fit_together():
    """Each value does with the first of the other axis."""
    grid = {"name": ["mlp", "cnn"], "depth": [1, 2], "width": [4]}
    (line,) = errors(changed((f"{EXPERIMENT}.grid", grid), (f"{EXPERIMENT}.model", {}), ("figures", {})))
    assert line.startswith(f"{EXPERIMENT}.grid: has a combination that is not valid: model.depth: does not belong here")


def test_names_of_experiments_hold_no_dash():
    """Else `e` with an axis `width4…` and `e-width4` would name two runs alike."""
    lines = errors(changed(("experiments", {"e-width4": TINY["experiments"]["widths"]}), ("figures", {})))
    assert lines[0].startswith("experiments.e-width4: should be a name of letters, digits and _")


def test_an_axis_that_a_figure_neither_shows_nor_fixes():
    config = changed((f"{EXPERIMENT}.grid.lr", [0.1, 0.2]), (f"{EXPERIMENT}.training.lr", ...))
    assert errors(config) == [f"{FIGURE}.where: must choose one value of lr, of which the grid has several"]
    config["figures"]["fig4"]["where"] = {"lr": "1e-1"}  # as PyYAML reads 1e-1
    load_study(config)


def test_all_mistakes_at_once():
    lines = errors(
        changed(
            ("seeds", ["a"]),
            ("datasets.glyphs.colour", 1),
            (f"{EXPERIMENT}.dataset", "nowhere"),
            (f"{EXPERIMENT}.training.lr", "fast"),
            (f"{EXPERIMENT}.grid.width", [0, "two"]),
            (f"{FIGURE}.experiment", "nothing"),
        )
    )
    assert sorted(line.split(":")[0] for line in lines) == sorted(
        [
            "seeds.0",
            "datasets.glyphs.colour",
            f"{EXPERIMENT}.dataset",
            f"{EXPERIMENT}.training.lr",
            f"{EXPERIMENT}.grid.width.0",
            f"{EXPERIMENT}.grid.width.1",
            f"{FIGURE}.experiment",
        ]
    )


@pytest.mark.parametrize(
    "raw", [{}, [], None, {"experiments": 3}, {"experiments": {"a": None}, "figures": []}, {"experiments": [1]}]
)
def test_no_shape_of_config_crashes_the_checks(raw):
    assert errors(raw)


def test_keys_given_twice_in_the_file():
    """YAML keeps the last and says nothing: an experiment would be gone."""
    text = yaml.safe_dump(TINY) + "seeds: [3]\n"
    with pytest.raises(ConfigError, match=r"study.yaml: 1 error\n  seeds: is given twice"):
        load_study(TINY, "study.yaml", [text])
    load_study(TINY, "study.yaml", [yaml.safe_dump(TINY)])
    with pytest.raises(ConfigError, match=r"  experiments.widths.model.name: is given twice"):
        load_study(TINY, "study.yaml", ["experiments: {widths: {model: {name: cnn, name: cnn}}}"])


def test_numbers_as_snakemake_hands_them_over():
    """Inside --config 'seeds=[0,3]' they are strings."""
    study = load_study(changed(("seeds", ["0", "3"]), ("figures.fig4.where", {"width": "4"})))
    assert study.seeds == [0, 3]
    assert errors(changed(("seeds", ["0.5"])))


def test_one_value_written_in_two_ways():
    config = changed((f"{EXPERIMENT}.grid.lr", [0.1, "1e-1"]), (f"{EXPERIMENT}.training.lr", ...), ("figures", {}))
    assert errors(config) == [f"{EXPERIMENT}.grid: gives the same values twice, written in two ways"]


@pytest.mark.parametrize("grid", [3, "width", [2], None])
def test_a_grid_that_is_no_mapping(grid):
    lines = errors(changed((f"{EXPERIMENT}.grid", grid), ("figures", {})))
    assert f"{EXPERIMENT}.model.width: is missing" in lines
    assert any(line.startswith(f"{EXPERIMENT}.grid: should be a mapping of keys to values") for line in lines)


def test_a_key_that_is_not_given_can_be_chosen():
    grid = {"width": [2, 4], "limit_per_class": [None, 6]}
    study = load_study(changed((f"{EXPERIMENT}.grid", grid), ("figures.fig4.where", {"limit_per_class": None})))
    assert len(make_plan(study).figures["fig4"].runs) == 4  # 2 widths × 2 seeds
    lines = errors(changed((f"{EXPERIMENT}.grid", grid), ("figures.fig4.where", {"limit_per_class": 7})))
    assert lines == [f"{FIGURE}.where.limit_per_class: 7 is not in the grid, which has [None, 6]"]


def test_numbers_as_yaml_reads_them():
    study = load_study(changed((f"{EXPERIMENT}.training.lr", "1e-3")))
    assert study.experiments["widths"].training.lr == 0.001


def test_grid_takes_every_combination():
    study = load_study(
        changed((f"{EXPERIMENT}.grid.lr", ["1e-1", 0.2]), (f"{EXPERIMENT}.training.lr", ...), ("figures", {}))
    )
    combinations = variants(study.experiments["widths"])
    assert [axes for axes, _ in combinations] == [{"width": w, "lr": lr} for w in (2, 4) for lr in (0.1, 0.2)]
    assert all(v.model.width == axes["width"] and v.training.lr == axes["lr"] for axes, v in combinations)


def test_axes_are_told_apart_by_name_alone():
    keys = [{key for form in forms for key in form.model_fields} for forms in SECTIONS.values()]
    for first, second in combinations(keys, 2):
        assert not first & second


def test_no_axis_hides_a_column_of_the_metric_tables():
    # Figures add columns of their own.
    assert not BESIDE_AXES & {*axis_names()} - {"kind"}
    assert "kind" in axis_names()


def test_the_schema_for_editors_is_current():
    assert (REPOSITORY / "config/schema.yaml").read_text() == schema_text(), "run `make schema`"


def test_the_schema_for_editors_has_the_bounds_of_every_number():
    """pydantic writes a bound as `ge`, which no editor knows, if a validator stands between it and the type."""
    assert not re.findall(r"^ *(?:- )?(?:ge|gt|le|lt):.*", schema_text(), re.M)


def test_the_description_of_all_keys_is_current():
    assert (REPOSITORY / "config/README.md").read_text() == readme_text(), "run `make schema`"


def test_every_key_is_in_the_description():
    """The example in it is valid, and no form of a section has lost a key."""
    text = (REPOSITORY / "config/README.md").read_text()
    load_study(yaml.safe_load(text.split("```yaml\n")[1].split("```")[0]))
    rows = set(re.findall(r"^\| `(\w+)` \|", text, re.M))
    definitions = yaml.safe_load(schema_text())
    for name, form in [*definitions["$defs"].items(), ("Study", definitions)]:
        keys = {key for key, field in form["properties"].items() if "const" not in field}
        assert keys <= rows, name
    assert not re.search(r"anyOf|\$ref|Annotated|None", text)


def test_every_key_is_described():
    def check(schema, path):
        for key, field in schema.get("properties", {}).items():
            described = {"description", "const", "$ref"} & field.keys()
            assert described, f"{path}.{key} has no description"
        for name, definition in schema.get("$defs", {}).items():
            check(definition, name)

    check(yaml.safe_load(schema_text()), "Study")

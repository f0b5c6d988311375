"""Every mistake in a config is named, all at once, by the path of its key."""

import math

import pytest
import yaml

from edits import EXPERIMENT, FIGURE, MIXTURE, errors
from helpers import REPOSITORY, TINY, changed
from reactivation.planning.plan import make_plan
from reactivation.study.load import ConfigError, load_study

ALL = 4 * TINY["datasets"]["glyphs"]["train_per_class"]  # training images of the tiny study
NORMALISE = "datasets.glyphs.normalise"


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
        (
            f"{EXPERIMENT}.grid.widht",
            [4],
            f"{EXPERIMENT}.grid.widht: is not a key of scenario, model, training; did you",
        ),
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
        (f"{EXPERIMENT}.checkpoints", {"every": 2}, f"{EXPERIMENT}.metrics.velocity_dt: 1 is not a multiple of"),
        (f"{EXPERIMENT}.probe", {"tasks": [3]}, f"{EXPERIMENT}.probe.tasks: there is no task 3: the scenario has 2"),
        (f"{EXPERIMENT}.probe", {"tasks": [0]}, f"{EXPERIMENT}.probe.tasks.0: Input should be greater than or equal"),
        (f"{EXPERIMENT}.probe", {"tasks": [1, 1]}, f"{EXPERIMENT}.probe.tasks: names 1 twice"),
        (f"{EXPERIMENT}.probe", {"draws": 0}, f"{EXPERIMENT}.probe.draws: Input should be greater than or equal to 1"),
        (
            f"{EXPERIMENT}.probe",
            {"draws": 2, "size": ALL},
            f"{EXPERIMENT}.probe.draws: has no other images to draw: probe.size is {ALL}, and the classes",
        ),
        (
            f"{EXPERIMENT}.probe",
            {"draws": 2, "size": ALL // 2, "tasks": [1]},
            f"{EXPERIMENT}.probe.draws: has no other images to draw: probe.size is {ALL // 2}",
        ),
        (
            NORMALISE,
            {"mean": 127.5, "std": 0.5},
            f"{NORMALISE}.mean: should be from 0 to 1, as the valu",
        ),
        (
            NORMALISE,
            {"mean": 0.5, "std": 127.5},
            f"{NORMALISE}.std: should be from 0.001 to 1: images h",
        ),
        (f"{FIGURE}.where", {"draw": 1}, f"{FIGURE}.where.draw: is not an axis of widths, which has width"),
        (f"{FIGURE}.color", "draw", f"{FIGURE}.color: draw is not an axis of widths, which has width"),
        (f"{FIGURE}.panels", [{"metric": "trace"}], f"{FIGURE}.panels.0.kernel: the experiment computes trace only"),
        (
            f"{FIGURE}.experiment",
            "width",
            f"{FIGURE}.experiment: there is no experiment 'width'; this config has widths",
        ),
        (NORMALISE, {"mean": 0.5}, f"{NORMALISE}.std: is missing"),
        (NORMALISE, {"mean": 0, "std": [1, 0, 1]}, f"{NORMALISE}.std: should be greater than 0, since images are divi"),
        (NORMALISE, {"mean": 0, "std": -0.5}, f"{NORMALISE}.std: should be greater than 0, since images are divided b"),
        (NORMALISE, {"mean": [0, 1], "std": 1}, f"{NORMALISE}.mean: should be a number, or one for each of the three"),
        (NORMALISE, {"mean": math.inf, "std": 1}, f"{NORMALISE}.mean: should be a finite number, or one for each of"),
        (NORMALISE, {"mean": 0, "std": [1, math.nan, 1]}, f"{NORMALISE}.std: should be a finite number, or one for e"),
        (
            NORMALISE,
            {"mean": "grey", "std": 1},
            f"{NORMALISE}.mean: should be a finite number, or one for each of the th",
        ),
        (NORMALISE, {"mean": 0, "std": True}, f"{NORMALISE}.std: should be a finite number, or one for each of the th"),
        (NORMALISE, 0.5, f"{NORMALISE}: should be a mapping of keys to values (it is 0.5)"),
        (f"{FIGURE}.color", "lr", f"{FIGURE}.color: lr is not an axis of widths, which has width"),
        (f"{FIGURE}.where", {"lr": 3}, f"{FIGURE}.where.lr: is not an axis of widths, which has width"),
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
        (WINDOW | {"held_out": 1}, ".held_out", "Input should be less than 1 (it is 1)"),
        (WINDOW | {"replay_drawn": "each"}, ".replay_drawn", "Input should be 'once' or 'each_epoch' (it is 'each')"),
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
            "model.name: should be one of 'cnn', 'cnn_bn', 'mlp', 'rnn', 'resnet18'",
        ),
        ("model", {"name": "cnn_bn"}, "model.name: cnn_bn needs images of 16 pixels a side or more; glyphs has 8"),
        ("model", {"name": "cnn", "depth": 2}, "model.depth: does not belong here; it is a key of another kind"),
        ("model", {"name": "mlp", "activation": "sine"}, "model.activation: Input should be 'relu', 'tanh' or 'gelu'"),
        ("training", {"momentum": 1}, "training.momentum: Input should be less than 1 (it is 1)"),
        ("training", {"optimizer": "adam", "momentum": 0.9}, "training.momentum: belongs to sgd; adam has its own"),
        ("training", {"lr": "0.1*(3-width)"}, "training.lr: 0.1*(3-width) is not a number greater than 0 at width 4"),
        ("training", {"lr": "sqrt(3-width)"}, "training.lr: sqrt(3-width) is not a number greater than 0 at width 4"),
        ("training", {"lr": "0.1/(4-width)"}, "training.lr: 0.1/(4-width) is not a number greater than 0 at width 4"),
        ("training", {"lr": "0.1/depth"}, "training.lr: Input should be a number, or arithmetic with numbers, width"),
    ],
)
def test_mistakes_in_models_and_training(section, value, message):
    if section == "training":
        value = {"lr": 0.1, "epochs": 2} | value
    lines = errors(changed((f"{EXPERIMENT}.{section}", value), ("figures", {})))
    assert [line for line in lines if line.startswith(f"{EXPERIMENT}.{message}")] == lines


def test_hints_are_keys_of_the_same_place():
    lines = errors(
        changed(("seed", 1), (f"{EXPERIMENT}.training.learning_rte", 1), (f"{EXPERIMENT}.training.epoch", 1))
    )
    assert "seed: unknown key; did you mean seeds?" in lines
    assert f"{EXPERIMENT}.training.learning_rte: unknown key" in lines
    assert f"{EXPERIMENT}.training.epoch: unknown key; did you mean epochs?" in lines


def test_sequences_may_cover_more_than_their_own_classes():
    one = {"kind": "sequence", "tasks": [{"classes": [0, 1]}, {"classes": [2]}], "classes": [0, 1, 2, 3]}
    two = one | {"tasks": [{"classes": [0, 1]}, {"classes": [3]}]}
    plans = [make_plan(load_study(changed((f"{EXPERIMENT}.scenario", of), ("figures", {})))) for of in (one, two)]
    assert len(set(plans[0].segments) & set(plans[1].segments)) == 4  # the first task, of 2 widths and 2 seeds
    (line,) = errors(changed((f"{EXPERIMENT}.scenario", one | {"classes": [0, 1]}), ("figures", {})))
    assert line == f"{EXPERIMENT}.scenario.tasks.1.classes: class 2 is not among scenario.classes"


def test_names_of_experiments_hold_no_dash():
    """Otherwise `e` with an axis `width4…` and `e-width4` would name two runs alike."""
    lines = errors(changed(("experiments", {"e-width4": TINY["experiments"]["widths"]}), ("figures", {})))
    assert lines[0].startswith("experiments.e-width4: should be a name of letters, digits and _")


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


def test_numbers_as_yaml_reads_them():
    study = load_study(changed((f"{EXPERIMENT}.training.lr", "1e-3")))
    assert study.experiments["widths"].training.lr == 0.001


def test_an_experiment_that_trains_needs_its_data_set():
    (line,) = errors(changed(("datasets", ...)))
    assert line == "experiments.widths.dataset: there is no data set 'glyphs'; this config has none"

"""A study with every scenario, network, parametrization and kind of figure."""

from typing import Any

from helpers import TINY, changed

TASKS = [{"classes": [0, 1]}, {"classes": [2, 3], "weights": [1, 0.5], "epochs": 2}, {"classes": [0, 1]}]
ADAM = {"optimizer": "adam", "lr": "0.02/width", "epochs": 1, "batch_size": 8, "weight_decay": 0.01}
SGD = {"lr": 0.02, "epochs": 2, "batch_size": 8, "momentum": 0.9}


def experiment(scenario, model, training, **more):
    return {
        "dataset": "glyphs",
        "probe": {"size": 8},
        "scenario": scenario,
        "model": model,
        "training": training,
    } | more


EXPERIMENTS = {
    "back": experiment(
        {"kind": "sequence", "tasks": TASKS, "replay": 4, "replay_drawn": "each_epoch", "held_out": 0.25},
        {"name": "mlp", "width": 8, "depth": 1, "activation": "gelu", "parametrization": "ntk"},
        ADAM | {"optimizer_state": "keep"},
        probe={"size": 8, "held_out": 8},
    ),
    "mixture": experiment(
        {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.25},
        {"name": "rnn", "width": 8, "parametrization": "mup", "base_width": 4},
        SGD,
        grid={"alpha": [0.25, 0.75]},
    ),
    "window": experiment(
        {"kind": "sliding_window", "classes": 4, "window": 2},
        {"name": "resnet18", "width": 4, "norm": "group", "parametrization": "standard"},
        SGD,
        grid={"shift": [0, 1, 2]},
    ),
}
FIGURES: dict[str, Any] = {
    "back": {"experiment": "back", "panels": [{"metric": "trace", "block": ["task1_train", "task2_held_out"]}]},
    "window": {
        "experiment": "window",
        "color": "shift",
        "panels": [
            {"metric": "spectral_norm"},
            {"kind": "summary", "metric": "spectral_norm", "statistic": "drop"},
            {"kind": "spectrum", "where": {"shift": 1}, "leading": 3},
        ],
    },
    "mixture": {
        "experiment": "mixture",
        "color": "alpha",
        "beside": "window",
        "panels": [{"kind": "summary", "metric": "spectral_norm", "statistic": "drop"}, {"metric": "spectral_norm"}],
    },
}
DATASETS = changed(("datasets.glyphs.normalise", {"mean": 0.5, "std": 0.25}))["datasets"]
ZOO = TINY | {"study": "zoo", "seeds": [0], "datasets": DATASETS} | {"experiments": EXPERIMENTS} | {"figures": FIGURES}

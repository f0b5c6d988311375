"""Names: how they write values, and what tells two apart."""

import hashlib

import pytest
import yaml

from helpers import REPOSITORY, changed
from reactivation.planning import paths
from reactivation.planning.names import run_name, segment_name, short
from reactivation.planning.plan import make_plan
from reactivation.storage.files import json_digest
from reactivation.study.load import load_study


@pytest.mark.parametrize(
    "value, text",
    [
        (64, "64"),
        (0.05, "0.05"),
        (1e-4, "1e-4"),
        (2.5e-4, "2.5e-4"),
        (1.0, "1"),
        (1e20, "1e20"),
        (None, "default"),
        ([1, 2], "1.2"),
    ],
)
def test_values_in_names(value, text):
    assert short(value) == text


def test_long_values_are_shortened_and_told_apart():
    orders = list(range(100)), list(range(99, -1, -1))
    assert len({short(order) for order in orders}) == 2
    assert all(len(short(order)) <= 24 for order in orders)


def test_digests_do_not_depend_on_the_order_of_keys():
    assert json_digest({"a": 1, "b": [1.0, 2]}) == json_digest({"b": [1.0, 2], "a": 1})
    assert json_digest({"a": 1}) != json_digest({"a": 1.5})


@pytest.mark.parametrize("value, text", [("0.1/width", "0.1_width_"), ("0.1*width", "0.1_width_")])
def test_expressions_make_file_names(value, text):
    assert short(value).startswith(text) and "/" not in short(value)
    assert short("0.1/width") != short("0.1*width")


# ------------------------------------------------------------------------------------------- names do not change
# For each study: how many names it has, and the beginning of the SHA-256 of their list.
NAMES = {
    "cifar-small.yaml": (152, "ca8a608ad435abf0"),
    "cifar10-small.yaml": (124, "a18066adddaca7fa"),
    "config.yaml": (341, "9c8b7b667fd94c79"),
    "course-project.yaml": (378, "9b2687604063c3bb"),
    "paper.yaml": (1556, "61a0c763a265cb33"),
    "precision.yaml": (69, "5acf979132cd4a5c"),
    "probe-size.yaml": (210, "0c598aa8fdc36ac8"),
    "published.yaml": (74, "54e43075156f869a"),
}
KINDS = ("datasets", "splits", "probes", "segments", "kernels", "functions", "runs", "convergences", "figures")


@pytest.mark.parametrize("config, wanted", NAMES.items(), ids=NAMES)
def test_the_names_of_each_study_are_what_they_were(config, wanted):
    """Another name would be another result: all that there is would be made again."""
    plan = make_plan(load_study(yaml.safe_load((REPOSITORY / "config" / config).read_text())))
    names = [name for kind in KINDS for name in sorted(getattr(plan, kind))]
    assert (len(names), hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]) == wanted


WORD = "abcdefghijklmnopqrstuvwx"  # as long as a value may be in a name
AXES = {f"axis{i}": WORD for i in range(1, 8)}


@pytest.mark.parametrize(
    "axes, seed, name",
    [
        ({"width": 2, "lr": 1e-4}, 0, "mine-width2-lr1e-4-s0"),
        (AXES, 12, f"mine-{'-'.join(f'axis{i}{WORD}' for i in range(1, 8))}-s12"),  # 218 bytes
        (AXES | {"b": "c" * 15}, 7, f"mine-{'-'.join(f'axis{i}{WORD}' for i in range(1, 8))}-b{'c' * 15}-s7"),
        (AXES | {"b": "c" * 20}, 12, f"mine-{'-'.join(f'axis{i}{WORD}' for i in range(1, 8))}-b{'c' * 20}-s12"),
    ],
)
def test_names_of_runs_that_fit_are_not_cut(axes, seed, name):
    assert run_name("mine", axes, seed) == name and len(name) <= 240


def test_longer_names_of_runs_are_cut_and_told_apart():
    long = AXES | {"last": WORD}
    name = run_name("mine", long, 0)
    whole = "-".join(f"axis{i}{WORD}" for i in range(1, 8))
    assert name == f"mine-{whole}-lastabcdefg-{digest_of(long)}-s0" and len(name) == 240
    others = [
        run_name("mine", long | {"last": WORD[::-1]}, 0),
        run_name("mine", long, 1),
        run_name("mine", long, 10**90),
    ]
    assert len({name, *others}) == 4 and all(len(other) <= 240 for other in others)
    assert name == run_name("mine", long, 0)


LONG = {
    "model.name": "mlp",
    "model.depth": [1],
    "model.activation": ["relu"],
    "model.parametrization": ["pytorch"],
    "model.base_width": [64],
    "training.lr": ["0.123456789*width**0.5"],
    "training.epochs": [2],
    "training.batch_size": [8],
    "training.precision": ["float32"],
    "training.dynamics": ["network", "linearized"],
    "training.optimizer": ["sgd"],
    "training.momentum": [0.123456789012],
    "training.weight_decay": [0.000123456789012, 0.000123456789013],
    "scenario.data_seed": [0],
    "scenario.replay": [0],
    "scenario.limit_per_class": [None],
    "scenario.class_order": [[0, 1, 2, 3]],
}


def long_study():
    """A study whose names are as long as they can be: long words, a grid of many axes, a seed of many digits."""
    words = [f"{kind}{'x' * (40 - len(kind))}" for kind in ("study", "dataset", "experiment", "figure")]
    config = changed(("figures", {}))
    grid = {key.split(".")[1]: values for key, values in LONG.items() if isinstance(values, list)}
    experiment = config["experiments"]["widths"] | {
        "dataset": words[1],
        "model": {"name": "mlp"},
        "training": {},
        "grid": {"width": [2]} | grid,
    }
    return {
        "study": words[0],
        "seeds": [0, 1, 10**200],
        "datasets": {words[1]: config["datasets"]["glyphs"]},
        "experiments": {words[2]: experiment},
        "figures": {words[3]: {"experiment": words[2], "where": {"weight_decay": 0.000123456789012}, "panels": [
            {"metric": "test_accuracy", "color": "dynamics"}
        ]}},
    }  # fmt: skip


def test_every_file_of_a_study_with_long_names_can_be_made(tmp_path):
    """With what is put around them: suffixes, logs. Temporary names are cut as well (test_files.py)."""
    config = long_study()
    study, plan = config["study"], make_plan(load_study(config))
    assert len(plan.runs) == 3 * 2 * 2
    made = [paths.RUN.format(study=study, run=name) for name in plan.runs]
    made += [f"results/logs/metrics/{study}/{name}.log" for name in plan.runs]
    made += [paths.FIGURE_TABLE.format(study=study, figure=name) for name in plan.figures]
    made += [paths.RECORD.format(segment=name) for name in plan.segments]
    made += [f"results/logs/train/{name}.log" for name in plan.segments]
    made += [
        path(name) for path, of in ((paths.kernels, plan.kernels), (paths.function, plan.functions)) for name in of
    ]
    made += [f"results/logs/ntk/{name.replace('/', '-')}.log" for name in plan.kernels]
    made += [f"results/logs/function/{name.replace('/', '-')}.log" for name in plan.functions]
    made += [paths.WITHIN.format(segment=name) for name in plan.within]
    made += [f"results/logs/within/{name}.log" for name in plan.within]
    made += [paths.SPLIT.format(split=name) for name in plan.splits]
    made += [paths.PROBE.format(probe=name) for name in plan.probes]
    made += [paths.DATASET.format(dataset=name) for name in plan.datasets]
    for name in made:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert max(len(part) for name in made for part in name.split("/")) > 240


def digest_of(axes):
    whole = "-".join(["mine", *(f"{key}{value}" for key, value in axes.items()), "s0"])
    return hashlib.sha256(whole.encode()).hexdigest()[:10]


def test_names_of_segments_that_fit_are_not_cut():
    spec = {"model": {"name": "cnn", "width": 64}, "training": {"lr": 0.05}, "seed": 10**150, "tasks": [{}]}
    whole = f"glyphs-cnn-w64-lr0.05-s1{'0' * 150}-task1-{json_digest(spec)}"
    assert segment_name("glyphs", spec) == whole
    longer = segment_name("glyphs", spec | {"seed": 10**250})
    assert len(longer) == 236 and longer.startswith("glyphs-cnn-w64-lr0.05-s1000")
    assert longer != segment_name("glyphs", spec | {"seed": 10**251})

"""Plans: what is shared, what is told apart, what a name says."""

import itertools

import pytest
from helpers import changed, own_process
from reactivation.config import load_study
from reactivation.plan import digest, make_plan, short, sources

EXPERIMENT = "experiments.widths"


def plan(*edits):
    return make_plan(load_study(changed(*edits)))


def test_a_run_is_a_chain_of_segments():
    tiny = plan()
    assert len(tiny.runs) == 4  # 2 widths × 2 seeds
    assert len(tiny.segments) == len(tiny.kernels) == 8
    assert next(iter(tiny.runs)) == "widths-width2-s0"
    first, second = tiny.runs["widths-width2-s0"].segments
    assert tiny.segments[first].parent is None
    assert tiny.segments[second].parent == first
    assert [task["classes"] for task in tiny.segments[first].spec["tasks"]] == [[0, 1]]
    assert [task["classes"] for task in tiny.segments[second].spec["tasks"]] == [[0, 1], [2, 3]]
    assert first.startswith("glyphs-cnn-w2-lr0.05-s0-task1-")
    assert tiny.figures["fig4"].runs == tuple(tiny.runs)
    assert len(tiny.splits) == 2
    assert len(tiny.datasets) == len(tiny.probes) == 1


def test_the_same_config_is_the_same_plan():
    assert plan() == plan()


@pytest.mark.parametrize(
    "path, value",
    [
        ("datasets.glyphs.seed", 1),
        (f"{EXPERIMENT}.training.lr", 0.06),
        (f"{EXPERIMENT}.training.epochs", 3),
        (f"{EXPERIMENT}.training.batch_size", 4),
        (f"{EXPERIMENT}.scenario.data_seed", 1),
        (f"{EXPERIMENT}.scenario.limit_per_class", 5),
        (f"{EXPERIMENT}.scenario.class_order", [1, 0, 2, 3]),
        (f"{EXPERIMENT}.checkpoints", {"log_spaced": False}),
        ("seeds", [2, 3]),
    ],
)
def test_what_determines_weights_is_part_of_a_segments_identity(path, value):
    assert not set(plan().segments) & set(plan((path, value)).segments)


@pytest.mark.parametrize(
    "path, value",
    [
        ("study", "other"),
        ("device", "auto"),
        ("data_root", "/elsewhere"),
        (f"{EXPERIMENT}.probe.size", 4),
        (f"{EXPERIMENT}.probe.seed", 1),
        (f"{EXPERIMENT}.kernels", ["sum"]),
        (f"{EXPERIMENT}.metrics", {"velocity_dt": [1, 2]}),
        ("figures", {}),
    ],
)
def test_what_does_not_determine_weights_is_not(path, value):
    assert set(plan().segments) == set(plan((path, value)).segments)


def test_another_probe_or_kernel_is_another_file_of_kernels():
    for path, value in ((f"{EXPERIMENT}.probe.size", 4), (f"{EXPERIMENT}.kernels", ["sum"])):
        assert not set(plan().kernels) & set(plan((path, value)).kernels)


def test_a_shorter_scenario_shares_no_segment():
    """Its first task is the same, but not the classes that are tested on while it is trained."""
    shorter = plan((f"{EXPERIMENT}.scenario.tasks", 1), ("figures", {}))
    assert not set(plan().segments) & set(shorter.segments)


def test_runs_that_share_a_beginning_share_its_segments():
    """The order of classes within the whole matters to no task that has its own classes already."""
    other = plan((f"{EXPERIMENT}.scenario.class_order", [0, 1, 3, 2]))
    first = lambda p: {name for name, s in p.segments.items() if s.parent is None}  # noqa: E731
    second = lambda p: {name for name, s in p.segments.items() if s.parent is not None}  # noqa: E731
    assert first(plan()) == first(other)
    assert not second(plan()) & second(other)


def test_adding_a_width_or_a_seed_only_adds():
    wider, more = plan((f"{EXPERIMENT}.grid.width", [2, 4, 8])), plan(("seeds", [0, 1, 2]))
    for larger in (wider, more):
        for kind in ("datasets", "splits", "probes", "segments", "kernels", "runs"):
            before, after = getattr(plan(), kind), getattr(larger, kind)
            assert {name: after[name] for name in before} == before
    assert len(wider.segments) == len(more.segments) == 12


def test_figures_take_the_runs_that_they_show():
    two = plan(
        (f"{EXPERIMENT}.grid.lr", [0.1, 0.2]),
        (f"{EXPERIMENT}.training.lr", ...),
        ("figures.fig4.where", {"lr": 0.2}),
    )
    assert set(two.figures["fig4"].runs) == {
        f"widths-width{w}-lr0.2-s{s}" for w, s in itertools.product((2, 4), (0, 1))
    }


def test_figures_leave_drawing_nothing_to_guess():
    panels = [{"metric": "kernel_velocity"}, {"metric": "cross_task_overlap"}, {"metric": "trace", "scale": "log"}]
    spec = (
        plan(("figures.fig4.panels", panels), (f"{EXPERIMENT}.metrics", {"velocity_dt": [2, 1]})).figures["fig4"].spec
    )
    chosen = [(panel["dt"], panel["block"], panel["scale"]) for panel in spec["panels"]]
    assert chosen == [(2, ["all"], "log"), (None, ["task1-task2"], "linear"), (None, ["all"], "log")]


def test_where_a_data_set_lies_is_known_apart_from_what_it_is():
    entry = {"source": "torchvision", "name": "CIFAR10", "root": "cifar", "download": True}
    study = load_study(changed(("datasets.c", entry), ("data_root", "/data")))
    assert {"root": "/data/cifar", "download": True} in sources(study).values()
    assert {"root": None, "download": False} in sources(study).values()
    moved = load_study(changed(("datasets.c", entry | {"root": "/x", "download": False})))
    assert set(sources(study)) == set(sources(moved))


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
    assert digest({"a": 1, "b": [1.0, 2]}) == digest({"b": [1.0, 2], "a": 1})
    assert digest({"a": 1}) != digest({"a": 1.5})


@pytest.mark.parametrize("module", ["plan", "metrics", "tables", "plots", "storage", "fingerprint"])
def test_light_modules_do_not_import_torch(module):
    """Importing torch costs seconds, in each of hundreds of jobs."""
    code = f"import sys, reactivation.{module}; sys.exit('torch' in sys.modules)"
    own_process(code)

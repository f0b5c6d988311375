"""Plans: what is shared, what is told apart, what a name says."""

import itertools

import numpy as np
import pytest
import yaml

from convergence import PANEL, study
from edits import BOTH, EXPERIMENT, GRID
from elsewhere import mine, write
from helpers import REPOSITORY, changed
from plans import plan
from reactivation.planning.inputs import run_inputs, switch_runs
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import load_study


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
        (f"{EXPERIMENT}.layers", True),
        (f"{EXPERIMENT}.metrics", {"velocity_dt": [1, 2]}),
        ("figures", {}),
    ],
)
def test_what_does_not_determine_weights_is_not(path, value):
    assert set(plan().segments) == set(plan((path, value)).segments)


def test_another_probe_or_kernel_is_another_file_of_kernels():
    for path, value in (("probe.size", 4), ("kernels", ["sum"]), ("layers", True)):
        path = f"{EXPERIMENT}.{path}"
        assert not set(plan().kernels) & set(plan((path, value)).kernels)


def test_a_shorter_scenario_shares_no_segment():
    """Its first task is the same, but other classes are tested while it trains."""
    shorter = plan((f"{EXPERIMENT}.scenario.tasks", 1), ("figures", {}))
    assert not set(plan().segments) & set(shorter.segments)


def test_runs_that_share_a_beginning_share_its_segments():
    """A first task does not depend on the order of the classes that come later."""
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


# -------------------------------------------------------------------------------------------- the paper's sharing
def config(name):
    return make_plan(load_study(yaml.safe_load((REPOSITORY / "config" / name).read_text())))


@pytest.fixture(scope="module")
def paper():
    return config("paper.yaml")


def segments(plan, *experiments):
    return {segment for run in plan.runs.values() if run.spec["experiment"] in experiments for segment in run.segments}


def test_the_papers_runs_share_their_beginnings(paper):
    """Per seed, E_0 … E_10 share task 1 and have eleven second tasks; the Ẽ_α share theirs and have nine."""
    assert len(segments(paper, "new_classes")) == 3 * 12
    assert len(segments(paper, "class_frequency")) == 3 * 10
    assert len(segments(paper, "width_lr")) == 3 * 6 * 3 * 2
    # The longest runs of S1 are runs of width_lr.
    assert len(segments(paper, "width_lr", "epochs")) == 3 * (6 * 3 + 4) * 2


def test_figures_1_4_5_6_show_the_same_runs(paper):
    of = {name: set(paper.figures[name].runs) for name in ("fig1", "fig4", "fig5", "fig6")}
    width_lr = {name for name, run in paper.runs.items() if run.spec["experiment"] == "width_lr"}
    assert of["fig4"] | of["fig5"] | of["fig6"] == width_lr and of["fig1"] <= width_lr
    assert all(len(of[name]) == 6 * 3 for name in ("fig4", "fig5", "fig6"))
    assert len(of["fig1"]) == (6 + 2) * 3


@pytest.mark.parametrize("name", ["paper.yaml", "config.yaml"])
def test_every_figure_of_the_paper_is_planned(name):
    plan = config(name)
    assert set(plan.figures) == {*(f"fig{i}" for i in range(1, 10)), *(f"figS{i}" for i in range(1, 7))}
    assert all(figure.runs or figure.convergences for figure in plan.figures.values())


def test_no_run_of_the_quickstart_is_drawn_nowhere():
    plan = config("config.yaml")
    assert {run for figure in plan.figures.values() for run in figure.runs} == set(plan.runs)
    assert segments(plan, "new_classes") & segments(plan, "larger_tasks_width")  # E_10 is two tasks of ten


def test_ten_experiments_of_the_course_project():
    plan = config("course-project.yaml")
    assert len({run.spec["experiment"] for run in plan.runs.values()}) == len(plan.figures) == 10


def test_learning_rates_follow_the_width(paper):
    rates = {
        paper.segments[segment].spec["model"]["width"]: paper.segments[segment].spec["training"]["lr"]
        for segment in segments(paper, "standard_parametrization")
    }
    assert rates == {width: 0.1 / width for width in (64, 128, 256, 512, 1024, 2048)}


# ------------------------------------------------------------------------------------------ identities of segments
def test_a_rate_is_the_same_however_it_is_written():
    expression = plan((f"{EXPERIMENT}.grid.width", [2]), (f"{EXPERIMENT}.training.lr", "0.1/width"))
    number = plan((f"{EXPERIMENT}.grid.width", [2]), (f"{EXPERIMENT}.training.lr", 0.05))
    assert set(expression.segments) == set(number.segments)


def test_only_mup_knows_a_base_width():
    base = (f"{EXPERIMENT}.model.base_width", 32)
    mup = (f"{EXPERIMENT}.model.parametrization", "mup")
    assert set(plan().segments) == set(plan(base).segments)
    assert not set(plan(mup).segments) & set(plan(mup, base).segments)
    assert not set(plan().segments) & set(plan(mup).segments)


def test_replay_changes_all_but_the_first_task():
    replay = plan((f"{EXPERIMENT}.scenario.replay", 3))
    same = set(plan().segments) & set(replay.segments)
    assert same == {name for name, segment in plan().segments.items() if segment.parent is None}


def test_splits_are_drawn_once_per_seed_only_where_something_is_drawn():
    mixture = {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.5, "alpha": 1.0}
    assert len(plan().splits) == 2
    assert len(plan((f"{EXPERIMENT}.scenario.replay", 3)).splits) == 1 + 2
    assert len(plan((f"{EXPERIMENT}.scenario", mixture)).splits) == 2 + 2


def test_a_runs_table_knows_the_similarity_of_its_tasks():
    window = {"kind": "sliding_window", "classes": 4, "window": 2, "shift": 1, "tasks": 3}
    run = next(iter(plan((f"{EXPERIMENT}.scenario", window)).runs.values()))
    assert run.spec["similarity"] == [None, pytest.approx(1 / 3), pytest.approx(1 / 3)]


def test_tasks_of_a_sequence_have_their_own_epochs():
    tasks = [{"classes": [0, 1]}, {"classes": [2, 3], "epochs": 5}, {"classes": [0, 1]}]
    made = plan((f"{EXPERIMENT}.scenario", {"kind": "sequence", "tasks": tasks}))
    last = made.segments[next(iter(made.runs.values())).segments[-1]]
    assert last.spec["epochs"] == [2, 5, 2] and len(made.segments) == 3 * 4


def test_lists_are_told_apart_in_tables():
    """They are text that pandas does not read as a number: 0.1 and 0.10 would become one."""
    grid = {"width": [2], "class_order": [[0, 1, 2, 3], [3, 2, 1, 0]]}
    cells = {
        run.spec["axes"]["class_order"] for run in plan((f"{EXPERIMENT}.grid", grid), ("figures", {})).runs.values()
    }
    assert cells == {"[0, 1, 2, 3]", "[3, 2, 1, 0]"}


# -------------------------------------------------------------------------------------------------------------- claims
def test_defaults_written_out_are_the_same_claims():
    claims = {"velocity_spikes": {"experiment": "widths"}}
    written = {"velocity_spikes": {"experiment": "widths", "ratio": 2, "where": {}}}
    plans = [make_plan(load_study(changed(("claims", of)))).claims for of in (claims, written)]
    assert repr(plans[0]) == repr(plans[1])


def test_a_claim_is_tested_on_the_runs_that_it_names():
    edits = [("experiments.widths.grid", GRID), ("experiments.widths.training", {"epochs": 2, "batch_size": 8})]
    edits.append(("figures.fig4.where", {"lr": 0.1}))
    claims = {"velocity_spikes": {"experiment": "widths", "where": {"lr": "1e-2"}, "ratio": 3}}
    plan = make_plan(load_study(changed(*edits, ("claims", claims))))
    assert plan.claims["min_seeds"] == 3 and plan.claims["kernel"] == "sum"
    spec = plan.claims["tested"]["velocity_spikes"]
    assert spec["ratio"] == 3
    runs = {f"widths-width{width}-lr0.01-s{seed}": {"seed": seed, "tasks": 2} for width in (2, 4) for seed in (0, 1)}
    assert spec["runs"] == runs


# --------------------------------------------------------------------------------------------------------------- twins
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
    """A study can thus have twins with one line."""
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


# -------------------------------------------------------------------------------------------------- untrained networks
def test_it_needs_no_run_and_does_not_depend_on_the_training():
    plan = make_plan(load_study(study(PANEL)))
    (name,) = plan.convergences
    assert plan.figures["wide"].runs == () and plan.figures["wide"].convergences == (name,)
    assert plan.convergences[name].spec["model"] == {"name": "cnn", "parametrization": "ntk"}
    for edit in (("training.lr", 0.5), ("training.epochs", 3), ("model.parametrization", "mup")):
        edited = study(PANEL)
        section, key = edit[0].split(".")
        edited["experiments"]["widths"][section][key] = edit[1]
        assert list(make_plan(load_study(edited)).convergences) == [name], edit
    edited["experiments"]["widths"]["probe"]["size"] = 4
    assert list(make_plan(load_study(edited)).convergences) != [name]


def test_panels_share_what_is_the_same():
    figures = {"a": {"panels": [PANEL, PANEL | {"kernel": "trace"}]}, "b": {"panels": [PANEL | {"title": "again"}]}}
    figures = {name: {"experiment": "widths"} | figure for name, figure in figures.items()}
    plan = make_plan(load_study(changed(("figures", figures))))
    assert len(plan.convergences) == 2 and set(plan.figures["b"].convergences) < set(plan.figures["a"].convergences)


# ---------------------------------------------------------------------------------------------- kernels from elsewhere
def test_a_path_without_seed_is_one_run(tmp_path):
    write(tmp_path / "mine.h5", epoch=np.arange(5))
    plan = make_plan(load_study(mine(tmp_path, claims={"velocity_spikes": {"experiment": "mine"}})))
    assert list(plan.runs) == ["mine-s0"] and plan.runs["mine-s0"].spec["epochs"] == [2, 2]
    assert plan.claims["tested"]["velocity_spikes"]["runs"] == {"mine-s0": {"seed": 0, "tasks": 2}}


@pytest.mark.parametrize(
    "root, path, listed",
    [
        ("{folder}", "mine.h5", "mine.h5"),
        ("{folder}", "{folder}/mine.h5", "mine.h5"),
        ("relative", "mine.h5", "relative/mine.h5"),
        ("relative", "../relative/mine.h5", "relative/../relative/mine.h5"),
    ],
)
def test_tables_of_files_name_no_folder_of_a_user(tmp_path, monkeypatch, root, path, listed):
    folder = tmp_path / "secretuser"
    for place in (folder, folder / "relative"):
        place.mkdir()
        write(place / "mine.h5")
    monkeypatch.chdir(folder)
    kernels = {"path": path.format(folder=folder)}
    plan = make_plan(load_study(mine(root.format(folder=folder), kernels=kernels)))
    ((files,),) = [of["files"][:1] for of in switch_runs(plan).values()]
    assert files == {"kernels": listed}
    assert run_inputs(plan, "mine-s0")["given"] == plan.runs["mine-s0"].given


def test_rates_and_words_tell_files_apart(tmp_path):
    for lr in ("0.001", "0.1"):
        for rule in ("sgd", "adam"):
            write(tmp_path / f"{rule}-{lr}-1.h5")
    kernels = {"path": "{rule}-{lr}-{seed}.h5"}
    config = mine(tmp_path, kernels=kernels, grid={"rule": ["sgd", "adam"], "lr": ["1e-3", 0.1]}, seeds=[1])
    names = [f"mine-rule{rule}-lr{lr}-s1" for rule in ("sgd", "adam") for lr in ("1e-3", "0.1")]
    assert list(make_plan(load_study(config)).runs) == names

"""Plans: what is shared, what is told apart, what a name says."""

import itertools

import numpy as np
import pytest
import yaml

from convergence import PANEL, study
from edits import BOTH, EXPERIMENT, FIGURE, GRID
from elsewhere import mine, write
from helpers import REPOSITORY, TINY, changed
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


def test_several_probes_share_trainings_and_the_first_is_the_one_there_was():
    one, three = plan(), plan((f"{EXPERIMENT}.probe", {"size": 6, "draws": 3}))
    assert set(three.segments) == set(one.segments) and set(three.kernels) > set(one.kernels)
    assert len(three.probes) == 3 and len(three.runs) == 3 * len(one.runs)
    assert set(one.probes) == {name for name, probe in three.probes.items() if "draw" not in probe.spec}
    run = three.runs["widths-width2-draw2-s0"]
    assert run.spec["axes"] == {"width": 2, "draw": 2} and run.segments == one.runs["widths-width2-s0"].segments
    assert three.probes[three.kernels[run.kernels[0]].probe].spec["draw"] == 2
    panels = three.figures["fig4"].spec["panels"]
    assert {panel["draws"] for panel in panels} == {3} and len(panels[0]["runs"]) == len(three.runs)
    assert not any("draws" in panel for panel in one.figures["fig4"].spec["panels"])
    fixed = (
        plan((f"{EXPERIMENT}.probe", {"size": 6, "draws": 3}), (f"{FIGURE}.where", {"draw": 1}))
        .figures["fig4"]
        .spec["panels"]
    )
    assert not any("draws" in panel for panel in fixed) and len(fixed[0]["runs"]) == 4


def test_each_probe_of_a_network_has_the_twin_with_the_same_probe():
    twins = plan(
        (f"{EXPERIMENT}.grid.dynamics", ["network", "linearized"]),
        (f"{EXPERIMENT}.probe", {"size": 6, "draws": 2}),
        ("figures", {}),
    )
    pairs = {name: spec["twin"] for name, spec in switch_runs(twins).items() if spec["twin"]}
    assert len(pairs) == 8 and all(twin == name.replace("network", "linearized") for name, twin in pairs.items())


def test_a_probe_can_be_of_some_tasks_or_spread_over_tasks():
    spec = next(iter(plan((f"{EXPERIMENT}.probe", {"size": 6, "tasks": [2]})).probes.values())).spec
    assert spec["images"]["classes"] == [2, 3] and "groups" not in spec
    spread = next(iter(plan((f"{EXPERIMENT}.probe", {"size": 6, "balance": "tasks"})).probes.values())).spec
    assert spread["groups"] == [[0, 1], [2, 3]] and spread["images"]["classes"] == [0, 1, 2, 3]
    whole = plan((f"{EXPERIMENT}.probe", {"size": 6, "tasks": [1, 2]}))
    assert set(whole.probes) == set(plan().probes)  # all classes: the probe that there was


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


def test_labels_as_numbers_are_said_to_runs_and_figures():
    numbers = plan((f"{EXPERIMENT}.metrics", {"alignment_labels": "integer"}))
    assert {run.spec["alignment_labels"] for run in numbers.runs.values()} == {"integer"}
    same = plan((f"{EXPERIMENT}.metrics", {"alignment_labels": "one_hot"}))
    assert same.runs == plan().runs and same.figures == plan().figures
    for which, detail in ((numbers, "labels as numbers"), (same, "")):
        panels = [panel for figure in which.figures.values() for panel in figure.spec["panels"]]
        assert {panel["detail"] for panel in panels if panel["metric"] == "alignment"} == {detail}
        assert {panel["detail"] for panel in panels if panel["metric"] == "kernel_distance"} == {""}
        assert all(("chance" in panel) == (panel["metric"] == "alignment") for panel in panels)


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
    assert set(plan.figures) == {*(f"fig{i}" for i in range(1, 10)), *(f"figS{i}" for i in range(1, 9)), "figA1"}
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
    (spec,) = plan.claims["tested"]
    assert spec["name"] == "velocity_spikes" and spec["ratio"] == 3 and "key" not in spec
    runs = {f"widths-width{width}-lr0.01-s{seed}": {"seed": seed, "tasks": 2} for width in (2, 4) for seed in (0, 1)}
    assert spec["runs"] == runs


def test_a_claim_is_tested_on_each_experiment_and_kernel_that_it_names():
    """The kernel beside is left out where it is not computed, or is the same; without `kernel_beside` it is trace."""
    few = TINY["experiments"]["widths"] | {"kernels": ["sum"]}
    several = {"velocity_spikes": [{"experiment": "widths"}, {"experiment": "few", "ratio": 3}]}
    for setting, kernels in ({}, ["sum", "trace"]), ({"kernel_beside": "sum"}, ["sum"]):
        edits = ("experiments.few", few), ("figures", {}), ("claims", several | setting)
        first, second = make_plan(load_study(changed(*edits))).claims["tested"]
        assert (first["kernels"], second["kernels"]) == (kernels, ["sum"])
        assert (first["key"], second["key"]) == ("velocity_spikes.0", "velocity_spikes.1")
        assert (first["experiment"], second["experiment"], second["ratio"]) == ("widths", "few", 3)
        assert set(second["runs"]) == {f"few-width{width}-s{seed}" for width in (2, 4) for seed in (0, 1)}
    both = {"frequencies_barely_matter": {"experiment": "mix", "beside": "shifts"}}
    mix = {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.1}
    window = {"kind": "sliding_window", "classes": 4, "window": 2}
    experiments = {
        "mix": TINY["experiments"]["widths"] | {"scenario": mix, "grid": {"alpha": [0.1, 0.9]}},
        "shifts": few | {"scenario": window, "grid": {"shift": [0, 2]}},
    }
    for experiment in experiments.values():
        experiment["model"] = {"name": "cnn", "width": 2}
    (spec,) = make_plan(load_study(changed(("experiments", experiments), ("figures", {}), ("claims", both)))).claims[
        "tested"
    ]
    assert spec["kernels"] == ["sum"]  # both experiments must have it


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


def test_networks_of_several_tasks_have_accuracies_within_tasks_and_twins_have_none():
    both = plan(BOTH)
    assert both.within == list(plan().segments)
    network, twin = (both.runs[f"widths-width2-dynamics{name}-s0"] for name in ("network", "linearized"))
    assert network.within == network.segments and twin.within == ()
    assert plan((f"{EXPERIMENT}.scenario.tasks", 1), ("figures", {})).within == []
    panels = [
        {"metric": "accuracy_within_task"},
        {"metric": "forgetting_within_task"},
        {"metric": "cross_task_overlap"},
    ]
    shown = plan(("figures.fig4.panels", panels)).figures["fig4"].spec["panels"]
    assert [panel["block"] for panel in shown] == [["current"], ["all"], ["task1-task2"]]


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
    assert all("network" in run for run in both.claims["tested"][0]["runs"])
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
    (spec,) = plan.claims["tested"]
    assert spec["runs"] == {"mine-s0": {"seed": 0, "tasks": 2}}


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


def test_labels_as_numbers_of_kernels_from_elsewhere(tmp_path):
    write(tmp_path / "mine.h5")
    config = mine(tmp_path, metrics={"alignment_labels": "integer"})
    assert make_plan(load_study(config)).runs["mine-s0"].spec["alignment_labels"] == "integer"
    assert "alignment_labels" not in make_plan(load_study(mine(tmp_path))).runs["mine-s0"].spec


def test_rates_and_words_tell_files_apart(tmp_path):
    for lr in ("0.001", "0.1"):
        for rule in ("sgd", "adam"):
            write(tmp_path / f"{rule}-{lr}-1.h5")
    kernels = {"path": "{rule}-{lr}-{seed}.h5"}
    config = mine(tmp_path, kernels=kernels, grid={"rule": ["sgd", "adam"], "lr": ["1e-3", 0.1]}, seeds=[1])
    names = [f"mine-rule{rule}-lr{lr}-s1" for rule in ("sgd", "adam") for lr in ("1e-3", "0.1")]
    assert list(make_plan(load_study(config)).runs) == names


# ------------------------------------------------------------------------------- keys that are in specs only if set
ADAM = (f"{EXPERIMENT}.training", {"lr": 0.01, "epochs": 2, "optimizer": "adam"})
NORMALISE = "datasets.glyphs.normalise"


@pytest.mark.parametrize(
    "edits",
    [
        [(f"{EXPERIMENT}.scenario.held_out", 0)],
        [(f"{EXPERIMENT}.scenario.replay_drawn", "each_epoch")],  # of no images
        [(f"{EXPERIMENT}.training.optimizer_state", "new")],
        [(f"{EXPERIMENT}.training.optimizer_state", "keep")],  # plain SGD has none
        [(NORMALISE, None)],
    ],
)
def test_what_has_no_effect_is_in_no_spec(edits):
    assert plan(*edits) == plan()


def test_a_kept_state_and_held_out_images_are_another_training():
    kept = (f"{EXPERIMENT}.training.optimizer_state", "keep")
    assert not set(plan(ADAM).segments) & set(plan(ADAM, kept).segments)
    held = plan((f"{EXPERIMENT}.scenario.held_out", 0.25))
    for kind in ("splits", "probes", "segments", "kernels"):
        assert not set(getattr(plan(), kind)) & set(getattr(held, kind)), kind
    assert {of.spec["images"]["held_out"] for of in (*held.splits.values(), *held.probes.values())} == {0.25}
    assert set(held.datasets) == set(plan().datasets)


def test_replay_drawn_anew_needs_one_split_for_all_seeds_and_changes_all_but_the_first_task():
    replay = (f"{EXPERIMENT}.scenario.replay", 3)
    once, anew = plan(replay), plan(replay, (f"{EXPERIMENT}.scenario.replay_drawn", "each_epoch"))
    same = set(once.segments) & set(anew.segments)
    assert same == {name for name, segment in once.segments.items() if segment.parent is None}
    assert len(anew.splits) == 2 and not any("seed" in of.spec for of in anew.splits.values())
    tasks = list(anew.splits.values())[-1].spec["tasks"]
    assert [task.get("replay_drawn") for task in tasks] == [None, "each_epoch"]


def test_a_normalisation_is_part_of_the_data_set_however_it_is_written():
    one, each = (
        plan((NORMALISE, {"mean": 0.5, "std": "1e-1"})),
        plan((NORMALISE, {"mean": [0.5] * 3, "std": [0.1] * 3})),
    )
    assert set(one.datasets) == set(each.datasets) != set(plan().datasets)
    (spec,) = one.datasets.values()
    assert spec["normalise"] == {"mean": [0.5, 0.5, 0.5], "std": [0.1, 0.1, 0.1]}

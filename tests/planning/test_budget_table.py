"""The budget against what plans, networks and finished studies really have."""

import re

import numpy as np
import pytest
import torch

from helpers import REPOSITORY, TINY, changed, copy_repository, finished, snakemake
from reactivation.data import indices
from reactivation.planning import budget_table, segment_costs
from reactivation.planning.network_sizes import network
from reactivation.planning.plan import make_plan, sources
from reactivation.study.load import load_study
from reactivation.training import calibrate


def test_operations_of_the_papers_network_are_those_of_its_formula():
    """2·(27·1024 + 9w·256 + 9w·64 + 16·C)·w forward; twice that backward, but for the images' own gradient."""
    w, n = 7, 5
    of = network({"name": "cnn", "width": w, "parametrization": "pytorch"}, 32, 10)
    assert of.forward == 2 * (27 * 1024 + 9 * w * 256 + 9 * w * 64 + 16 * 10) * w
    assert of.both == 3 * of.forward - 2 * 27 * 1024 * w
    layers = 2 * n * of.forward // 2 + n * n * (27 * w + 18 * w * w + 160 * w)
    assert segment_costs.kernel_operations(of, n, ["sum"]) == 2 * n * of.forward + layers
    assert segment_costs.kernel_operations(of, n, ["sum", "trace"]) == 11 * n * of.forward + 10 * layers


@pytest.mark.parametrize(
    "scenario",
    [
        {"kind": "class_split", "tasks": 2, "classes_per_task": 2, "replay": 5},
        {"kind": "class_split", "tasks": 2, "classes_per_task": 1, "limit_per_class": 7},
        {"kind": "sliding_window", "classes": 4, "window": 2, "shift": 1, "tasks": 3, "replay": 3},
        {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.1, "alpha": 0.7},
        {"kind": "sequence", "tasks": [{"classes": [0, 1], "weights": [1, 0.3], "epochs": 3}, {"classes": [1, 2, 3]}]},
    ],
    ids=lambda scenario: scenario["kind"],
)
def test_images_of_tasks_are_those_of_the_split(scenario):
    plan = make_plan(load_study(changed(("experiments.widths.scenario", scenario))))
    labels = np.repeat(np.arange(4), 12), np.repeat(np.arange(4), 4)
    available = [12] * 4, [4] * 4
    for segment in plan.segments.values():
        task = len(segment.spec["tasks"]) - 1
        split = indices.split(plan.splits[segment.split].spec, *labels)
        expected = len(split[f"task{task + 1}_train"]), len(split["test"])
        assert segment_costs.images_of(segment.spec, available) == expected


def test_a_finished_study_has_what_was_foreseen(tmp_path):
    figures = TINY["figures"] | {"narrow": TINY["figures"]["fig4"] | {"where": {"width": 2}, "color": None}}
    config = changed(("figures", figures), ("experiments.widths.grid.width", [2, 64]))
    study, folder = load_study(config), finished(tmp_path / "clone", config | {"figures": {}})
    plan = make_plan(study)
    counts, assumed = segment_costs.all_image_counts(plan, sources(study))
    assert assumed == []
    of, sizes = segment_costs.costs(plan, counts), budget_table.data_bytes(plan, counts)
    for name, cost in of.items():
        found = list((folder / "results/segments" / name / "checkpoints").glob("*.pt"))
        assert len(found) == cost.checkpoints
        assert sum(path.stat().st_size for path in found) == pytest.approx(cost.checkpoints * cost.weights, rel=0.2)
    rates = [(0.0, 1e9)], [(0.0, 1e9)]
    *_, final, operations, seconds = budget_table.row(plan, plan.runs, of, sizes, "all", rates, 2)
    files = [path for path in (folder / "results").rglob("*.*") if path.is_file()]
    # The page of curves has five megabytes of a library, whatever the study.
    real = sum(path.stat().st_size for path in files if path.name not in ("final.pt", "explore.html"))
    assert final == pytest.approx(real, rel=0.3)
    assert seconds == pytest.approx(operations / 1e9 + 8 * 2 * budget_table.START)
    runs, segments, checkpoints, peak, less, *_ = budget_table.row(plan, plan.runs, of, sizes, "final", rates, 2)
    assert (runs, segments, checkpoints) == (4, 8, sum(c.checkpoints for c in of.values()))
    weights = sum((c.checkpoints - 1) * c.weights for c in of.values())
    assert less == pytest.approx(final - weights) and less < peak < final
    assert budget_table.row(plan, plan.figures["narrow"].runs, of, sizes, "all", rates, 2)[:2] == [2, 4]


def test_what_is_not_here_is_said():
    entry = {"source": "image_folder", "root": "nowhere", "image_size": 8, "classes": 4}
    study = load_study(changed(("datasets.glyphs", entry)))
    text = budget_table.budget(make_plan(study), sources(study), "all", 1e12, torch.device("cpu"))
    assert "nowhere is not unpacked here: 1,300 training and 50 test images a class are assumed" in text


def test_the_rate_of_what_is_not_measured_is_that_of_the_largest_smaller():
    rates = [(10.0, 1.0), (100.0, 2.0)]
    assert [budget_table.rate(rates, work) for work in (1, 10, 50, 100, 1e9)] == [1, 1, 1, 2, 2]


def test_from_the_command_line(tmp_path):
    """Without --cores, and nothing is run or written."""
    folder = copy_repository(tmp_path / "clone")
    run = snakemake(folder, "budget", config=TINY)
    assert run.returncode == 0, run.stdout
    numbers = re.search(r"^total +4 +8 +44 ", run.stdout, re.MULTILINE)
    assert numbers and "core hours" in run.stdout and "Measured here (cpu, one thread)" in run.stdout
    assert not (folder / "results").exists()
    (folder / "config/paper.yaml").write_text((REPOSITORY / "config/paper.yaml").read_text())
    run = snakemake(folder, "budget", "--configfile", "config/paper.yaml", "--config", "flops_per_second=1e14")
    assert run.returncode == 0, run.stdout
    assert re.search(r"^total +219 +558 ", run.stdout, re.MULTILINE) and "At 1e+14 FLOP/s" in run.stdout
    run = snakemake(folder, "budget", "--config", "flops_per_second=1e14", "device=cuda")  # wherever that GPU is
    assert run.returncode == 0 and "At 1e+14 FLOP/s" in run.stdout, run.stdout


def test_a_figure_beside_another_needs_its_runs_too():
    one = {"kind": "curves", "experiment": "widths", "color": "width", "panels": [{"metric": "trace"}]}
    figures = {"a": one | {"where": {"lr": 0.1}}, "b": one | {"where": {"lr": 0.2}, "beside": "a"}}
    config = changed(
        ("figures", figures),
        ("experiments.widths.grid.lr", [0.1, 0.2, 0.3]),
        ("experiments.widths.training.lr", ...),
    )
    plan = make_plan(load_study(config))
    assert (
        set(budget_table.needed(plan, "a")) == set(plan.figures["a"].runs) and len(budget_table.needed(plan, "a")) == 4
    )
    assert set(budget_table.needed(plan, "b")) == {*plan.figures["a"].runs, *plan.figures["b"].runs}


def test_without_weights_first_tasks_wait_for_the_next():
    study = load_study(TINY)
    plan = make_plan(study)
    counts, _ = segment_costs.all_image_counts(plan, sources(study))
    of, sizes = segment_costs.costs(plan, counts), budget_table.data_bytes(plan, counts)
    rates = [(0.0, 1e9)], [(0.0, 1e9)]
    _, _, _, peak, final, *_ = budget_table.row(plan, plan.runs, of, sizes, "none", rates, 2)
    waiting = sum(cost.weights for name, cost in of.items() if "-task1-" in name)
    assert peak - final == waiting + 2 * max(c.state + c.checkpoints * c.weights for c in of.values())


@pytest.mark.parametrize("slower", ["float32", "bf16"])
def test_of_the_same_work_in_both_precisions_the_slower_counts(monkeypatch, slower):
    grid = {"precision": ["bf16", "float32"], "width": [2, 4, 16]}
    study = load_study(changed(("experiments.widths.grid", grid), ("figures", {})))
    plan = make_plan(study)
    of = segment_costs.costs(plan, segment_costs.all_image_counts(plan, sources(study))[0])
    monkeypatch.setattr(calibrate, "_time_kernels", lambda *_: 1.0)
    seconds = lambda plan, name, _: 2e-3 if plan.segments[name].spec["training"]["precision"] == slower else 1e-3  # noqa: E731
    monkeypatch.setattr(calibrate, "_time_step", seconds)
    rates, _ = calibrate.calibrate(plan, of, torch.device("cpu"))
    assert len(rates) > 1 and all(rate == work / 2e-3 for work, rate in rates)
    assert [work for work, _ in rates] == sorted({work for work, _ in rates})

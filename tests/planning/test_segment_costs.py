"""Costs of segments and kernels against formulas, splits and plans."""

import numpy as np
import pytest

from convergence import PANEL, study
from helpers import changed
from reactivation.data import indices
from reactivation.planning import budget_table, segment_costs
from reactivation.planning.network_sizes import network
from reactivation.planning.plan import make_plan
from reactivation.planning.requests import convergence_request
from reactivation.planning.segment_costs import costs, kernel_operations
from reactivation.study.load import load_study
from reactivation.training.train_job import training_images


def test_operations_of_the_papers_network_are_those_of_its_formula():
    """2·(27·1024 + 9w·256 + 9w·64 + 16·C)·w forward; twice that backward, except for the images' own gradient."""
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
        {"kind": "class_split", "tasks": 2, "classes_per_task": 1, "limit_per_class": 7, "held_out": 0.3},
        {"kind": "class_split", "tasks": 2, "classes_per_task": 2, "replay": 5, "replay_drawn": "each_epoch"},
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
        split = indices.split(plan.splits[segment.split].spec, *labels)
        tested = split["held_out"] if "held_out" in scenario else split["test"]
        held, of_epoch = training_images(segment.spec, split)
        expected = len(of_epoch), len(tested)
        assert segment_costs.images_held(segment.spec, available) == len(held) + len(tested)
        assert segment_costs.images_of(segment.spec, available) == expected


def test_its_cost_is_that_of_the_kernels_of_all_networks():
    plan = make_plan(load_study(study(PANEL | {"kernel": "trace"}, {"metric": "alignment", "color": "width"})))
    ((name, convergence),) = plan.convergences.items()
    each = [network({"name": "cnn", "parametrization": "ntk", "width": w}, 8, 4) for w in (2, 4, 8)]
    operations = 3 * sum(kernel_operations(of, 6, ["trace"]) for of in each)
    counts = {dataset: ([12] * 4, [4] * 4) for dataset in plan.datasets}
    sizes, of, rates = budget_table.data_bytes(plan, counts), costs(plan, counts), ([(0.0, 1.0)], [(0.0, 1.0)])
    alone = budget_table.row(plan, [name], of, sizes, "all", rates, 2)
    assert alone[:3] == [0, 0, 0] and alone[-2] == operations and alone[-1] == operations + budget_table.START
    assert set(budget_table.needed(plan, "wide")) == {*plan.runs, name}
    small, large = (convergence_request(convergence.spec | {"widths": w}, "cpu", None) for w in ([2, 4], [2, 4096]))
    assert small.gpu_memory == 0 and 0 < small.minutes < large.minutes and small.memory < large.memory
    assert convergence_request(convergence.spec, "cuda", None).gpu_memory > 0

"""Accuracy within each task, class by class."""

import numpy as np
import pytest
import torch

from reactivation.training.evaluation import evaluate
from reactivation.training.within_task import all_logits, within_rows
from sample_networks import images
from trainings import network

TASKS = [
    {"classes": [3, 0], "weights": [1.0, 0.5], "replay": 0},
    {"classes": [1, 2, 3], "weights": [1.0] * 3, "replay": 0},
]


def test_only_logits_of_the_tasks_own_classes_count():
    """Against NumPy in float64, one image at a time."""
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(200, 5)), rng.integers(0, 4, 200)
    rows = list(within_rows(torch.tensor(logits), torch.tensor(labels), TASKS))
    assert [(row["task"], row["class"]) for row in rows] == [(1, 0), (1, 3), (2, 1), (2, 2), (2, 3)]
    for row in rows:
        own = TASKS[row["task"] - 1]["classes"]
        of_class = [f for f, label in zip(logits, labels, strict=True) if label == row["class"]]
        right = [max(own, key=lambda c, f=f: f[c]) == row["class"] for f in of_class]
        assert row["images"] == len(right) and row["accuracy_within_task"] == pytest.approx(np.mean(right), abs=1e-15)
        assert 0 < row["accuracy_within_task"] < 1


def test_equal_logits_count_for_the_lowest_class_as_in_other_tests():
    found = within_rows(torch.zeros(4, 5), torch.tensor([0, 1, 2, 3]), TASKS)
    assert [row["accuracy_within_task"] for row in found] == [1, 0, 1, 0, 0]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_task_of_all_classes_has_the_accuracy_of_other_tests(precision):
    """The same images, in the same batches and precision: not a logit differs."""
    model, data = network().eval(), images(300, seed=2)
    classes = [0, 1, 2, 3]
    everything = {"classes": classes, "weights": [1.0] * 4, "replay": 0}
    assert all_logits(model, data, precision).shape == (300, 4)
    rows = within_rows(all_logits(model, data, precision), data.labels, [everything])
    tested = evaluate(model, data, classes, precision, step=0, epoch=0.0)
    assert [row["accuracy_within_task"] for row in rows] == [row["test_accuracy"] for row in tested]

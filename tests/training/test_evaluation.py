"""Accuracy and loss on the test set."""

import pytest
import torch
from torch.nn import functional as F

from reactivation.training.evaluation import accuracy, evaluate
from sample_networks import images
from trainings import SPEC, network


def test_tests_are_taken_in_the_precision_of_the_training():
    model, data = network(), images(18, seed=2)
    of = {p: evaluate(model, data, [0, 1, 2, 3], p, step=0, epoch=0.0) for p in ("float32", "bf16")}
    losses = {p: [row["test_loss"] for row in rows] for p, rows in of.items()}
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.01)


def test_evaluation_by_class_adds_up_to_that_of_tasks():
    model, data = network(), images(18, seed=2)
    rows = evaluate(model, data, [0, 1, 2, 3], "float32", step=0, epoch=0.0)
    x, y = data.batch(slice(None))
    with torch.no_grad():
        logits = model.eval()(x)
    for row in rows:
        mine = y == row["class"]
        assert row["images"] == int(mine.sum())
        assert row["test_accuracy"] == pytest.approx((logits[mine].argmax(1) == y[mine]).double().mean().item())
        assert row["test_loss"] == pytest.approx(F.cross_entropy(logits[mine], y[mine]).item(), rel=1e-5)
    first = y < 2
    assert accuracy(rows, SPEC["tasks"][0]) == pytest.approx(
        (logits[first].argmax(1) == y[first]).double().mean().item()
    )

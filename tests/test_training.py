"""Training against a plain loop; its checkpoints, its log, its determinism."""

import numpy as np
import pytest
import torch
from reactivation.job import InputError
from reactivation.models import cnn
from reactivation.seeds import stream
from reactivation.training import Images, accuracy, checkpoint_steps, evaluate, train_segment
from torch.nn import functional as F

SPEC = {
    "images": {"classes": [0, 1, 2, 3]},
    "tasks": [[0, 1], [2, 3]],
    "epochs": [5, 3],
    "training": {"batch_size": 8, "lr": 0.1},
    "checkpoints": {"every": 1, "log_spaced": True},
    "seed": 4,
}


def images(n=20, seed=0):
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 8, 8, 3), dtype=np.uint8)
    return Images.on(torch.device("cpu"), pixels, np.arange(n) % 4, np.full(3, 0.4), np.full(3, 0.2))


def network():
    torch.manual_seed(0)
    return cnn(4, 8, 4)


def train(spec=SPEC, start=(40, 5.0)):
    model, kept = network(), []
    save = lambda m, step, epoch: kept.append((step, epoch, [p.detach().clone() for p in m.parameters()]))  # noqa: E731
    log, evaluation = train_segment(model, images(), images(8, seed=1), spec, start, save)
    return model, kept, log, evaluation


def test_steps_every_epochs_last_and_powers_of_two():
    assert checkpoint_steps(10, 4, every=2, log_spaced=False) == {20, 40}
    assert checkpoint_steps(10, 3, every=2, log_spaced=False) == {20, 30}
    assert checkpoint_steps(10, 2, every=5, log_spaced=True) == {1, 2, 4, 8, 16, 20}
    assert checkpoint_steps(1, 1, every=1, log_spaced=True) == {1}


def test_batches_are_normalised_images_channels_last():
    data = images(4)
    x, labels = data.batch(torch.tensor([2, 0]))
    expected = (data.pixels[[2, 0]].double() / 255 - 0.4) / 0.2
    torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [2, 0]


def test_the_loop_is_plain_sgd():
    trained, *_ = train()
    model, data = network(), images()
    shuffle = torch.Generator().manual_seed(stream(4, "batches", 2))
    for _ in range(3):
        for batch in torch.randperm(20, generator=shuffle).split(8):
            x, y = data.batch(batch)
            for p, g in zip(
                model.parameters(),
                torch.autograd.grad(F.cross_entropy(model(x), y), list(model.parameters())),
                strict=True,
            ):
                p.data -= 0.1 * g
    for p, q in zip(trained.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-5, atol=1e-7)


def test_checkpoints_count_from_the_runs_initialisation():
    _, kept, *_ = train()
    assert [step for step, *_ in kept] == [
        41,
        42,
        43,
        44,
        46,
        48,
        49,
    ]  # 3 steps an epoch; 1, 2, 3, 4, 6, 8, 9
    assert [epoch for _, epoch, _ in kept] == pytest.approx([5 + s / 3 for s in (1, 2, 3, 4, 6, 8, 9)])
    _, kept, _, evaluation = train({**SPEC, "tasks": [[0, 1]], "epochs": [1]}, start=(0, 0.0))
    assert [step for step, *_ in kept] == [0, 1, 2, 3]
    assert {row["epoch"] for row in evaluation} == {0.0, 1.0}


def test_the_same_twice_is_the_same_to_the_bit():
    first, second = train(), train()
    for a, b in zip(first[1], second[1], strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a[2], b[2], strict=True))
    assert first[3] == second[3]


def test_evaluation_by_class_adds_up_to_that_of_tasks():
    model, data = network(), images(18, seed=2)
    rows = evaluate(model, data, [0, 1, 2, 3], step=0, epoch=0.0)
    x, y = data.batch(slice(None))
    with torch.no_grad():
        logits = model.eval()(x)
    for row in rows:
        mine = y == row["class"]
        assert row["images"] == int(mine.sum())
        assert row["test_accuracy"] == pytest.approx((logits[mine].argmax(1) == y[mine]).double().mean().item())
        assert row["test_loss"] == pytest.approx(F.cross_entropy(logits[mine], y[mine]).item(), rel=1e-5)
    first = y < 2
    assert accuracy(rows, [0, 1]) == pytest.approx((logits[first].argmax(1) == y[first]).double().mean().item())


def test_the_log_has_what_a_person_wants(capsys):
    _, _, log, _ = train()
    assert list(log[0]) == [
        "step",
        "epoch",
        "learning_rate",
        "train_loss",
        "test_accuracy_task1",
        "test_accuracy_task2",
        "seconds",
        "images_per_second",
    ]
    assert [row["epoch"] for row in log] == [6, 7, 8]
    assert "task 2  epoch 1/3  loss" in capsys.readouterr().out


def test_divergence_says_what_to_do():
    with pytest.raises(InputError, match=r"the loss is nan in epoch \d of task 2: lower lr \(it is 1e\+20\)"):
        train({**SPEC, "training": {"batch_size": 8, "lr": 1e20}})

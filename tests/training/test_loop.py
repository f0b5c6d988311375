"""Training against a plain loop; its checkpoints, its determinism, its divergence."""

import copy
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from reactivation.data.images import Images
from reactivation.errors import InputError
from reactivation.ntk.kernel import empirical_ntk
from reactivation.seeds import stream
from reactivation.training.loop import refuse_lone_image, train_segment
from reactivation.training.networks import build
from sample_networks import images, reference
from trainings import SPEC, network, train


def plain_loop(model, step):
    """Call step(parameter, gradient, state, number of the step from 1) after each batch of SPEC's second task."""
    data, shuffle = images(), torch.Generator().manual_seed(stream(4, "batches", 2))
    parameters, t = list(model.parameters()), 0
    states = [{} for _ in parameters]
    for _ in range(3):
        for batch in torch.randperm(20, generator=shuffle).split(8):
            t += 1
            x, y = data.batch(batch)
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)
            for p, g, of_p in zip(parameters, gradients, states, strict=True):
                p.data = step(p.data, g, of_p, t)
    return model


def sgd(lr, momentum, weight_decay):
    """v ← μ v + g + λ p, p ← p − η v (Sutskever et al. 2013, with v in units of gradients, as in PyTorch)."""

    def step(p, g, state, t):
        state["v"] = momentum * state.get("v", 0) + g + weight_decay * p
        return p - lr * state["v"]

    return step


def adam(lr, weight_decay, b1=0.9, b2=0.999, eps=1e-8):
    """Algorithm 1 of Kingma and Ba (2015, arXiv 1412.6980), on the gradient of the loss plus λ/2 ‖p‖²."""

    def step(p, g, state, t):
        g = g + weight_decay * p
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * g**2
        return p - lr * (state["m"] / (1 - b1**t)) / ((state["v"] / (1 - b2**t)).sqrt() + eps)

    return step


@pytest.mark.parametrize(
    "training, step",
    [
        ({}, sgd(0.1, 0, 0)),
        ({"momentum": 0.9, "weight_decay": 0.05}, sgd(0.1, 0.9, 0.05)),
        ({"optimizer": "adam", "lr": 0.01, "weight_decay": 0.05}, adam(0.01, 0.05)),
    ],
    ids=["plain", "momentum", "adam"],
)
def test_the_loop_is_that_of_the_update_formulas(training, step):
    trained, *_ = train({**SPEC, "training": SPEC["training"] | training})
    for p, q in zip(trained.parameters(), plain_loop(network(), step).parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_a_training_that_is_only_compared_is_the_beginning_of_the_whole():
    found = []
    for first in (None, 2):
        weights, model = {}, network()

        def save(model, step, epoch, weights=weights):
            weights[step] = copy.deepcopy(model.state_dict())

        trained = train_segment(model, images(), images(8, seed=1), SPEC, (40, 5.0), save, first=first)
        found.append((weights, trained.evaluation))
    (whole, tests), (begun, first_tests) = found
    assert 2 <= len(begun) < len(whole) and list(begun) == list(whole)[: len(begun)]
    assert all(torch.equal(value, whole[step][name]) for step in begun for name, value in begun[step].items())
    assert first_tests and first_tests == tests[: len(first_tests)]


def test_batch_norm_trains_and_has_a_kernel():
    torch.manual_seed(0)
    model = build({"name": "resnet18", "width": 2, "norm": "batch", "parametrization": "pytorch"}, 8, 4)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    spec = {**SPEC, "training": SPEC["training"] | {"batch_size": 20}, "epochs": [5, 10]}
    log = train_segment(model, images(), images(8, seed=1), spec, (0, 0.0), lambda *_: None).log
    assert log[-1]["train_loss"] < 0.8 * log[0]["train_loss"]
    assert all(not torch.equal(value, start[name]) for name, value in model.state_dict().items())
    model, (x, _) = model.eval().double(), images(3).batch(slice(None))
    references = reference(model, x.double())
    for kind, kernel in empirical_ntk(model, x.double()).items():
        expected = references[kind]
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


# ------------------------------------------------------------------------------------- precision, and speed
BF16 = {**SPEC, "training": SPEC["training"] | {"precision": "bf16"}}
MODELS = {
    "cnn": {"name": "cnn"},
    "cnn, ntk": {"name": "cnn", "parametrization": "ntk"},
    "mlp": {"name": "mlp", "depth": 2, "activation": "gelu"},
    "rnn": {"name": "rnn"},
    "resnet18": {"name": "resnet18", "norm": "batch"},
    "resnet18, group norm": {"name": "resnet18", "norm": "group"},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_network_learns_in_bf16_nearly_what_it_learns_in_float32(model):
    """Products have eight bits; weights, and what is added to them, have all bits of float32."""
    spec = {"width": 8, "parametrization": "pytorch"} | model
    training = {**SPEC, "training": SPEC["training"] | {"batch_size": 20, "lr": 0.002}, "epochs": [5, 6]}
    losses, weights = {}, {}
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        network = build(spec, 8, 4)
        of = {**training, "training": training["training"] | {"precision": precision}}
        trained, kept, log = train(of, model=network)
        losses[precision] = [row["train_loss"] for row in log.log]
        weights[precision] = torch.cat([p.flatten() for p in kept[-1][2]])
        assert all(p.dtype == torch.float32 for p in trained.state_dict().values() if p.is_floating_point())
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)
    assert not torch.equal(*weights.values())
    assert (weights["bf16"] == weights["bf16"].bfloat16()).float().mean() < 0.1  # float32 weights, not rounded ones


def test_small_steps_are_not_lost_in_bf16():
    """A step of 1e-4 of a weight is less than bf16 resolves: weights kept in bf16 would stay where they are."""
    model, _, _ = train({**BF16, "training": BF16["training"] | {"lr": 1e-4}})
    moved = [(p - q).abs().max() for p, q in zip(model.parameters(), network().parameters(), strict=True)]
    assert min(moved) > 0


def test_checkpoints_count_from_the_runs_initialisation():
    _, kept, _ = train()
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
    _, kept, trained = train({**SPEC, "tasks": SPEC["tasks"][:1], "epochs": [1]}, start=(0, 0.0))
    assert [step for step, *_ in kept] == [0, 1, 2, 3]
    assert [row["epoch"] for row in trained.evaluation[::4]] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_tests_are_at_each_checkpoint_and_at_the_end_of_each_epoch():
    spec = SPEC | {"checkpoints": {"every": 3, "log_spaced": True}}
    _, kept, trained = train(spec)
    assert [row["step"] for row in trained.evaluation[::4]] == [41, 42, 43, 44, 46, 48, 49]
    assert [step for step, *_ in kept] == [41, 42, 44, 48, 49]


def test_the_same_twice_is_the_same_to_the_bit():
    first, second = train(), train()
    for a, b in zip(first[1], second[1], strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a[2], b[2], strict=True))
    assert first[2].evaluation == second[2].evaluation


# ------------------------------------------------------------------------------------------------ divergence
def test_divergence_ends_training_and_says_where():
    """Checkpoints hold finite weights only, even where the loss was still finite before the last step."""
    for lr in (1e3, 1e20, 3e38):
        _, kept, trained = train({**SPEC, "training": SPEC["training"] | {"lr": lr}})
        last = kept[-1][0] - 40 if kept else 0
        assert last < trained.diverged <= 9 and len(trained.log) == (trained.diverged - 1) // 3
        assert all(p.isfinite().all() for *_, weights in kept for p in weights)
        # The loss before the step named, or the weights after it, are not finite.
        model, steps = network(), []
        for p in plain_steps(model, lr, trained.diverged):
            steps.append(p)
        assert all(map(math.isfinite, steps[:-1])) and not math.isfinite(steps[-1])


def plain_steps(model, lr, count):
    """The largest weight after each of `count` steps of plain SGD; NaN if the loss before it was not finite."""
    data, shuffle = images(), torch.Generator().manual_seed(stream(4, "batches", 2))
    batches = [batch for _ in range(3) for batch in torch.randperm(20, generator=shuffle).split(8)]
    for batch in batches[:count]:
        x, y = data.batch(batch)
        loss = F.cross_entropy(model(x), y)
        for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
            p.data -= lr * g
        yield max(p.detach().abs().max().item() for p in model.parameters()) if loss.isfinite() else math.nan


@pytest.mark.parametrize("batch_size, size, alone", [(19, 8, True), (1, 8, True), (20, 8, False), (19, 16, False)])
def test_a_lone_image_that_batch_normalization_cannot_train_on(batch_size, size, alone):
    """With 16 pixels a side, the last stage still has four places to take statistics over."""
    spec = {"name": "resnet18", "width": 2, "norm": "batch", "parametrization": "pytorch"}
    model = build(spec, size, 4)
    pixels = np.zeros((20, size, size, 3), dtype=np.uint8)
    data = Images.on(torch.device("cpu"), pixels, np.arange(20) % 4, np.full(3, 0.5), np.full(3, 0.5))
    before = copy.deepcopy(model.state_dict())
    if alone:
        with pytest.raises(InputError, match=f"20 images in batches of {batch_size} leave one alone"):
            refuse_lone_image(model, data, len(data), batch_size)
    else:
        refuse_lone_image(model, data, len(data), batch_size)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

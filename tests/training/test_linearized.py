"""Linearised twins: first-order expansions against Jacobians, trained in parallel with their networks."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev, jvp

from reactivation.errors import InputError
from reactivation.training.function_distance import logits
from reactivation.training.linearized import linearized
from reactivation.training.loop import train_segment
from sample_networks import images
from twins import move, network

SPEC = {
    "images": {"classes": [0, 1, 2, 3]},
    "tasks": [{"classes": [0, 1], "weights": [1.0, 1.0]}, {"classes": [2, 3], "weights": [1.0, 1.0]}],
    "epochs": [1, 8],
    "training": {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.01,
        "batch_size": 8,
        "precision": "float32",
    },
    "model": {"parametrization": "pytorch"},
    "checkpoints": {"every": 1, "log_spaced": False},
    "seed": 4,
}
NETWORKS = {
    "cnn": {"name": "cnn"},
    "cnn, ntk": {"name": "cnn", "parametrization": "ntk"},
    "mlp, tanh": {"name": "mlp", "depth": 2, "activation": "tanh"},
    "rnn": {"name": "rnn"},
    "resnet18": {"name": "resnet18", "norm": "group"},
}


def train(model, lr=0.1, **training):
    """Train a network, and its twin from the same weights; return the logits of both on other images."""
    spec, kept = SPEC | {"training": SPEC["training"] | {"lr": lr} | training}, {}
    twin = copy.deepcopy(model)
    for name, of, function in (("network", model, None), ("twin", twin, linearized(twin))):
        steps = []
        save = lambda m, step, epoch, f=function or of, steps=steps: steps.append(  # noqa: E731
            logits(f, images(12, seed=1)).double()
        )
        train_segment(of, images(), images(8, seed=1), spec, (40, 5.0), save, function=function)
        kept[name] = torch.stack(steps)
    return kept["network"], kept["twin"]


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_the_expansion_is_the_jacobian_times_the_way_from_its_origin(spec):
    model = network(**spec).double()
    x = images(5).batch(slice(None))[0].double()
    origin = {name: p.detach().clone() for name, p in model.named_parameters()}
    twin, start = linearized(model), model(x).detach()
    jacobian = jacrev(lambda weights: functional_call(model, weights, (x,)))(origin)
    move(model, 0.1)
    way = {name: p.detach() - origin[name] for name, p in model.named_parameters()}
    expected = start + sum(torch.tensordot(jacobian[name], way[name], dims=way[name].ndim) for name in way)
    torch.testing.assert_close(twin(x).detach(), expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_the_expansion_is_torchs(spec):
    model = network(**spec)
    x = images(5).batch(slice(None))[0].contiguous()
    origin = {name: p.detach().clone() for name, p in model.named_parameters()}
    twin = linearized(model)
    move(model, 0.1)
    way = {name: p.detach() - origin[name] for name, p in model.named_parameters()}
    start, change = jvp(lambda weights: functional_call(model, weights, (x,)), (origin,), (way,))
    torch.testing.assert_close(twin(x).detach(), start + change, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_its_gradient_in_the_weights_is_that_at_its_origin(spec):
    model = network(**spec).double()
    x = images(5).batch(slice(None))[0].double()
    twin = linearized(model)
    at_origin = torch.autograd.grad((model(x) * torch.arange(4)).sum(), list(model.parameters()))
    move(model, 0.3)
    anywhere = torch.autograd.grad((twin(x) * torch.arange(4)).sum(), list(model.parameters()))
    for a, b in zip(at_origin, anywhere, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("spec", NETWORKS.values(), ids=NETWORKS)
def test_a_small_step_is_the_same_to_first_order(spec):
    """The change is of first order in the step, the difference of second: half the step makes a quarter of it."""
    gaps, changes = [], []
    x = images(5).batch(slice(None))[0].double()
    for scale in (2e-6, 1e-6):
        model = network(**spec).double()
        twin, start = linearized(model), model(x).detach()
        move(model, scale)
        gaps.append(float((model(x) - twin(x)).detach().norm()))
        changes.append(float((model(x) - start).detach().norm()))
    assert changes[0] / changes[1] == pytest.approx(2, rel=0.05)
    assert gaps[0] / gaps[1] == pytest.approx(4, rel=0.1)  # so small a step crosses no ReLU
    assert gaps[1] < 0.001 * changes[1]


@pytest.mark.parametrize("optimizer", [{}, {"optimizer": "adam", "momentum": 0.0, "lr": 0.01}], ids=["sgd", "adam"])
def test_of_a_linear_network_the_twin_is_the_network_at_all_steps(optimizer):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4))
    of_network, of_twin = train(model, **optimizer)
    assert len(of_network) == 8
    torch.testing.assert_close(of_network, of_twin, rtol=1e-4, atol=1e-5)  # float32, after 24 steps


def test_of_another_network_it_is_not():
    of_network, of_twin = train(network(name="cnn"))
    gaps = (of_network - of_twin).square().mean((1, 2)).sqrt()
    assert gaps[0] > 1e-4 and gaps[-1] > gaps[0]


def test_with_ntk_parametrization_the_gap_shrinks_with_the_width():
    """It shrinks as 1/√width (Lee et al. 2019): at 16 times the width, to a quarter; here, over 3 seeds, below half."""
    gaps = []
    for width in (8, 128):
        of_seeds = []
        for seed in range(3):
            model = network(width, seed, name="mlp", depth=2, activation="tanh", parametrization="ntk")
            of_network, of_twin = train(model, lr=0.02, momentum=0.0, weight_decay=0.0)
            of_seeds.append(float((of_network[-1] - of_twin[-1]).square().mean().sqrt()))
        gaps.append(np.mean(of_seeds))
    assert gaps[1] < gaps[0] / 2


def test_batch_normalization_is_refused():
    with pytest.raises(InputError, match="without batch normalization"):
        linearized(network(name="resnet18", norm="batch"))

"""Learning rates by parameter, by hand and after a step."""

import pytest
import torch
from torch.nn import functional as F

from architectures import ARCHITECTURES, PARAMETRIZATIONS, fresh, spec
from helpers import own_process
from reactivation.training.optimizer import learning_rate_factors, parameter_groups
from sample_networks import images
from trainings import SPEC, network, train


def test_each_parameter_has_the_learning_rate_of_its_parametrization():
    """One step of SGD with mup at 4 times the base width; its step of weight decay is the same for all parameters."""
    model = {"name": "cnn", "width": 4, "parametrization": "mup", "base_width": 1}
    training = SPEC["training"] | {"batch_size": 20, "weight_decay": 0.2}
    spec = {**SPEC, "model": model, "training": training, "epochs": [5, 1]}
    trained, *_ = train(spec)
    start, (x, y) = network(), images().batch(slice(None))
    gradients = torch.autograd.grad(F.cross_entropy(start(x), y), list(start.parameters()))
    factors = [4, 4, 1, 4, 1, 4, 1 / 4, 1]
    for p, q, g, factor in zip(trained.parameters(), start.parameters(), gradients, factors, strict=True):
        torch.testing.assert_close(p, q - 0.1 * (factor * g + 0.2 * q), rtol=1e-4, atol=1e-6)


def test_training_does_not_import_torchs_compiler():
    """Importing it takes a second, and torch's optimizers and deterministic operations do so by themselves."""
    code = f"""
import sys
import numpy as np, torch
from reactivation.training import networks
from reactivation.data.images import Images
from reactivation.training.device import set_up_device
from reactivation.training.loop import train_segment

device = set_up_device("cpu", 1)
assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
spec = {SPEC!r}
data = Images.on(device, np.zeros((8, 8, 8, 3), dtype=np.uint8), np.arange(8) % 4, np.full(3, 0.5), np.full(3, 0.5))
for optimizer in ("sgd", "adam"):
    spec["training"]["optimizer"] = optimizer
    train_segment(networks.build(spec["model"], 8, 4), data, data, spec, (0, 0.0), lambda *_: None)
    print("imported by", optimizer, {{"torch._dynamo", "sympy"}} & sys.modules.keys())
"""
    said = [line for line in own_process(code).splitlines() if line.startswith("imported")]
    assert said == ["imported by sgd set()", "imported by adam set()"]


def test_learning_rate_factors_by_hand():
    """Table 3 of Tensor Programs V at r = 4: input weights and biases, hidden and output weights, the output's bias."""
    mlp = {**spec("mlp", "mup", width=12, base_width=3), "depth": 2}
    sgd, adam = (learning_rate_factors(mlp, optimizer) for optimizer in ("sgd", "adam"))
    by_hand = {
        "hidden1.weight": (4, 1),
        "hidden1.bias": (4, 1),
        "hidden2.weight": (1, 1 / 4),
        "hidden2.bias": (4, 1),
        "head.weight": (1 / 4, 1 / 4),
        "head.bias": (1, 1),
    }
    assert {name: (sgd[name], adam[name]) for name in sgd} == by_hand
    resnet = learning_rate_factors(spec("resnet18, group norm", "mup", width=12, base_width=3), "sgd")
    assert (resnet.pop("stem.0.weight"), resnet.pop("head.weight"), resnet.pop("head.bias")) == (4, 1 / 4, 1)
    dimensions = {name: p.dim() for name, p in fresh("resnet18, group norm").named_parameters()}
    assert all(factor == (1 if dimensions[name] > 1 else 4) for name, factor in resnet.items())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("network", ARCHITECTURES)
def test_every_parameter_is_in_one_group(network, parametrization, optimizer):
    model, described = fresh(network, parametrization), spec(network, parametrization)
    groups = parameter_groups(model, described, optimizer, lr=0.1, weight_decay=0.01)
    assert sorted(id(p) for group in groups for p in group["params"]) == sorted(map(id, model.parameters()))
    for group in groups:
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.001)
    if parametrization != "mup":
        assert [(group["lr"], group["weight_decay"]) for group in groups] == [(0.1, 0.01)]

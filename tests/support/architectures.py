"""This repository's own networks, each with its keys, and their parametrizations."""

from typing import Any

import torch

from reactivation.ntk.guards import in_default
from reactivation.training.networks import build

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "cnn": {"name": "cnn"},
    "mlp": {"name": "mlp", "depth": 2, "activation": "relu"},
    "mlp, tanh": {"name": "mlp", "depth": 1, "activation": "tanh"},
    "mlp, gelu": {"name": "mlp", "depth": 3, "activation": "gelu"},
    "rnn": {"name": "rnn"},
    "resnet18, batch norm": {"name": "resnet18", "norm": "batch"},
    "resnet18, group norm": {"name": "resnet18", "norm": "group"},
}
PARAMETRIZATIONS = ("pytorch", "standard", "ntk", "mup")


def spec(network, parametrization, width=6, base_width=4):
    base = {"base_width": base_width} if parametrization == "mup" else {}
    return {**ARCHITECTURES[network], "width": width, "parametrization": parametrization, **base}


def fresh(network, parametrization="pytorch", width=6, seed=0, base_width=4, image_size=8, classes=3):
    torch.manual_seed(seed)
    with in_default(torch.float64):
        return build(spec(network, parametrization, width, base_width), image_size, classes)

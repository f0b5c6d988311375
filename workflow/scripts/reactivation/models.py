"""The networks."""

from typing import Any

from torch import nn


def cnn(width: int, image_size: int, classes: int) -> nn.Module:
    """The paper's network (Reactivation, App. B.1): three convolutions and poolings, one linear layer, ReLU.

    Images (n, 3, image_size, image_size) -> logits (n, classes). Width is the channels of every convolution.
    """
    layers: list[nn.Module] = []
    for channels in (3, width, width):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * (image_size // 8) ** 2, classes))


MODELS = {"cnn": cnn}


def build(spec: dict[str, Any], image_size: int, classes: int) -> nn.Module:
    """The network that `spec`, an experiment's `model`, describes, freshly initialised from torch's global stream."""
    options = {key: value for key, value in spec.items() if key != "name"}
    return MODELS[spec["name"]](**options, image_size=image_size, classes=classes)

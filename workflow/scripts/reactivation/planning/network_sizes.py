"""Sizes of the networks in training/networks.py, from their keys alone: the basis of budgets and of cluster requests.

Nothing here needs torch, which takes seconds to import and which Snakemake's own environment need not have. A test
compares every network here with the one that torch builds.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from reactivation.errors import InputError

FLOAT = 4  # bytes of a float32, the type of weights


@dataclass(frozen=True)
class Layer:
    """A linear or convolutional layer, for one image."""

    fan_in: int  # products that are summed to one output
    channels: int  # outputs at each position
    positions: int = 1  # positions at which its weights are used
    others: int = 0  # other numbers, counted in float32: biases, a normalization after it

    @property
    def weights(self) -> int:
        return self.fan_in * self.channels

    @property
    def outputs(self) -> int:
        return self.channels * self.positions


@dataclass(frozen=True)
class Network:
    """A network, for one image. Operations count a multiplication and an addition as two."""

    layers: tuple[Layer, ...]
    classes: int

    @property
    def bytes(self) -> int:
        """Bytes of parameters and buffers."""
        return FLOAT * sum(layer.weights + layer.others for layer in self.layers)

    @property
    def forward(self) -> int:
        return 2 * sum(layer.weights * layer.positions for layer in self.layers)

    @property
    def both(self) -> int:
        """Operations of a forward and a backward pass; the images themselves need no gradient."""
        return 3 * self.forward - 2 * self.layers[0].weights * self.layers[0].positions

    @property
    def expanded(self) -> int:
        """The same for its first-order expansion: the network, the change of its outputs, passes back through it."""
        return 5 * self.forward - 4 * self.layers[0].weights * self.layers[0].positions

    @property
    def outputs(self) -> int:
        """Numbers that all layers put out."""
        return sum(layer.outputs for layer in self.layers)


def network(model: Mapping[str, Any], image_size: int, classes: int) -> Network:
    """The network that an experiment's `model` describes, for three colours and one logit per class.

    InputError if its name is not in LAYERS.
    """
    if model["name"] not in LAYERS:
        raise InputError(
            f"network_sizes.py has no layers of {model['name']}: add them to LAYERS, for budgets and cluster requests"
        )
    layers = LAYERS[model["name"]]
    own = {
        key: model[key] for key in inspect.signature(layers).parameters if key not in ("width", "image_size", "classes")
    }
    return Network(tuple(layers(model["width"], image_size, classes, **own)), classes)


def cnn(width: int, image_size: int, classes: int) -> Iterator[Layer]:
    for halvings, channels in enumerate((3, width, width)):
        yield Layer(9 * channels, width, (image_size >> halvings) ** 2, others=width)
    yield Layer(width * (image_size >> 3) ** 2, classes, others=classes)


def cnn_bn(width: int, image_size: int, classes: int, channels: int) -> Iterator[Layer]:
    size = image_size
    for into, side, halved in ((3, 5, False), (channels, 3, True), (channels, 3, False), (channels, 3, False)):
        size -= side - 1
        # Biases, scales and shifts; means, variances, and a count of batches in 8 bytes.
        yield Layer(side**2 * into, channels, size**2, others=5 * channels + 2)
        size //= 1 + halved
    for features, units in ((channels * size**2, width), (width, width), (width, classes)):
        yield Layer(features, units, others=units)


def mlp(width: int, image_size: int, classes: int, depth: int, activation: str) -> Iterator[Layer]:
    for features in (3 * image_size**2, *[width] * (depth - 1)):
        yield Layer(features, width, others=width)
    yield Layer(width, classes, others=classes)


def rnn(width: int, image_size: int, classes: int) -> Iterator[Layer]:
    yield Layer(3 * image_size, width, image_size, others=width)
    yield Layer(width, width, image_size - 1)
    yield Layer(width, classes, others=classes)


def resnet18(width: int, image_size: int, classes: int, norm: str) -> Iterator[Layer]:
    def normalized(fan_in: int, channels: int) -> Layer:
        # Scales and shifts; for batch also means, variances, and a count of batches in 8 bytes.
        return Layer(fan_in, channels, size**2, others=4 * channels + 2 if norm == "batch" else 2 * channels)

    size, channels = image_size, width
    yield normalized(27, width)
    for stage in range(4):
        out = width << stage
        if stage:
            size = (size + 1) // 2
        for into, first in ((channels, stage > 0), (out, False)):
            yield normalized(9 * into, out)
            yield normalized(9 * out, out)
            if first:
                yield normalized(into, out)
        channels = out
    yield Layer(channels, classes, others=classes)


LAYERS: dict[str, Callable[..., Iterator[Layer]]] = {
    "cnn": cnn,
    "cnn_bn": cnn_bn,
    "mlp": mlp,
    "rnn": rnn,
    "resnet18": resnet18,
}

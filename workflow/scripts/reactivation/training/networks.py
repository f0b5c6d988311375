"""The networks, and how their initialisation, forward pass and learning rates depend on the width.

Every network turns images (n, 3, image_size, image_size) into logits (n, classes), for image sizes of 8 and more
(`cnn_bn`: 16). A parametrization applies to the nn.Linear and nn.Conv2d modules of any network. A network's outermost
modules are its layers: kernels, metrics and figures use their names, which are numbers in an nn.Sequential without
names.
"""

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU}


# -------------------------------------------------------------------------------------------------- networks
def cnn(width: int, image_size: int, classes: int) -> nn.Module:
    """The paper's network (Reactivation, App. B.1): three convolutions and poolings, one linear layer, ReLU.

    Width is the channels of every convolution.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, channels in enumerate((3, width, width), start=1):
        # Pooled before ReLU, not after: the same function and gradient, and ReLU has a quarter of the work.
        layers[f"conv{i}"] = nn.Conv2d(channels, width, 3, padding=1)
        layers |= {f"pool{i}": nn.MaxPool2d(2), f"activation{i}": nn.ReLU()}
    layers |= {"flatten": nn.Flatten(), "head": nn.Linear(width * (image_size // 8) ** 2, classes)}
    return nn.Sequential(layers)


def cnn_bn(width: int, image_size: int, classes: int, channels: int) -> nn.Module:
    """Four convolutions without padding, batch normalization and ReLU after each; two hidden layers of `width` units.

    The network of the authors' earlier course project. Images of 16 pixels are the smallest that it can take.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (into, side) in enumerate(((3, 5), (channels, 3), (channels, 3), (channels, 3)), start=1):
        layers |= {f"conv{i}": nn.Conv2d(into, channels, side), f"norm{i}": nn.BatchNorm2d(channels)}
        layers[f"activation{i}"] = nn.ReLU()
        if i == 2:
            layers["pool"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    features = channels * ((image_size - 6) // 2 - 4) ** 2
    for i, units in enumerate((features, width), start=1):
        layers |= {f"hidden{i}": nn.Linear(units, width), f"activation{i + 4}": nn.ReLU()}
    return nn.Sequential(layers | {"head": nn.Linear(width, classes)})


def mlp(width: int, image_size: int, classes: int, depth: int, activation: str) -> nn.Module:
    """`depth` hidden layers of `width` units on the flattened image, and one linear layer."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for i, features in enumerate((3 * image_size**2, *[width] * (depth - 1)), start=1):
        layers |= {f"hidden{i}": nn.Linear(features, width), f"activation{i}": ACTIVATIONS[activation]()}
    return nn.Sequential(layers | {"head": nn.Linear(width, classes)})


class RNN(nn.Module):
    """Elman's network (1990) reading an image from top to bottom, and one linear layer on its last hidden state.

    h_t = tanh(U x_t + b + W h_{t−1}), h_0 = 0, where x_t (3 · image_size,) is the t-th row, its three colours one after
    the other. Unlike nn.RNN it has one bias, not two of which only the sum counts. Width is the size of h.
    """

    def __init__(self, width: int, image_size: int, classes: int):
        super().__init__()
        self.input_to_hidden = nn.Linear(3 * image_size, width)
        self.hidden_to_hidden = nn.Linear(width, width, bias=False)
        self.head = nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        rows = self.input_to_hidden(images.transpose(1, 2).flatten(2))
        hidden = torch.tanh(rows[:, 0])
        for t in range(1, rows.shape[1]):
            hidden = torch.tanh(rows[:, t] + self.hidden_to_hidden(hidden))
        return self.head(hidden)


def group_norm(channels: int) -> nn.Module:
    """Groups of at least 16 channels, but 32 groups at most: the two choices of Wu and He (2018, arXiv 1803.08494).

    Smaller groups would erase small images, which are single pixels in the last stage. If 32 does not divide the number
    of channels, there is one group, or a few.
    """
    return nn.GroupNorm(max(1, math.gcd(512, channels) // 16), channels)


NORMS: dict[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm2d, "group": group_norm}


class BasicBlock(nn.Module):
    """relu(x' + norm(conv(relu(norm(conv(x)))))), x' = x, or norm(conv1×1(x)) where the shape changes."""

    def __init__(self, channels: int, out: int, stride: int, norm: str):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.norm1 = NORMS[norm](out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm2 = NORMS[norm](out)
        self.shortcut = nn.Sequential()
        if stride > 1 or channels != out:
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), NORMS[norm](out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.shortcut(x) + self.norm2(self.conv2(y)))


def resnet18(width: int, image_size: int, classes: int, norm: str) -> nn.Module:
    """ResNet-18 (He et al. 2016, arXiv 1512.03385) with the stem usual for CIFAR: one 3×3 convolution, no pooling.

    Four stages of two blocks with `width`, 2, 4 and 8 times as many channels; the usual network has width 64.
    """
    stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), NORMS[norm](width), nn.ReLU())
    layers: OrderedDict[str, nn.Module] = OrderedDict(stem=stem)
    channels = width
    for i in range(4):
        out = width << i
        blocks = BasicBlock(channels, out, 1 + (i > 0), norm), BasicBlock(out, out, 1, norm)
        layers[f"stage{i + 1}"] = nn.Sequential(*blocks)
        channels = out
    layers |= {"pool": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "head": nn.Linear(channels, classes)}
    return nn.Sequential(layers)


MODELS: dict[str, Callable[..., nn.Module]] = {
    "cnn": cnn,
    "cnn_bn": cnn_bn,
    "mlp": mlp,
    "rnn": RNN,
    "resnet18": resnet18,
}


def layer_names(model: nn.Module) -> list[str]:
    """The names of the layers: the outermost modules that have parameters, in the order of the network."""
    return list(dict.fromkeys(layer_of(name) for name, _ in model.named_parameters()))


def layer_of(name: str) -> str:
    """The layer of the parameter or module `name`."""
    return name.partition(".")[0]


# ------------------------------------------------------------------------------------------ parametrizations
def build(spec: Mapping[str, Any], image_size: int, classes: int) -> nn.Module:
    """The network that `spec`, an experiment's `model`, describes, freshly initialised from torch's global stream.

    fan_in is the number of products that are summed to one output of a layer. The parametrization is one of

    pytorch    PyTorch's own: weights and biases uniform in ±1/√fan_in.
    standard   Weights N(0, 2/fan_in) (Kaiming normal: He et al. 2015, arXiv 1502.01852, Eq. 10), in every layer and for
               every activation; biases 0. The kernel grows with the width, so lr has to fall with it.
    ntk        The same function: weights N(0, 1), and each layer multiplies by √(2/fan_in) (Jacot et al. 2018, arXiv
               1806.07572, Sec. 3, with He's gain); biases 0. The kernel has a limit for infinite width.
    mup        The maximal update parametrization, see optimizer.py: `standard`, except that the std of the output
               weights is √(base_width/width) times as large. It is `standard` at the base width.

    Normalizations always start with weights 1 and biases 0.
    """
    parametrization, model = spec["parametrization"], _architecture(spec, spec["width"], image_size, classes)
    if parametrization == "pytorch":
        return model
    grows = growing(spec) if parametrization == "mup" else {}
    for name, layer in model.named_modules():
        if not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        std = math.sqrt(2 / math.prod(layer.weight.shape[1:]))
        if grows.get(f"{name}.weight") == (False, True):
            std /= math.sqrt(spec["width"] / spec["base_width"])
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        nn.init.normal_(layer.weight, std=1 if parametrization == "ntk" else std)
        if parametrization == "ntk":
            # Multiplies the input, not the weight: the kernel recognises a layer by its own parameters.
            layer.register_forward_pre_hook(partial(_multiply_input, std))
    return model


def _architecture(spec: Mapping[str, Any], width: int, image_size: int, classes: int) -> nn.Module:
    """The network of `spec` at `width`, as PyTorch initialises it. Its own keys are the parameters of its function."""
    make, sizes = MODELS[spec["name"]], {"width": width, "image_size": image_size, "classes": classes}
    return make(**sizes, **{key: spec[key] for key in inspect.signature(make).parameters if key not in sizes})


def growing(spec: Mapping[str, Any]) -> dict[str, tuple[bool, bool]]:
    """Whether fan_out and fan_in of each parameter grow with the width, that is, differ at twice the width.

    Neither the size of the images nor the number of classes matters here.
    """
    with torch.device("meta"):  # shapes without values; draws nothing
        here, wider = (
            dict(_architecture(spec, w, 16, 1).named_parameters()) for w in (spec["width"], 2 * spec["width"])
        )
    differs = {name: [a != b for a, b in zip(p.shape, wider[name].shape, strict=True)] for name, p in here.items()}
    return {name: (dimensions[0], any(dimensions[1:2])) for name, dimensions in differs.items()}


def _multiply_input(factor: float, layer: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return inputs[0] * factor

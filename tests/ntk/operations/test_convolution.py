"""Convolutions in one and two dimensions, with all their arguments."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from operation_cases import assert_right, assert_taken_apart, of
from sample_networks import image, network

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


def picture():
    return image(7, 3)


def series():
    return torch.randn(3, 4, 11)


def conv(*args, **options):
    return lambda: nn.Conv2d(*args, **options)


def mean(z):
    return torch.tanh(z).flatten(2).mean(2)


def two(x=picture, **options):
    """A convolution of these options between two others: its input needs a gradient."""
    made = lambda: nn.Conv2d(4, 6, **{"kernel_size": 3} | options)  # noqa: E731
    return of(lambda m, x: m["h"](mean(m["b"](torch.relu(m["a"](x))))), x, a=conv(3, 4, 1), b=made, h=linear)


def linear():
    return nn.Linear(6, 3)


def functional(run, **parts):
    return of(lambda m, x: m["h"](mean(run(m, x))), picture, **{"a": conv(3, 6, 3), "h": linear} | parts)


WINDOWS = {
    "plain": {},
    "one pixel": {"kernel_size": 1},
    "one pixel in two": {"kernel_size": 1, "stride": 2},
    "even": {"kernel_size": 2},
    "oblong": {"kernel_size": (1, 3)},
    "upright, oblong steps": {"kernel_size": (3, 2), "stride": (2, 1)},
    "strides that leave pixels out": {"kernel_size": 2, "stride": 4},
    "padding": {"padding": 1},
    "much padding": {"kernel_size": 2, "padding": 3},
    "padding above": {"padding": (2, 0)},
    "same": {"padding": "same"},
    "same, even": {"kernel_size": (2, 4), "padding": "same"},
    "same, dilated": {"kernel_size": 2, "padding": "same", "dilation": (3, 1)},
    "valid": {"padding": "valid"},
    "dilated": {"dilation": 2},
    "dilated and strided": {"dilation": (1, 2), "stride": 2, "padding": (0, 2)},
    "without bias": {"bias": False},
    "groups": {"groups": 2},
    "groups, strided": {"groups": 2, "stride": 2, "padding": 1, "bias": False},
    "groups, same": {"groups": 2, "kernel_size": 2, "padding": "same"},
    "as large as the image": {"kernel_size": 7},
    "reflected": {"padding": 1, "padding_mode": "reflect"},
    "round": {"padding": (1, 2), "padding_mode": "circular"},
    "replicated": {"padding": 1, "padding_mode": "replicate"},
}


@pytest.mark.parametrize("name", WINDOWS)
def test_windows_of_every_form(name, caplog):
    assert_taken_apart(two(**WINDOWS[name]), caplog)


LINES = [
    {"kernel_size": 3},
    {"kernel_size": 4, "stride": 3, "padding": 2, "dilation": 2},
    {"kernel_size": 2, "padding": "same", "bias": False},
    {"kernel_size": 3, "groups": 2},
    {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
]


@pytest.mark.parametrize("options", LINES, ids=str)
def test_one_dimension(options, caplog):
    run = lambda m, x: m["h"](mean(m["b"](torch.relu(m["a"](x)))))  # noqa: E731
    parts = {"a": lambda: nn.Conv1d(4, 4, 1), "b": lambda: nn.Conv1d(4, 6, **options), "h": linear}
    assert_taken_apart(of(run, series, **parts), caplog)


@pytest.mark.parametrize("multiplier, stride, first", itertools.product([1, 2], [1, 2], [False, True]))
def test_depthwise_with_and_without_a_multiplier(multiplier, stride, first, caplog):
    deep = nn.Conv2d(3, 3 * multiplier, 3, stride, 1, groups=3)
    before = [] if first else [nn.Conv2d(3, 3, 1), nn.ReLU()]
    assert_taken_apart(lambda: (network(*before, deep, nn.ReLU(), nn.Conv2d(3 * multiplier, 4, 1)), picture()), caplog)


CALLED = {
    "functional": functional(lambda m, x: F.conv2d(x, m["a"].weight, m["a"].bias)),
    "functional, by name": functional(
        lambda m, x: F.conv2d(input=x, weight=m["a"].weight, bias=m["a"].bias, stride=2, padding=(1,), dilation=1)
    ),
    "functional, in order": functional(lambda m, x: torch.conv2d(x, m["a"].weight, m["a"].bias, 2, 1, 1, 1)),
    "one number for two": functional(lambda m, x: F.conv2d(x, m["a"].weight, None, (2,), (1,), (1,))),
    "lists": functional(lambda m, x: F.conv2d(x, m["a"].weight, None, [2, 1], [1, 0])),
    "bias by hand": functional(lambda m, x: F.conv2d(x, m["a"].weight) + m["a"].bias[:, None, None]),
    "used twice": functional(
        lambda m, x: m["b"](torch.relu(m["b"](torch.relu(m["a"](x))))), b=conv(6, 6, 3, padding=1)
    ),
    "used at two sizes": functional(lambda m, x: mean(m["a"](x))[..., None] + mean(m["a"](x[..., ::2]))[..., None]),
    "used in two ways": functional(
        lambda m, x: (
            F.conv2d(x, m["a"].weight, stride=2, padding=1) + F.conv2d(x, m["a"].weight).mean((2, 3), keepdim=True)
        )
    ),
    "standardized": functional(
        lambda m, x: F.conv2d(x, (m["a"].weight - m["a"].weight.mean((1, 2, 3), keepdim=True)) * 3, m["a"].bias)
    ),
    "weight norm": functional(
        lambda m, x: m["a"](x), a=lambda: parametrizations.weight_norm(nn.Conv2d(3, 6, 3, padding=1))
    ),
    "grouped, computed": functional(
        lambda m, x: F.conv2d(x, m["a"].weight * 2, groups=3), a=lambda: nn.Conv2d(3, 6, 3, groups=3)
    ),
    "flipped filter": functional(lambda m, x: F.conv2d(x, m["a"].weight.flip(2, 3))),
    "channels last": functional(lambda m, x: m["a"](x.to(memory_format=torch.channels_last))),
    "frozen filter": functional(lambda m, x: F.conv2d(x, m["a"].weight.detach(), m["a"].bias)),
    "changed in place": functional(lambda m, x: m["a"](x).mul_(2).relu_()),
    "cut out": functional(lambda m, x: m["a"](x[:, :, 1:, ::2].roll(1, 2))),
}


@pytest.mark.parametrize("name", CALLED)
def test_calls_of_every_form(name, caplog):
    assert_taken_apart(CALLED[name], caplog)


UPWARDS = [
    {},
    {"stride": 2},
    {"stride": (2, 1), "padding": (1, 0), "bias": False},
    {"stride": 3, "output_padding": (2, 1)},
    {"kernel_size": (3, 2), "dilation": 2, "padding": 1},
]


@pytest.mark.parametrize("options", UPWARDS, ids=str)
def test_transposed_convolutions(options, caplog):
    made = lambda: nn.ConvTranspose2d(4, 6, **{"kernel_size": 2} | options)  # noqa: E731
    run = lambda m, x: m["h"](mean(m["b"](torch.relu(m["a"](x)))))  # noqa: E731
    assert_taken_apart(of(run, lambda: image(4, 3), a=conv(3, 4, 1), b=made, h=linear), caplog)


VOLUMES = [
    {},
    {"kernel_size": (1, 2, 3), "stride": (1, 2, 1)},
    {"padding": (1, 0, 2), "bias": False},
    {"stride": 2, "padding": 1},
]


def volumes():
    return torch.randn(3, 2, 3, 4, 4)


@pytest.mark.parametrize("options", VOLUMES, ids=str)
def test_convolutions_over_volumes(options, caplog):
    made = lambda: nn.Conv3d(3, 6, **{"kernel_size": 2} | options)  # noqa: E731
    run = lambda m, x: m["h"](mean(m["b"](torch.relu(m["a"](x)))))  # noqa: E731
    assert_taken_apart(of(run, volumes, a=lambda: nn.Conv3d(2, 3, 1), b=made, h=linear), caplog)


OTHERWISE = {
    "transposed, groups": functional(lambda m, x: m["a"](x), a=lambda: nn.ConvTranspose2d(3, 6, 2, groups=3)),
    "transposed, no size of its own": functional(
        lambda m, x: m["a"](x, output_size=(15, 14)), a=lambda: nn.ConvTranspose2d(3, 6, 2, 2)
    ),
    "volumes, dilated": of(
        lambda m, x: m["h"](mean(m["a"](x))), volumes, a=lambda: nn.Conv3d(2, 6, 2, dilation=(1, 2, 1)), h=linear
    ),
    "volumes, groups": of(
        lambda m, x: m["h"](mean(m["a"](x))), volumes, a=lambda: nn.Conv3d(2, 6, 2, groups=2), h=linear
    ),
    "volumes, same": of(
        lambda m, x: m["h"](mean(m["a"](x))), volumes, a=lambda: nn.Conv3d(2, 6, 3, padding="same"), h=linear
    ),
    "transposed": functional(lambda m, x: m["a"](x), a=lambda: nn.ConvTranspose2d(3, 6, 2, 2, dilation=2)),
    "transposed, one dimension": of(
        lambda m, x: m["h"](mean(m["a"](x))), series, a=lambda: nn.ConvTranspose1d(4, 6, 3), h=linear
    ),
    "three dimensions": of(
        lambda m, x: m["h"](mean(m["a"](x))),
        lambda: torch.randn(3, 2, 3, 4, 4),
        a=lambda: nn.Conv3d(2, 6, 2, padding=1),
        h=linear,
    ),
    "unfolded by hand": functional(
        lambda m, x: (m["a"].weight.flatten(1) @ F.unfold(x, 3)).unflatten(2, (5, 5)) + m["a"].bias[:, None, None]
    ),
    "each sample by itself": functional(lambda m, x: torch.stack([m["a"](sample) for sample in x])),
    "samples folded with frames": of(
        lambda m, x: m["h"](mean(m["a"](x.flatten(0, 1))).unflatten(0, (len(x), -1)).mean(1)),
        lambda: torch.randn(3, 2, 3, 5, 5),
        a=conv(3, 6, 3),
        h=linear,
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_convolutions_are_right_too(name):
    assert_right(OTHERWISE[name])

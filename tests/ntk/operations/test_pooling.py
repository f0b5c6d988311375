"""Max pooling in all its forms; other poolings are left to autograd."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_taken_apart, of
from sample_networks import image


def pooled(pool, size=9):
    """A convolution, a pooling, another convolution."""
    run = lambda m, x: m["h"](torch.tanh(m["b"](pool(m["a"](x)))).flatten(2).mean(2))  # noqa: E731
    parts = {"a": lambda: nn.Conv2d(3, 5, 2), "b": lambda: nn.Conv2d(5, 6, 1), "h": lambda: nn.Linear(6, 3)}
    return of(run, lambda: image(size, 3), **parts)


def unpooled(z):
    values, at = F.max_pool2d(z, 2, return_indices=True)
    return F.max_unpool2d(values, at, 2)


POOLS = {
    "two": nn.MaxPool2d(2),
    "oblong": nn.MaxPool2d((2, 3)),
    "overlapping": nn.MaxPool2d(3, 1),
    "overlapping, padded": nn.MaxPool2d(3, 2, 1),
    "leaving pixels out": nn.MaxPool2d(2, 3),
    "dilated": nn.MaxPool2d(2, 1, dilation=3),
    "padded, dilated": nn.MaxPool2d((3, 2), (1, 2), (1, 0), (2, 1)),
    "to the ceiling": nn.MaxPool2d(3, 2, ceil_mode=True),
    "functional": lambda z: F.max_pool2d(z, 2, 1, 1),
    "functional, by name": lambda z: F.max_pool2d(input=z, kernel_size=2, stride=[2, 1]),
    "torch": lambda z: torch.max_pool2d(z, 2, 2),
    "with indices": lambda z: F.max_pool2d(z, 2, return_indices=True)[0],
    "undone": unpooled,
    "relu before": lambda z: F.max_pool2d(torch.relu(z), 2),
    "relu after": lambda z: torch.relu(F.max_pool2d(z, 2)),
    "twice": lambda z: F.max_pool2d(F.max_pool2d(z, 2, 1), 2),
    "twice, relus between": lambda z: torch.relu(F.max_pool2d(torch.relu(F.max_pool2d(torch.relu(z), 2, 1)), 3, 1)),
    "ties": lambda z: F.max_pool2d(F.hardtanh(z, -0.1, 0.1), 3, 1),
    "ties of zeros": lambda z: F.max_pool2d(torch.relu(z - 1), 3, 2, 1),
    "changed in place": lambda z: F.max_pool2d(z, 2).mul_(2).relu_(),
    "beside a mean": lambda z: F.max_pool2d(z, 2) + F.avg_pool2d(z, 2),
    "beside what it pools": lambda z: torch.cat([F.max_pool2d(z, 3, 1, 1), z], 2),
    "mean": nn.AvgPool2d(3, 2, 1, count_include_pad=False),
    "adaptive mean": nn.AdaptiveAvgPool2d((2, 3)),
    "adaptive max": nn.AdaptiveMaxPool2d(2),
    "all at once": lambda z: z.amax((2, 3), keepdim=True),
    "max by hand": lambda z: z.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)),
    "power": nn.LPPool2d(3, 2),
    "one dimension": lambda z: F.max_pool1d(z.flatten(2), 3)[:, :, None],
    "mean of one dimension": lambda z: F.avg_pool1d(z.flatten(2), 3)[:, :, None],
    "three dimensions": lambda z: F.max_pool3d(z[:, :, None], (1, 2, 2))[:, :, 0],
    "lines and columns crossed": lambda z: F.max_pool2d(z.transpose(2, 3), (2, 1)),
    "what is no channel": lambda z: F.max_pool2d(z.permute(0, 2, 3, 1), 2, 1, 1)[..., :5].permute(0, 3, 1, 2),
    "larger": nn.Upsample(scale_factor=2),
    "larger, smoothly": nn.Upsample(scale_factor=2, mode="bilinear"),
    "pixels and channels exchanged": lambda z: F.pixel_unshuffle(F.pad(z, (0, 0, 0, 0)), 2)[:, ::4],
}


@pytest.mark.parametrize("name", POOLS)
def test_poolings_are_taken_apart(name, caplog):
    assert_taken_apart(pooled(POOLS[name]), caplog)


def test_a_pooling_first_is_left_as_it_is(caplog):
    run = lambda m, x: m["h"](torch.relu(m["a"](F.max_pool2d(x, 2))).mean((2, 3)))  # noqa: E731
    parts = {"a": lambda: nn.Conv2d(3, 5, 2), "h": lambda: nn.Linear(5, 3)}
    assert_taken_apart(of(run, lambda: image(6, 3), **parts), caplog)

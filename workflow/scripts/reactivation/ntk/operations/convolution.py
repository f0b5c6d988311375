"""Convolutions in two dimensions, and in one, which are convolutions over images one pixel high."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_input

from reactivation.ntk import sparse
from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.rules import FASTER, exact, opens, takes_apart
from reactivation.ntk.windows import Window
from reactivation.ntk.winograd import convolve


@exact(torch.conv1d, torch.conv2d, table=FASTER)
def in_float64(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """The convolution in float64, faster than torch's."""
    if input.dim() != weight.dim() or isinstance(padding, str):
        function = torch.conv2d if weight.dim() == 4 else torch.conv1d
        return function(input, weight, bias, stride, padding, dilation, groups)
    window, line = _window(weight, stride, padding, dilation, groups)
    x, w = (t.unsqueeze(2) if line else t for t in (input, weight))
    z = convolve(x, w, bias, window)
    return z.squeeze(2) if line else z


@takes_apart(torch.conv1d, torch.conv2d)
def convolution(capture, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    if (
        input.dim() != weight.dim()
        or len(input) != capture.samples
        or not capture.of_samples(input)
        or not capture.fixed(weight, bias)
    ):
        return NotImplemented
    (z,) = capture.values()
    if isinstance(padding, str):  # "same" may pad one more after than before: pad in autograd's graph
        input, padding = _padded(input, weight, dilation, padding), 0
    window, line = _window(weight, stride, padding, dilation, groups)
    x, w = (t.detach().unsqueeze(2) if line else t.detach() for t in (input, weight))
    if line:
        z = z.unsqueeze(2)
    seen = x.permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
    uses = capture.uses(weight, "weight", seen, window) + capture.uses(bias, "bias")
    sources = [(input, 1)] if input.requires_grad else []
    pull = partial(_pull, w, window, tuple(x.shape[2:]))
    return capture.node(z.squeeze(2) if line else z, pull, sources, uses, 1)


def _padded(input: Tensor, weight: Tensor, dilation: int | tuple[int, ...], padding: str) -> Tensor:
    kernel = weight.shape[2:]
    dilations = (dilation,) * len(kernel) if isinstance(dilation, int) else tuple(dilation)
    spare = [d * (k - 1) * (padding == "same") for d, k in zip(dilations, kernel, strict=True)]
    return F.pad(input, [side for s in reversed(spare) for side in (s // 2, s - s // 2)])


def _window(weight: Tensor, stride, padding, dilation, groups: int) -> tuple[Window, bool]:
    """The window of a convolution's arguments, and whether it has only one dimension."""
    line = weight.dim() == 3
    stride, padding, dilation = (
        _two(value, first, line) for value, first in ((stride, 1), (padding, 0), (dilation, 1))
    )
    return Window(_two(weight.shape[2:], 1, line), stride, padding, dilation, groups), line


def _two(value, first: int, line: bool) -> tuple[int, int]:
    """An option of a convolution for both dimensions; a line has `first` in the first one."""
    values = (value, value) if isinstance(value, int) else (*value, *value)
    return (first, values[0]) if line else (values[0], values[1])


def _pull(weight: Tensor, window: Window, size: tuple[int, int], cotangent: Cotangent) -> list[Cotangent]:
    """Carry a cotangent from a convolution's output to its input of `size` (H, W).

    `weight` (O, channels / groups, h, w) is the filter.
    """
    n, classes = cotangent.values.shape[:2]
    entries = cotangent.entries("position") if window.groups == 1 else None
    if entries is None:
        z = cotangent.dense().flatten(0, 1).unflatten(1, window.output(*size)).permute(0, 3, 1, 2)
        shape = (n * classes, weight.shape[1] * window.groups, *size)
        options = (window.stride, window.padding, window.dilation, window.groups)
        x = conv2d_input(shape, weight, z, *options).permute(0, 2, 3, 1)
        return [Cotangent(x.reshape(n, classes, math.prod(size), -1), math.prod(size))]
    x = weight.new_zeros(n, classes, math.prod(size), weight.shape[1])
    for tap, target in zip(weight.permute(2, 3, 0, 1).flatten(0, 1).contiguous(), window.targets(*size), strict=True):
        sparse.multiply(entries, tap[None], target, x)
    return [Cotangent(x, math.prod(size))]


@opens(torch.conv3d)
def conv3d(mode, input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """A convolution over volumes, as a linear layer on its patches."""
    if groups > 1 or isinstance(padding, str) or input.dim() != 5 or any(d != 1 for d in _three(dilation)):
        return NotImplemented
    with mode:
        x = F.pad(input, [side for p in reversed(_three(padding)) for side in (p, p)])
        for axis, size, step in zip((2, 3, 4), weight.shape[2:], _three(stride), strict=True):
            x = x.unfold(axis, size, step)
        x = x.permute(0, 2, 3, 4, 1, 5, 6, 7).flatten(4)
        return F.linear(x, weight.flatten(1), bias).movedim(-1, 1)


@opens(torch.conv_transpose2d)
def conv_transpose2d(mode, input, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """A transposed convolution, as a linear layer whose outputs are patches that are added up."""
    if groups > 1 or input.dim() != 4:
        return NotImplemented
    kernel = tuple(weight.shape[2:])
    stride, padding, extra, dilation = (
        (v, v) if isinstance(v, int) else v for v in (stride, padding, output_padding, dilation)
    )
    size = [
        (length - 1) * s - 2 * p + d * (k - 1) + e + 1
        for length, s, p, d, k, e in zip(input.shape[2:], stride, padding, dilation, kernel, extra, strict=True)
    ]
    with mode:
        x = input.flatten(2).transpose(1, 2) @ weight.flatten(1)
        z = F.fold(x.transpose(1, 2), tuple(size), kernel, dilation, padding, stride)
        return z if bias is None else z + bias[:, None, None]


def _three(value) -> tuple[int, ...]:
    return (value,) * 3 if isinstance(value, int) else tuple(value) * (3 // len(value))

"""Element-wise functions: each output depends on one input. All logits pass back by one product with the derivative."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.graph import Values, backward, positions
from reactivation.ntk.rules import opens, takes_apart

# Functions in place return their input. They change it, so that its graph must be that of the output.
IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_, Tensor.sigmoid_, Tensor.tanh_, torch.sigmoid_, torch.tanh_}


@takes_apart(F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)
def relu(capture, input, inplace=False):
    """A ReLU, whose cotangents are known to be zero where the output is."""
    return _masked(capture, input, inplace, lambda z: ~(z <= 0))  # a NaN passes, as in autograd


@takes_apart(F.relu6)
def relu6(capture, input, inplace=False):
    return _masked(capture, input, inplace, lambda z: ~((z <= 0) | (z >= 6)))


@takes_apart(F.hardtanh)
def hardtanh(capture, input, min_val=-1.0, max_val=1.0, inplace=False):
    return _masked(capture, input, inplace, lambda z: ~((z <= min_val) | (z >= max_val)))


def _masked(capture, input: Tensor, inplace: bool, passes: Callable[[Tensor], Tensor]):
    """A function that passes some of its inputs and replaces others by constants; `passes` tells by its output."""
    inplace = inplace or capture.call[0] in IN_PLACE
    channel = capture.channel(input)
    if not channel or not _possible(capture, input, inplace):
        return NotImplemented
    z = capture.values()[0]
    alive = positions(passes(z), channel, capture.samples).contiguous()
    sources = [(input, channel)]
    return capture.node(_written(input, z) if inplace else z, partial(_pull_masked, alive), sources, (), channel)


def _possible(capture, input: Tensor, inplace: bool) -> bool:
    return input.requires_grad and capture.varies(input) and not (inplace and (input._is_view() or input.is_leaf))


def _written(input: Tensor, z: Tensor) -> Tensor:
    """The input, holding the output: what an operation in place returns."""
    input.data.copy_(z)
    return input


def _pull_masked(alive: Tensor, cotangent: Cotangent) -> list[Cotangent]:
    return [cotangent.masked(alive)]


@takes_apart(
    F.gelu, F.silu, F.mish, F.elu, F.selu, F.celu, F.softplus, F.logsigmoid, F.softsign, F.leaky_relu, F.tanhshrink,
    F.hardswish, F.hardsigmoid, F.sigmoid, F.tanh, torch.sigmoid, Tensor.sigmoid, torch.tanh, Tensor.tanh,
    Tensor.sigmoid_, Tensor.tanh_, torch.sigmoid_, torch.tanh_, torch.erf, Tensor.erf, torch.sin, torch.cos, torch.exp,
    Tensor.exp, torch.square, Tensor.square, torch.rsqrt, Tensor.rsqrt, torch.sqrt, Tensor.sqrt,
)  # fmt: skip
def smooth(capture, input, *args, inplace=False, **kwargs):
    """An element-wise function, whose derivative torch says."""
    func = capture.call[0]
    inplace = inplace or func in IN_PLACE
    if not _possible(capture, input, inplace):
        return NotImplemented
    with torch.enable_grad():
        x = input.detach().clone().requires_grad_()
        y = func(x * 1 if func in IN_PLACE else x, *args, **kwargs)
        (slope,) = backward(get_gradient_edge(y), torch.ones_like(y), (get_gradient_edge(x),))
        assert slope is not None, "the function depends on its input"
    z = capture.values()[0]  # which may be the input, from now on
    channel = capture.channel(input)
    if channel:
        slope = positions(slope, channel, capture.samples)[:, None]
    sources = [(input, channel)]
    return capture.node(_written(input, z) if inplace else z, partial(_pull_smooth, slope), sources, (), channel)


def _pull_smooth(slope: Tensor, values: Values) -> list[Values]:
    if isinstance(values, Cotangent):
        return [Cotangent(values.dense() * slope, values.length)]
    return [values * slope]


@opens(torch.prelu)
def prelu(mode, input, weight):
    """x where it is positive, weight · x elsewhere; the weight is that of a channel, or of all."""
    if input.dim() < 2:
        return NotImplemented
    with mode:
        factor = weight.view(-1, *[1] * (input.dim() - 2))
        return torch.where(input > 0, input, factor * input)

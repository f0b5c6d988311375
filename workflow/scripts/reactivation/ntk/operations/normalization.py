"""Normalizations: normal · weight + bias, channel by channel, where `normal` has its mean and its scale taken out.

Batch norm takes out fixed numbers. The others take those of the sample itself, over all positions of a group of
channels (group and instance norm) or over the channels of a position (layer and RMS norm).
"""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.exact import More
from reactivation.ntk.graph import positions
from reactivation.ntk.rules import exact, opens, takes_apart


def _affine(normal: Tensor, weight: Tensor | None, bias: Tensor | None, channel: int) -> Tensor:
    shape = [1] * normal.dim()
    shape[channel] = -1
    z = normal if weight is None else normal * weight.view(shape)
    z = z if bias is None else z + bias.view(shape)
    return z.clone() if z is normal else z


# ---------------------------------------------------------------------------------------------------------- batch norm
@exact(F.batch_norm)
def batch_norm_in_float64(
    input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    if training or running_mean is None:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    shape = (-1,) + (1,) * (input.dim() - 2)
    factor = (running_var + eps).rsqrt()
    normal = (input - running_mean.view(shape)) * factor.view(shape)
    return More((_affine(normal, weight, bias, 1), normal, factor))


@takes_apart(F.batch_norm)
def batch_norm(capture, input, running_mean, running_var, weight=None, bias=None, training=False, *args, **kwargs):
    if not capture.of_samples(input) or not capture.fixed(running_mean, running_var, weight, bias):
        return NotImplemented
    if (
        input.dim() < 2
        or not capture.by_sample(input)
        or any(t is not None and t.requires_grad for t in (running_mean, running_var))
    ):
        return NotImplemented
    z, normal, factor = capture.values()
    factor = factor if weight is None else factor * weight.detach()
    uses = capture.uses(weight, "scale", positions(normal, 1, capture.samples)) + capture.uses(bias, "bias")
    sources = [(input, 1)] if input.requires_grad else []
    return capture.node(z, partial(_pull_scale, factor), sources, uses, 1)


def _pull_scale(factor: Tensor, cotangent: Cotangent) -> list[Cotangent]:
    """Carry a cotangent from the output of y = factor · x, channel by channel, to its input."""
    values = cotangent.values * factor
    return [Cotangent(values, cotangent.length, cotangent.position, cotangent.alive)]


@opens(torch.batch_norm, mends=True)
def builtin_batch_norm(mode, input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    with mode:
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


@opens(F.batch_norm, mends=True)
def batch_norm_of_the_batch(
    mode, input, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5
):
    """A batch norm with the statistics of its input, which may be a weight.

    Torch's own backward pass is wrong on a CPU for a batch of one whose gradient is a transposed view.
    """
    if not training and running_mean is not None:
        return NotImplemented
    with mode:
        dims = [d for d in range(input.dim()) if d != 1]
        variance, mean = torch.var_mean(input, dims, correction=0, keepdim=True)
        return _affine((input - mean) * (variance + eps).rsqrt(), weight, bias, 1)


# ------------------------------------------------------------------------------------ norms of a sample's own numbers
def _normal(x: Tensor, dims: tuple[int, ...], eps: float, centred: bool = True) -> tuple[Tensor, Tensor]:
    """x with mean 0 and variance 1 over `dims`, and the factor by which it was scaled."""
    x = x - x.mean(dims, keepdim=True) if centred else x
    factor = (x.square().mean(dims, keepdim=True) + eps).rsqrt()
    return x * factor, factor


@exact(F.layer_norm)
def layer_norm_in_float64(input, normalized_shape, weight=None, bias=None, eps=1e-5):
    dims = tuple(range(-len(normalized_shape), 0))
    normal, factor = _normal(input, dims, eps)
    z = normal.clone() if weight is None else normal * weight
    return More((z if bias is None else z + bias, normal, factor))


@opens(F.rms_norm, torch.rms_norm, mends=True)
def rms_norm_of_its_precision(mode, input, normalized_shape, weight=None, eps=None):
    """Without a stated ε, torch takes that of the network's precision, also where this runs in another."""
    if eps is not None:
        return NotImplemented
    with mode:
        return F.rms_norm(input, normalized_shape, weight, torch.finfo(mode.own).eps)


@exact(F.rms_norm)
def rms_norm_in_float64(input, normalized_shape, weight=None, eps=None):
    dims = tuple(range(-len(normalized_shape), 0))
    normal, factor = _normal(input, dims, eps, centred=False)
    return More((normal.clone() if weight is None else normal * weight, normal, factor))


@takes_apart(F.layer_norm)
def layer_norm(capture, input, normalized_shape, weight=None, bias=None, eps=1e-5):
    return _of_positions(capture, input, normalized_shape, weight, bias, centred=True)


@opens(F.layer_norm)
def layer_norm_of_images(mode, input, normalized_shape, weight=None, bias=None, eps=1e-5):
    """A norm over several dimensions, with a weight and a bias for each of their entries."""
    if len(normalized_shape) < 2 or (weight is None and bias is None):
        return NotImplemented
    with mode:
        normal = F.layer_norm(input, normalized_shape, eps=eps)
        normal = normal if weight is None else normal * weight
        return normal if bias is None else normal + bias


@takes_apart(F.rms_norm)
def rms_norm(capture, input, normalized_shape, weight=None, eps=None):
    return _of_positions(capture, input, normalized_shape, weight, None, centred=False)


def _of_positions(capture, input, normalized_shape, weight, bias, *, centred: bool):
    if (
        len(normalized_shape) != 1
        or not capture.of_samples(input)
        or input.dim() < 2
        or not capture.by_sample(input)
        or not capture.fixed(weight, bias)
    ):
        return NotImplemented
    z, normal, factor = capture.values()
    normal, factor = (positions(t, -1, capture.samples)[:, None] for t in (normal, factor))
    uses = capture.uses(weight, "scale", normal[:, 0]) + capture.uses(bias, "bias")
    sources = [(input, -1)] if input.requires_grad else []
    pull = partial(_pull_normal, normal, factor, None if weight is None else weight.detach(), centred)
    return capture.node(z, pull, sources, uses, -1)


def _pull_normal(
    normal: Tensor, factor: Tensor, weight: Tensor | None, centred: bool, cotangent: Cotangent
) -> list[Cotangent]:
    """Carry a cotangent (n, S, Q, O) to the input of a norm over the last dimension of `normal` (n, 1, Q, O)."""
    g = cotangent.dense() if weight is None else cotangent.dense() * weight
    along = torch.einsum("nsqo,nqo->nsq", g, normal[:, 0])[..., None] / normal.shape[-1]
    x = torch.addcmul(g, normal, along, value=-1)
    if centred:
        x -= g.mean(-1, keepdim=True)
    return [Cotangent(x.mul_(factor), cotangent.length)]


# ------------------------------------------------------------------------------------------- group and instance norm
@exact(F.group_norm)
def group_norm_in_float64(input, num_groups, weight=None, bias=None, eps=1e-5):
    groups = input.unflatten(1, (num_groups, -1))
    normal, factor = _normal(groups, tuple(range(2, groups.dim())), eps)
    normal = normal.flatten(1, 2)
    return More((_affine(normal, weight, bias, 1), normal, factor.flatten(1)))


@takes_apart(F.group_norm)
def group_norm(capture, input, num_groups, weight=None, bias=None, eps=1e-5):
    if input.dim() < 2 or len(input) != capture.samples or not capture.of_samples(input):
        return NotImplemented
    if not capture.fixed(weight, bias):
        return NotImplemented
    z, normal, factor = capture.values()
    normal = positions(normal, 1, capture.samples)
    uses = capture.uses(weight, "scale", normal) + capture.uses(bias, "bias")
    sources = [(input, 1)] if input.requires_grad else []
    pull = partial(_pull_groups, normal, factor, None if weight is None else weight.detach())
    return capture.node(z, pull, sources, uses, 1)


def _pull_groups(normal: Tensor, factor: Tensor, weight: Tensor | None, cotangent: Cotangent) -> list[Cotangent]:
    """Carry a cotangent to the input of a norm over groups of channels: normal (n, Q, O), factor (n, groups)."""
    g = cotangent.dense() if weight is None else cotangent.dense() * weight
    shape, groups = g.shape, factor.shape[1]
    g, normal = (t.unflatten(-1, (groups, -1)) for t in (g, normal))
    count = math.prod((normal.shape[1], normal.shape[-1]))
    along = torch.einsum("nsqgo,nqgo->nsg", g, normal)[:, :, None, :, None] / count
    x = torch.addcmul(g, normal[:, None], along, value=-1)
    x -= g.mean((2, 4), keepdim=True)
    return [Cotangent((x * factor[:, None, None, :, None]).view(shape), cotangent.length)]


@opens(torch.group_norm)
def builtin_group_norm(mode, input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True):
    with mode:
        return F.group_norm(input, num_groups, weight, bias, eps)


@opens(torch.layer_norm)
def builtin_layer_norm(mode, input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True):
    with mode:
        return F.layer_norm(input, normalized_shape, weight, bias, eps)


@opens(F.instance_norm)
def instance_norm(
    mode,
    input,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    use_input_stats=True,
    momentum=0.1,
    eps=1e-5,
):
    with mode:
        if use_input_stats:
            return F.group_norm(input, input.shape[1], weight, bias, eps)
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)


@opens(torch.instance_norm)
def builtin_instance_norm(
    mode, input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled
):
    with mode:
        return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)

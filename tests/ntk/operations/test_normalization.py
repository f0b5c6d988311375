"""Norms with fixed statistics, and with those of a sample."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_right, assert_taken_apart, of
from reactivation.ntk import empirical_ntk
from sample_networks import image


def flat():
    return torch.randn(4, 6)


def rows():
    return torch.randn(4, 3, 6)


def picture():
    return image(5, 3)


def head(m, z):
    z = torch.tanh(z)
    return m["h"](z.flatten(2).mean(2) if z.dim() == 4 else z.flatten(1, -2).mean(1) if z.dim() == 3 else z)


def normed(norm, x=rows, run=lambda m, x: m["n"](m["a"](x))):
    """A layer, a norm and a head: what comes before the norm needs a gradient, and so does its scale."""
    first = (lambda: nn.Conv2d(3, 6, 2)) if x is picture else lambda: nn.Linear(6, 6)
    return of(lambda m, x: head(m, run(m, x)), x, a=first, n=norm, h=lambda: nn.Linear(6, 3))


def series(norm, channels=6):
    """Channels before positions."""
    run = lambda m, x: m["h"](torch.tanh(m["n"](m["a"](x))).mean(2))  # noqa: E731
    parts = {"a": lambda: nn.Conv1d(3, channels, 3), "n": norm, "h": lambda: nn.Linear(channels, 3)}
    return of(run, lambda: torch.randn(4, 3, 8), **parts)


def plain_rms(m, x):
    """RMS norm as networks wrote it before torch had it."""
    x = m["a"](x)
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-3) * m["n"].weight


NETWORKS = {
    "batch norm": normed(lambda: nn.BatchNorm1d(6), flat),
    "batch norm first": normed(lambda: nn.BatchNorm1d(6), flat, lambda m, x: m["a"](m["n"](x))),
    "batch norm, images": normed(lambda: nn.BatchNorm2d(6, eps=0.1), picture),
    "batch norm, not affine": normed(lambda: nn.BatchNorm2d(6, affine=False), picture),
    "batch norm, series": series(lambda: nn.BatchNorm1d(6)),
    "batch norm of tokens": normed(lambda: nn.BatchNorm1d(3), rows),
    "batch norm of tokens, turned": normed(
        lambda: nn.BatchNorm1d(6), rows, lambda m, x: m["n"](m["a"](x).transpose(1, 2)).transpose(1, 2)
    ),
    "batch norm of folded tokens": normed(
        lambda: nn.BatchNorm1d(6), rows, lambda m, x: m["n"](m["a"](x.flatten(0, 1))).unflatten(0, (len(x), -1))
    ),
    "batch norm, functional": normed(
        lambda: nn.BatchNorm2d(6),
        picture,
        lambda m, x: F.batch_norm(m["a"](x), m["n"].running_mean, m["n"].running_var, m["n"].weight, eps=0.1),
    ),
    "batch norm twice": normed(lambda: nn.BatchNorm2d(6), picture, lambda m, x: m["n"](torch.relu(m["n"](m["a"](x))))),
    "layer norm": normed(lambda: nn.LayerNorm(6)),
    "layer norm of one position": normed(lambda: nn.LayerNorm(6, eps=1e-2), flat),
    "layer norm first": normed(lambda: nn.LayerNorm(6), rows, lambda m, x: m["a"](m["n"](x))),
    "layer norm without bias": normed(lambda: nn.LayerNorm(6, bias=False)),
    "layer norm, functional": normed(
        lambda: nn.LayerNorm(6), rows, lambda m, x: F.layer_norm(m["a"](x), (6,), bias=m["n"].bias)
    ),
    "layer norm of folded rows": normed(
        lambda: nn.LayerNorm(6), rows, lambda m, x: m["n"](m["a"](x).flatten(0, 1)).unflatten(0, (len(x), -1))
    ),
    "layer norm twice": normed(lambda: nn.LayerNorm(6), rows, lambda m, x: m["n"](x + torch.tanh(m["a"](m["n"](x))))),
    "layer norm of images, channels last": normed(
        lambda: nn.LayerNorm(6), picture, lambda m, x: m["n"](m["a"](x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    ),
    "layer norm of all numbers": normed(
        lambda: nn.LayerNorm((3, 6), elementwise_affine=False), rows, lambda m, x: m["n"](m["a"](x))
    ),
    "rms norm": normed(lambda: nn.RMSNorm(6, eps=1e-3)),
    "rms norm of one position": normed(lambda: nn.RMSNorm(6, eps=0.1), flat),
    "rms norm, functional": normed(
        lambda: nn.RMSNorm(6), rows, lambda m, x: F.rms_norm(m["a"](x), (6,), m["n"].weight, 1e-3)
    ),
    "rms norm by hand": normed(lambda: nn.RMSNorm(6), rows, plain_rms),
    "group norm": normed(lambda: nn.GroupNorm(2, 6), picture),
    "group norm, one group": normed(lambda: nn.GroupNorm(1, 6, eps=0.1), picture),
    "group norm, every channel": normed(lambda: nn.GroupNorm(6, 6, eps=0.1), picture),
    "group norm, not affine": normed(lambda: nn.GroupNorm(3, 6, affine=False), picture),
    "group norm of numbers": normed(lambda: nn.GroupNorm(2, 6), flat),
    "group norm, changed in place": normed(
        lambda: nn.GroupNorm(2, 6, affine=False), flat, lambda m, x: m["n"](m["a"](x)).mul_(2).relu_()
    ),
    "group norm, series": series(lambda: nn.GroupNorm(3, 6)),
    "group norm, functional": normed(
        lambda: nn.GroupNorm(2, 6), picture, lambda m, x: F.group_norm(m["a"](x), 2, m["n"].weight, eps=0.1)
    ),
    "instance norm": normed(lambda: nn.InstanceNorm2d(6, eps=0.1), picture),
    "instance norm, affine": normed(lambda: nn.InstanceNorm2d(6, affine=True), picture),
    "instance norm, fixed statistics": normed(
        lambda: nn.InstanceNorm2d(6, affine=True, track_running_stats=True), picture
    ),
    "instance norm, series": series(lambda: nn.InstanceNorm1d(6, affine=True, track_running_stats=True)),
    "instance norm, functional": normed(
        lambda: nn.InstanceNorm2d(6, affine=True),
        picture,
        lambda m, x: F.instance_norm(m["a"](x), weight=m["n"].weight, bias=m["n"].bias, eps=0.1),
    ),
    "layer norm over two dimensions": normed(lambda: nn.LayerNorm((3, 6))),
    "layer norm over images": normed(lambda: nn.LayerNorm((6, 4, 4)), picture),
    "layer norm over images, without bias": normed(lambda: nn.LayerNorm((4, 4), bias=False), picture),
    "local response": normed(lambda: nn.LocalResponseNorm(2), picture),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_norms_are_taken_apart(name, caplog):
    assert_taken_apart(NETWORKS[name], caplog)


OTHERWISE = {
    "layer norm in torch": normed(
        lambda: nn.LayerNorm(6), rows, lambda m, x: torch.layer_norm(m["a"](x), (6,), m["n"].weight, m["n"].bias)
    ),
    "group norm in torch": normed(
        lambda: nn.GroupNorm(2, 6), picture, lambda m, x: torch.group_norm(m["a"](x), 2, m["n"].weight, m["n"].bias)
    ),
    "normalized": normed(nn.Identity, rows, lambda m, x: F.normalize(m["a"](x), dim=-1)),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_norms_are_right_too(name):
    assert_right(OTHERWISE[name])


NOT_AFFINE = {
    "layer norm, not affine": normed(lambda: nn.LayerNorm(6, elementwise_affine=False)),
    "rms norm, not affine": normed(lambda: nn.RMSNorm(6, eps=1e-5, elementwise_affine=False)),
    "changed in place": normed(
        lambda: nn.LayerNorm(6, elementwise_affine=False), rows, lambda m, x: m["n"](m["a"](x)).mul_(2).relu_()
    ),
}


@pytest.mark.parametrize("name", NOT_AFFINE)
def test_norms_that_are_not_affine_are_taken_apart(name, caplog):
    assert_taken_apart(NOT_AFFINE[name], caplog)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_rms_norm_has_the_least_number_of_its_own_precision(dtype):
    """Torch adds the ε of the input's precision, where no other is given."""
    found = []
    for eps in (None, torch.finfo(dtype).eps):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 6), nn.RMSNorm(6, eps=eps), nn.Linear(6, 3)).to(dtype).eval()
        found.append(empirical_ntk(model, 1e-3 * flat().to(dtype)))
    assert all((found[0][kind] == found[1][kind]).all() for kind in found[0])


def test_statistics_of_the_batch_are_refused():
    model = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6, track_running_stats=False)).eval()
    with pytest.raises(ValueError, match="statistics of the batch"):
        empirical_ntk(model, flat())

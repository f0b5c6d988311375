"""Element-wise functions, in place too."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_taken_apart, of
from sample_networks import image


def rows():
    return 3 * torch.randn(4, 3, 5)


def between(function, x=rows):
    """A function between two layers."""
    if x is rows:
        run = lambda m, x: m["h"](function(m["a"](x)).mean(1))  # noqa: E731
        return of(run, x, a=lambda: nn.Linear(5, 6), h=lambda: nn.Linear(6, 3))
    run = lambda m, x: m["h"](function(m["a"](x)).mean((2, 3)))  # noqa: E731
    return of(run, lambda: 3 * image(4, 3), a=lambda: nn.Conv2d(3, 6, 2), h=lambda: nn.Linear(6, 3))


def positive(function):
    """A function of positive numbers only."""
    return lambda z: function(z.square() + 1)


FUNCTIONS = [
    F.relu, F.relu_, torch.relu, torch.relu_, torch.Tensor.relu, torch.Tensor.relu_, F.relu6, F.hardtanh, F.gelu,
    F.silu, F.mish, F.elu, F.selu, F.celu, F.softplus, F.logsigmoid, F.softsign, F.leaky_relu, F.tanhshrink,
    F.hardswish, F.hardsigmoid, F.sigmoid, F.tanh, torch.sigmoid, torch.Tensor.sigmoid, torch.tanh, torch.Tensor.tanh,
    torch.Tensor.sigmoid_, torch.Tensor.tanh_, torch.sigmoid_, torch.tanh_, torch.erf, torch.Tensor.erf, torch.sin,
    torch.cos, torch.exp, torch.Tensor.exp, torch.square, torch.Tensor.square, positive(torch.rsqrt),
    positive(torch.Tensor.rsqrt), positive(torch.sqrt), positive(torch.Tensor.sqrt),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(FUNCTIONS)), ids=lambda number: f"{number}-{FUNCTIONS[number].__name__}")
def test_every_function_is_taken_apart(number, caplog):
    assert_taken_apart(between(FUNCTIONS[number], image if number % 2 else rows), caplog)


def test_the_functions_are_all_that_the_engine_knows():
    from reactivation.ntk.operations import activation
    from reactivation.ntk.rules import RULES

    known = {function for function, rule in RULES.items() if rule.__module__ == activation.__name__}
    tried = {function.__name__ for function in FUNCTIONS} | {"rsqrt", "sqrt"}
    assert {function.__name__ for function in known} <= tried


ARGUMENTS = {
    "relu in place": nn.ReLU(inplace=True),
    "relu6 in place": nn.ReLU6(inplace=True),
    "functional relu6 in place": lambda z: F.relu6(z, True),
    "hardtanh": nn.Hardtanh(-0.5, 0.2),
    "hardtanh in place, by name": lambda z: F.hardtanh(z, max_val=0.3, min_val=-2, inplace=True),
    "gelu, approximate": nn.GELU("tanh"),
    "silu in place": nn.SiLU(inplace=True),
    "mish in place": nn.Mish(inplace=True),
    "elu": nn.ELU(0.3, inplace=True),
    "elu, by name": lambda z: F.elu(z, alpha=2.0),
    "selu in place": nn.SELU(inplace=True),
    "celu": nn.CELU(0.5),
    "celu in place": nn.CELU(2.0, inplace=True),
    "softplus": nn.Softplus(2, 5),
    "leaky relu": nn.LeakyReLU(0.3),
    "leaky relu in place": nn.LeakyReLU(0.2, inplace=True),
    "leaky relu, negative": lambda z: F.leaky_relu(z, negative_slope=-1),
    "hardswish in place": nn.Hardswish(inplace=True),
    "hardsigmoid in place": nn.Hardsigmoid(inplace=True),
    "a relu of a relu": lambda z: torch.relu(torch.relu(z) - 0.1),
    "a relu in place after another": lambda z: F.relu6(z).add(-0.2).relu_(),
    "a clipped relu": lambda z: F.relu(F.hardtanh(z)),
    "relus of both signs": lambda z: F.relu(z) + 2 * F.relu(-z),
    "glu": lambda z: F.glu(torch.cat([z, z.flip(1)], 1), 1),
    "swish by hand": lambda z: z * torch.sigmoid(z),
    "new gelu": lambda z: 0.5 * z * (1 + torch.tanh(0.8 * (z + 0.04 * z**3))),
    "in place on a view": lambda z: z.flatten(1).relu_().view(z.shape),
    "in place on a part": lambda z: torch.cat([z[:, :1].relu(), z[:, 1:].clone().tanh_()], 1),
    "softmax": lambda z: torch.softmax(z, 1),
    "log softmax": lambda z: F.log_softmax(z, -1),
    "softshrink": nn.Softshrink(0.4),
    "hardshrink": nn.Hardshrink(0.4),
    "threshold": nn.Threshold(0.3, 0.1),
    "clamp": lambda z: z.clamp(-0.4, 0.6),
    "clamp in place": lambda z: z.clamp_(min=-0.4),
    "absolute": torch.abs,
    "maximum": lambda z: torch.maximum(z, torch.zeros(())),
    "where": lambda z: torch.where(z > 0, z, z.exp() - 1),
    "sinc": torch.sinc,
    "power": lambda z: (z.square() + 1) ** 1.5,
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_and_other_functions(name, caplog):
    assert_taken_apart(between(ARGUMENTS[name], image if len(name) % 2 else rows), caplog)


@pytest.mark.parametrize("slopes", [1, 6])
@pytest.mark.parametrize("x", [rows, image], ids=["rows", "images"])
def test_slopes_that_are_learnt_are_taken_apart(slopes, x, caplog):
    def run(m, z):
        z = m["a"](z)  # (n, positions, channels), or (n, channels, H, W)
        return m["h"](m["p"](z.transpose(1, -1) if x is rows else z).flatten(2).mean(2))

    first = (lambda: nn.Conv2d(3, 6, 2)) if x is image else lambda: nn.Linear(5, 6)
    parts = {"a": first, "p": lambda: nn.PReLU(slopes), "h": lambda: nn.Linear(6, 3)}
    assert_taken_apart(of(run, rows if x is rows else lambda: image(4, 3), **parts), caplog)


def test_a_slope_that_is_a_parameter_meets_activations(caplog):
    """Swish with a factor that is learnt."""
    run = lambda m, x: m["h"]((z := m["a"](x)) * torch.sigmoid(m["b"].weight[0] * z))  # noqa: E731
    parts = {"a": lambda: nn.Linear(5, 6), "b": lambda: nn.Embedding(1, 6), "h": lambda: nn.Linear(6, 3)}
    assert_taken_apart(of(run, lambda: torch.randn(4, 5), **parts), caplog)

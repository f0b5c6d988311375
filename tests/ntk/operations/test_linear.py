"""Linear layers, however they are written."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

from operation_cases import assert_right, assert_taken_apart, of
from sample_networks import network


def flat():
    return torch.randn(4, 5)


def rows():
    return torch.randn(4, 3, 5)


def square():
    return torch.randn(4, 5, 5)


def linear(inputs=5, outputs=5, bias=True):
    return lambda: nn.Linear(inputs, outputs, bias)


def head(m, z):
    """Logits from anything (n, …, 5): a layer, then the sum over what lies between."""
    z = m["h"](torch.tanh(z))
    return z.flatten(1, -2).sum(1) if z.dim() > 2 else z


def layered(run, x=flat, **parts):
    return of(lambda m, x: head(m, run(m, x)), x, **{"a": linear(), "h": linear(5, 3)} | parts)


def folded(m, x):
    """Rows (n · T, K), as many implementations of attention have them."""
    return m["a"](x.reshape(-1, 5)).view(len(x), -1, 5)


def folded_and_kept(m, x):
    y = torch.tanh(m["a"](x.flatten(0, 1)))
    return m["b"](y).unflatten(0, (len(x), -1))


def addmm(m, x):
    return torch.addmm(m["a"].bias, x, m["a"].weight)


def conv1d_of_gpt2(m, x):
    return torch.addmm(m["a"].bias, x.view(-1, x.size(-1)), m["a"].weight).view(x.size())


NETWORKS = {
    "plain": layered(lambda m, x: m["a"](x)),
    "without bias": layered(lambda m, x: m["a"](x), a=linear(bias=False), h=linear(5, 3, False)),
    "one logit": of(lambda m, x: m["a"](x), flat, a=linear(5, 1)),
    "over positions": layered(lambda m, x: m["a"](x), rows),
    "over two dimensions": layered(lambda m, x: m["a"](x), lambda: torch.randn(3, 2, 3, 5)),
    "wider than the inputs": layered(lambda m, x: m["b"](m["a"](x)), a=linear(5, 40), b=linear(40, 5)),
    "folded rows": layered(folded, rows),
    "two layers on folded rows": layered(folded_and_kept, rows, b=linear()),
    "functional": layered(lambda m, x: F.linear(x, m["a"].weight, m["a"].bias)),
    "functional, by name": layered(lambda m, x: F.linear(input=x, weight=m["a"].weight, bias=m["a"].bias)),
    "functional without bias": layered(lambda m, x: F.linear(x, m["a"].weight)),
    "turned": layered(lambda m, x: F.linear(x, m["a"].weight.t()), rows),
    "turned by attribute": layered(lambda m, x: x @ m["a"].weight.T),
    "turned by transpose": layered(lambda m, x: torch.matmul(x, m["a"].weight.transpose(0, 1)), rows),
    "turned by permute": layered(lambda m, x: F.linear(x, m["a"].weight.permute(1, 0))),
    "turned, not square": layered(lambda m, x: x @ m["a"].weight.mT, a=linear(5, 5)),
    "at": layered(lambda m, x: x @ m["a"].weight),
    "at, over positions": layered(lambda m, x: x @ m["a"].weight, rows),
    "matmul": layered(lambda m, x: torch.matmul(x, m["a"].weight)),
    "matmul, method": layered(lambda m, x: x.matmul(m["a"].weight)),
    "mm": layered(lambda m, x: torch.mm(x, m["a"].weight)),
    "mm, method": layered(lambda m, x: x.mm(m["a"].weight) + m["a"].bias),
    "addmm": layered(addmm),
    "addmm, method": layered(lambda m, x: m["a"].bias.addmm(x, m["a"].weight)),
    "addmm, by name": layered(lambda m, x: torch.addmm(m["a"].bias, mat1=x, mat2=m["a"].weight)),
    "as in GPT-2": layered(conv1d_of_gpt2, rows),
    "from the left": layered(lambda m, x: m["a"].weight @ x, square),
    "from the left, turned": layered(lambda m, x: torch.matmul(m["a"].weight.t(), x), square),
    "from the left, later": layered(lambda m, x: m["b"].weight @ torch.tanh(m["a"](x)), square, b=linear()),
    "used both ways": layered(lambda m, x: F.linear(torch.tanh(x @ m["a"].weight), m["a"].weight)),
    "used with and without bias": layered(lambda m, x: m["a"](torch.tanh(F.linear(x, m["a"].weight)))),
    "used at one and at many positions": layered(lambda m, x: m["a"](x).mean(1) + m["a"](x[:, 0]), rows),
    "bias used twice": layered(lambda m, x: F.linear(m["a"](x), m["b"].weight, m["a"].bias), b=linear()),
    "divided": layered(lambda m, x: F.linear(x, m["a"].weight / 5**0.5, m["a"].bias * 2)),
    "normalized rows": layered(lambda m, x: F.linear(x, F.normalize(m["a"].weight))),
    "part of a weight": layered(lambda m, x: F.linear(x[:, :3], m["a"].weight[:, :3], m["a"].bias)),
    "split weight": layered(lambda m, x: sum(F.linear(x, w) for w in m["a"].weight.split(5)), a=linear(5, 10)),
    "product of weights": layered(lambda m, x: F.linear(x, m["b"].weight @ m["a"].weight), b=linear()),
    "weight norm": layered(lambda m, x: m["a"](x), a=lambda: parametrizations.weight_norm(nn.Linear(5, 5))),
    "frozen weight": layered(lambda m, x: F.linear(x, m["a"].weight.detach(), m["a"].bias)),
    "frozen bias": layered(lambda m, x: F.linear(x, m["a"].weight, m["a"].bias.detach())),
    "changed in place": layered(lambda m, x: m["a"](x).mul_(2).add_(1)),
    "changed in place, after folding": layered(lambda m, x: m["a"](x.flatten(0, 1)).mul_(2).view_as(x), rows),
    "input in double": layered(lambda m, x: m["a"](x.double().to(x.dtype))),
    "bilinear part by part": layered(lambda m, x: m["a"](x) * m["b"](x), b=linear()),
    "identity between": lambda: (network(nn.Linear(5, 5), nn.Identity(), nn.Linear(5, 4)), flat()),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_linear_layers_are_taken_apart(name, caplog):
    assert_taken_apart(NETWORKS[name], caplog)


def batched(m, x):
    """A weight for each of two heads: a product of matrices of three dimensions."""
    y = torch.einsum("nk,hok->nho", x, m["a"].weight.view(2, 5, 5))
    return head(m, y)


OTHERWISE = {
    "orthogonal": layered(lambda m, x: m["a"](x), a=lambda: parametrizations.orthogonal(nn.Linear(5, 5))),
    "einsum": of(batched, flat, a=linear(5, 10), h=linear(5, 3)),
    "bilinear": layered(lambda m, x: m["b"](x, x), b=lambda: nn.Bilinear(5, 5, 5)),
    "addmm with factors": layered(lambda m, x: torch.addmm(m["a"].bias, x, m["a"].weight, beta=2, alpha=3)),
    "a vector from the right": layered(lambda m, x: m["a"](x) * (x @ m["a"].weight[0])[:, None]),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_products_are_right_too(name):
    assert_right(OTHERWISE[name])

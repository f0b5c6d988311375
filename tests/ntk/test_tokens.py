"""Parameters that meet activations: tokens, positions, factors. Each sample has its own row of them."""

import pytest
import torch
from torch import nn

from operation_cases import assert_right, assert_taken_apart, of


def rows():
    return torch.randn(5, 3, 4)


def head(m, z):
    return m["h"](torch.tanh(z).mean(1))


def meeting(run, x=rows, **sizes):
    """`sizes`: the parameters' shapes."""
    parts = {name: (lambda shape=shape: parameter(*shape)) for name, shape in sizes.items()}
    return of(lambda m, x: head(m, run(m, m["a"](x))), x, a=lambda: nn.Linear(4, 4), h=lambda: nn.Linear(4, 3), **parts)


def parameter(*shape):
    module = nn.Module()
    module.p = nn.Parameter(torch.randn(shape))
    return module


def token(m, x, count=1):
    return m["t"].p.expand(len(x), -1, -1)


NETWORKS = {
    "class token, expanded": meeting(lambda m, x: torch.cat([token(m, x), x], 1), t=(1, 1, 4)),
    "class token, expanded by sizes": meeting(
        lambda m, x: torch.cat((m["t"].p.expand(x.shape[0], 1, 4), x), dim=1), t=(1, 1, 4)
    ),
    "class token, repeated": meeting(lambda m, x: torch.cat([m["t"].p.repeat(len(x), 1, 1), x], 1), t=(1, 1, 4)),
    "class token, tiled": meeting(lambda m, x: torch.cat([torch.tile(m["t"].p, (len(x), 1, 1)), x], 1), t=(1, 1, 4)),
    "class token, broadcast": meeting(
        lambda m, x: torch.cat([torch.broadcast_to(m["t"].p, (len(x), 1, 4)), x], 1), t=(1, 1, 4)
    ),
    "class token, like another": meeting(lambda m, x: torch.cat([m["t"].p.expand_as(x[:, :1]), x], 1), t=(1, 1, 4)),
    "several tokens": meeting(lambda m, x: torch.cat([token(m, x), x, token(m, x)], -2), t=(1, 2, 4)),
    "as many tokens as samples": meeting(lambda m, x: torch.cat([token(m, x), x], 1), t=(1, 5, 4)),
    "token at one place": meeting(lambda m, x: torch.cat([x[:, :1], x[:, 1:] + m["t"].p], 1), t=(1, 1, 4)),
    "a channel more": meeting(lambda m, x: torch.cat([x[..., :3], m["t"].p.expand(len(x), 3, 1)], -1), t=(1, 1, 1)),
    "tokens in the place of some": meeting(lambda m, x: torch.where(x[..., :1] > 0, x, m["t"].p), t=(4,)),
    "positions": meeting(lambda m, x: x + m["t"].p, t=(1, 3, 4)),
    "positions without a row": meeting(lambda m, x: x + m["t"].p, t=(3, 4)),
    "positions, first": meeting(lambda m, x: m["t"].p + x, t=(3, 4)),
    "positions, in place": meeting(lambda m, x: x.add_(m["t"].p), t=(3, 4)),
    "positions, operator in place": meeting(lambda m, x: x.__iadd__(m["t"].p), t=(1, 3, 4)),
    "positions, by function": meeting(lambda m, x: torch.add(x, m["t"].p, alpha=2), t=(1, 3, 4)),
    "positions, part of a table": meeting(lambda m, x: x + m["t"].p[:, : x.shape[1]], t=(1, 7, 4)),
    "positions, as many as samples": meeting(lambda m, x: x + m["t"].p, t=(5, 4), x=lambda: torch.randn(5, 5, 4)),
    "positions for channels": meeting(lambda m, x: x + m["t"].p[:, None], t=(3,)),
    "factors": meeting(lambda m, x: x * m["t"].p, t=(4,)),
    "factors, in place": meeting(lambda m, x: x.mul_(m["t"].p), t=(4,)),
    "factors of a branch": meeting(lambda m, x: x + m["t"].p * torch.tanh(x), t=(4,)),
    "factors of two branches": meeting(lambda m, x: x * m["t"].p + m["t"].p * x.sin(), t=(4,)),
    "a number of one entry": meeting(lambda m, x: x * m["t"].p.exp(), t=(1,)),
    "a temperature": meeting(lambda m, x: x / m["t"].p.exp(), t=()),
    "divided": meeting(lambda m, x: x / (1 + m["t"].p.square()), t=(4,)),
    "subtracted": meeting(lambda m, x: m["t"].p - x, t=(3, 4)),
    "a mixture": meeting(lambda m, x: torch.lerp(x, x.tanh(), m["t"].p.sigmoid()), t=(4,)),
    "the larger": meeting(lambda m, x: torch.maximum(x, m["t"].p), t=(4,)),
    "addcmul": meeting(lambda m, x: torch.addcmul(x, x.sin(), m["t"].p, value=0.5), t=(4,)),
    "computed positions": meeting(lambda m, x: x + torch.tanh(m["t"].p) @ m["u"].p, t=(3, 2), u=(2, 4)),
    "queries that are learnt": meeting(lambda m, x: torch.softmax(m["t"].p @ x.mT, -1) @ x, t=(1, 2, 4)),
    "queries of each sample": meeting(lambda m, x: torch.softmax(token(m, x) @ x.mT, -1) @ x, t=(1, 2, 4)),
    "one head's matrices": meeting(lambda m, x: (x[:, None] @ m["t"].p).sum(1), t=(2, 4, 4)),
    "a constant and a factor": meeting(lambda m, x: x + torch.ones(3, 4) * m["t"].p, t=(4,)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_that_meet_activations_are_taken_apart(name, caplog):
    assert_taken_apart(NETWORKS[name], caplog)


NUMBERS = {
    "a factor": meeting(lambda m, x: x * m["t"].p, t=()),
    "a factor of a branch": meeting(lambda m, x: x + m["t"].p * torch.tanh(x), t=()),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_parameters_of_one_number_are_taken_apart(name, caplog):
    assert_taken_apart(NUMBERS[name], caplog)


OTHERWISE = {
    "raised": meeting(lambda m, x: (x.square() + 1) ** m["t"].p, t=(4,)),
    "stacked": meeting(lambda m, x: torch.stack([x, m["t"].p.expand_as(x)], 1).flatten(1, 2), t=(3, 4)),
    "written into": meeting(lambda m, x: torch.cat([x.index_fill(1, torch.tensor([0]), 0.0), x], 1) + m["t"].p, t=(4,)),
    "written at one place": meeting(
        lambda m, x: x.index_add(1, torch.tensor([1]), m["t"].p.expand(len(x), 1, 4)), t=(4,)
    ),
    "time first": meeting(lambda m, x: (x.transpose(0, 1) + m["t"].p).transpose(0, 1), t=(3, 1, 4)),
    "time first, as many steps as samples": meeting(
        lambda m, x: (x.transpose(0, 1) + m["t"].p).transpose(0, 1), t=(5, 1, 4), x=lambda: torch.randn(5, 5, 4)
    ),
    "added to logits alone": of(
        lambda m, x: m["h"](x) + m["t"].p, lambda: torch.randn(4, 4), h=lambda: nn.Linear(4, 3), t=lambda: parameter(3)
    ),
    "distances to what is learnt": of(
        lambda m, x: -(x[:, None] - m["t"].p).square().sum(-1), lambda: torch.randn(4, 4), t=lambda: parameter(3, 4)
    ),
    "distances by cdist": of(
        lambda m, x: -torch.cdist(x, m["t"].p), lambda: torch.randn(4, 4), t=lambda: parameter(3, 4)
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_meetings_are_right_too(name):
    assert_right(OTHERWISE[name])

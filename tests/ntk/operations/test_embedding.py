"""Tables in which indices look rows up."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_right, assert_taken_apart, of
from reactivation.ntk import empirical_ntk


def indices():
    return torch.tensor([[6, 6, 1, 0], [6, 2, 1, 0], [0, 6, 3, 3], [5, 5, 6, 0], [4, 4, 4, 4]])


def table(rows=7, **options):
    return lambda: nn.Embedding(rows, 5, **options)


def linear():
    return nn.Linear(5, 3)


def head(m, z):
    return m["h"](torch.tanh(z).flatten(1, -2).mean(1))


def looked_up(run, x=indices, **parts):
    return of(lambda m, i: head(m, run(m, i)), x, **{"t": table(), "h": linear} | parts)


def places(m, i, first=0):
    return m["p"](torch.arange(first, first + i.shape[1])[None])


def bert(m, i):
    """Words, places that all samples share, and one type for all words."""
    z = m["t"](i) + m["p"](torch.arange(i.shape[1]).expand(1, -1)) + m["s"](torch.zeros_like(i))
    return m["n"](z)


NETWORKS = {
    "plain": looked_up(lambda m, i: m["t"](i)),
    "one index": looked_up(lambda m, i: m["t"](i)[:, None], lambda: torch.tensor([3, 1, 3, 6])),
    "no head": of(lambda m, i: m["t"](i).mean(1), indices, t=table()),
    "images of indices": looked_up(lambda m, i: m["t"](i), lambda: torch.randint(0, 7, (3, 2, 4))),
    "padding": looked_up(lambda m, i: m["t"](i) + 1, t=table(padding_idx=0)),
    "padding from the end": looked_up(lambda m, i: m["t"](i) + 1, t=table(padding_idx=-1)),
    "functional": looked_up(lambda m, i: F.embedding(i, m["t"].weight)),
    "functional, padding": looked_up(lambda m, i: F.embedding(i, m["t"].weight, 4)),
    "functional, padding by name": looked_up(
        lambda m, i: F.embedding(input=i, weight=m["t"].weight, padding_idx=-3, sparse=False)
    ),
    "int32": looked_up(lambda m, i: m["t"](i), lambda: indices().int()),
    "turned indices": looked_up(lambda m, i: m["t"](i.flip(1)).transpose(1, 2).transpose(1, 2)),
    "folded": looked_up(lambda m, i: m["t"](i.flatten()).view(*i.shape, 5)),
    "scaled": looked_up(lambda m, i: m["t"](i) * 5**0.5),
    "twice": looked_up(lambda m, i: m["t"](i) * torch.sigmoid(m["t"](i.flip(1)))),
    "twice, padded once": looked_up(lambda m, i: F.embedding(i, m["t"].weight, 0) + m["t"](i.flip(1))),
    "two tables": looked_up(lambda m, i: torch.cat([m["t"](i), m["s"](i // 2)], 1), s=table(4)),
    "computed table": looked_up(lambda m, i: F.embedding(i, torch.tanh(m["t"].weight))),
    "factorized table": looked_up(
        lambda m, i: F.embedding(i, m["t"].weight @ m["a"].weight), a=lambda: nn.Linear(5, 5)
    ),
    "tied to the head": of(lambda m, i: F.linear(torch.tanh(m["t"](i)).sum(1), m["t"].weight), indices, t=table()),
    "tied to a head of its own size": looked_up(
        lambda m, i: torch.tanh(m["t"](i)) @ m["t"].weight.t() @ m["t"].weight / 7
    ),
    "frozen": looked_up(lambda m, i: F.embedding(i, m["t"].weight.detach())),
    "places": looked_up(lambda m, i: m["t"](i) + places(m, i), p=table(6)),
    "places, first": looked_up(lambda m, i: places(m, i) + m["t"](i), p=table(6)),
    "places without a row": looked_up(lambda m, i: m["t"](i) + m["p"](torch.arange(i.shape[1])), p=table(6)),
    "places from two on": looked_up(lambda m, i: m["t"](i) + places(m, i, 2), p=table(6)),
    "the same place again": looked_up(lambda m, i: m["t"](i) + m["p"](torch.tensor([[0, 1, 1, 0]])), p=table(3)),
    "places of each sample": looked_up(
        lambda m, i: m["t"](i) + m["p"](torch.arange(i.shape[1]).expand(len(i), -1)), p=table(6)
    ),
    "places, multiplied": looked_up(lambda m, i: m["t"](i) * torch.cos(places(m, i)), p=table(6)),
    "places, a slice of a table": looked_up(lambda m, i: m["t"](i) + m["p"].weight[: i.shape[1]], p=table(6)),
    "types": looked_up(lambda m, i: m["t"](i) + m["s"](torch.zeros_like(i)), s=table(2)),
    "as in BERT": looked_up(bert, p=table(6), s=table(2), n=lambda: nn.LayerNorm(5)),
    "places added in place": looked_up(lambda m, i: m["t"](i).add_(places(m, i)), p=table(6)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_embeddings_are_taken_apart(name, caplog):
    assert_taken_apart(NETWORKS[name], caplog)


OTHERWISE = {
    "bag": of(lambda m, i: m["h"](torch.tanh(m["t"](i))), indices, t=lambda: nn.EmbeddingBag(7, 5), h=linear),
    "indexed": looked_up(lambda m, i: m["t"].weight[i]),
    "one hot": looked_up(lambda m, i: F.one_hot(i, 7).to(m["t"].weight.dtype) @ m["t"].weight),
    "selected": looked_up(lambda m, i: m["t"].weight.index_select(0, i.flatten()).view(*i.shape, 5)),
    "differences of places": looked_up(
        lambda m, i: m["t"](i) + m["p"](torch.arange(4)[:, None] - torch.arange(4) + 3).mean(1), p=table(7)
    ),
}


@pytest.mark.parametrize("name", OTHERWISE)
def test_other_tables_are_right_too(name):
    assert_right(OTHERWISE[name])


def test_as_many_places_as_samples():
    """A table's rows could be those of the samples, and are not."""
    assert_right(looked_up(lambda m, i: m["t"](i) + places(m, i), lambda: indices()[:4], p=table(4)))


def test_gradients_by_frequency_are_not_derivatives():
    model, x = looked_up(lambda m, i: m["t"](i))()
    plain = empirical_ntk(model, x)["sum"]
    model.parts["t"].scale_grad_by_freq = True
    assert (empirical_ntk(model, x, prove=False)["sum"] == plain).all()

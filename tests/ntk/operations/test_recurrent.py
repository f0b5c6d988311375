"""Recurrent cells, which are unrolled into linear layers, and recurrent layers, which are taken sample by sample."""

import itertools

import pytest
import torch
from torch import nn

from operation_cases import assert_right, assert_taken_apart, of

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")


def rows():
    return torch.randn(4, 5, 6)


def linear():
    return nn.Linear(4, 3)


def unrolled(m, x, first=None):
    state = first
    for step in x.unbind(1):
        state = m["c"](step, state)
    return m["h"](state[0] if isinstance(state, tuple) else state)


def celled(run=unrolled, x=rows, cell=nn.RNNCell, **options):
    return of(run, x, c=lambda: cell(6, 4, **options), s=lambda: nn.Embedding(1, 4), h=linear)


CELLS = {
    "tanh": celled(),
    "relu": celled(nonlinearity="relu"),
    "without bias": celled(bias=False),
    "one step": celled(x=lambda: torch.randn(4, 1, 6)),
    "as many steps as samples": celled(x=lambda: torch.randn(5, 5, 6)),
    "first state of zeros": celled(lambda m, x: unrolled(m, x, torch.zeros(len(x), 4))),
    "first state of ones": celled(lambda m, x: unrolled(m, x, x.new_ones(len(x), 4))),
    "first state from the samples": celled(lambda m, x: unrolled(m, x, x[:, 0, :4])),
    "steps backwards": celled(lambda m, x: unrolled(m, x.flip(1))),
    "two passes": celled(lambda m, x: unrolled(m, x, torch.tanh(m["c"](x[:, -1])))),
    "all states": celled(lambda m, x: m["h"](torch.stack([m["c"](step) for step in x.unbind(1)], 1).mean(1))),
    "first state that is learnt": celled(lambda m, x: unrolled(m, x, m["s"].weight.expand(len(x), -1))),
    "first state that is repeated": celled(lambda m, x: unrolled(m, x, m["s"].weight.repeat(len(x), 1))),
    "first state that is learnt, by row": celled(lambda m, x: unrolled(m, x, m["s"].weight + 0 * x[:, 0, :4])),
}


@pytest.mark.parametrize("name", CELLS)
def test_cells_are_taken_apart(name, caplog):
    assert_taken_apart(CELLS[name], caplog)


@pytest.mark.parametrize("cell, bias", itertools.product([nn.LSTMCell, nn.GRUCell], [True, False]))
def test_other_cells_are_right_too(cell, bias):
    assert_right(celled(cell=cell, bias=bias))


def gated(m, x):
    """A cell with a gate, written as a layer."""
    state = torch.zeros(len(x), 4)
    for step in x.unbind(1):
        new, gate = (m["g"](step) + m["u"](state)).chunk(2, 1)
        state = torch.lerp(state, torch.tanh(new), torch.sigmoid(gate))
    return m["h"](state)


def test_a_cell_written_by_hand_is_taken_apart(caplog):
    parts = {"g": lambda: nn.Linear(6, 8), "u": lambda: nn.Linear(4, 8), "h": linear}
    assert_taken_apart(of(gated, rows, **parts), caplog)


LAYERS = [
    (nn.RNN, {}),
    (nn.RNN, {"nonlinearity": "relu", "num_layers": 2}),
    (nn.RNN, {"bidirectional": True}),
    (nn.LSTM, {"bias": False}),
    (nn.LSTM, {"proj_size": 4, "hidden_size": 5}),
    (nn.GRU, {"num_layers": 2, "dropout": 0.5}),
    (nn.GRU, {"batch_first": False}),
]


@pytest.mark.parametrize("layer, options", LAYERS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_layers_are_right(layer, options):
    options = {"input_size": 6, "hidden_size": 4, "batch_first": True} | options

    def run(m, x):
        if not options["batch_first"]:
            return m["h"](m["r"](x.transpose(0, 1))[0][-1])
        return m["h"](m["r"](x)[0].mean(1)[:, :4])

    assert_right(of(run, rows, r=lambda: layer(**options), h=linear))

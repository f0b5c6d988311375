"""Recurrent layers, unrolled into linear layers."""

import torch
import torch.nn.functional as F

from reactivation.ntk.rules import opens


@opens(torch.rnn_tanh_cell)
def rnn_tanh_cell(mode, input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(torch.tanh, mode, input, hx, w_ih, w_hh, b_ih, b_hh)


@opens(torch.rnn_relu_cell)
def rnn_relu_cell(mode, input, hx, w_ih, w_hh, b_ih=None, b_hh=None):
    return _cell(torch.relu, mode, input, hx, w_ih, w_hh, b_ih, b_hh)


def _cell(activation, mode, input, hx, w_ih, w_hh, b_ih, b_hh):
    if input.dim() != 2:
        return NotImplemented
    with mode:
        return activation(F.linear(input, w_ih, b_ih) + F.linear(hx, w_hh, b_hh))

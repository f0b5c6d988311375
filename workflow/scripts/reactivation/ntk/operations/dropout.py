"""Dropout, which must not be active."""

import torch
import torch.nn.functional as F

from reactivation.ntk.rules import opens


@opens(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
def dropout(mode, input, p=0.5, training=True, inplace=False):
    if training and p > 0:
        raise ValueError("dropout is active, so the logits are random: call model.eval() first")
    return input


@opens(torch.dropout)
def builtin_dropout(mode, input, p, train):
    return dropout(mode, input, p, train)

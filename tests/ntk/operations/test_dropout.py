"""Dropout, which is nothing where it is not active, and is refused where it is."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from operation_cases import assert_taken_apart, of
from reactivation.ntk import empirical_ntk
from sample_networks import image


def between(function):
    run = lambda m, x: m["h"](torch.tanh(function(m["a"](x))).flatten(2).mean(2))  # noqa: E731
    return of(run, lambda: image(4, 3), a=lambda: nn.Conv2d(3, 6, 2), h=lambda: nn.Linear(6, 3))


INACTIVE = {
    "module": nn.Dropout(),
    "in place": nn.Dropout(inplace=True),
    "of channels": nn.Dropout2d(0.3),
    "alpha": nn.AlphaDropout(0.3),
    "of channels, alpha": nn.FeatureAlphaDropout(0.3),
    "functional": lambda z: F.dropout(z, 0.5, False),
    "functional, by name": lambda z: F.dropout(input=z, training=False),
    "functional, never": lambda z: F.dropout(z, p=0.0),
    "functional, in place": lambda z: F.dropout2d(z, 0.5, False, True),
    "in torch": lambda z: torch.dropout(z, 0.5, False),
    "in torch, never": lambda z: torch.dropout(z, 0.0, True),
    "in place, and changed after": lambda z: F.dropout(z, 0.5, False, True).mul_(2).relu_(),
    "twice": lambda z: F.dropout(F.relu(F.dropout(z, 0.2, False)), 0.2, False),
}


@pytest.mark.parametrize("name", INACTIVE)
def test_dropout_that_is_off_is_nothing(name, caplog):
    for function in [INACTIVE[name]]:
        if isinstance(function, nn.Module):
            function.eval()
        assert_taken_apart(between(function), caplog)


ACTIVE = {
    "functional": lambda z: F.dropout(z, 0.5),
    "functional, of channels": lambda z: F.dropout2d(z, 0.5),
    "functional, alpha": lambda z: F.alpha_dropout(z, 0.5, training=True),
    "in torch": lambda z: torch.dropout(z, 0.5, True),
    "by hand": lambda z: z * (torch.rand_like(z) > 0.5),
}


@pytest.mark.parametrize("name", ACTIVE)
def test_dropout_that_is_on_is_refused(name):
    model, x = between(ACTIVE[name])()
    with pytest.raises(ValueError, match="random"):
        empirical_ntk(model.eval(), x)


def test_a_module_in_training_mode_is_refused():
    model, x = between(nn.ReLU())()
    model.parts["d"] = nn.Dropout()
    with pytest.raises(ValueError, match=r"parts.d \(Dropout\) is in training mode: call model.eval\(\) first"):
        empirical_ntk(model, x)

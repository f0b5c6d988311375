"""Odd networks, beside plain ones that compute the same: what the right kernels are, and what a call leaves."""

import contextlib

import numpy as np
import torch
from torch import nn

from kernel_cases import KINDS, assert_close
from reactivation.ntk import empirical_ntk
from sample_networks import Functional, reference

TOLERANCE = {torch.float32: 1e-6, torch.float64: 1e-12}


def built(make, plain, dtype):
    """The network and its batch, the same ones each time, in a precision from the start."""
    default = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    torch.manual_seed(0)
    try:
        model, x = make(plain)
    finally:
        torch.set_default_dtype(default)
    return model.eval(), x


def right(make, dtype):
    """The plain network in float64, its batch, and its kernels."""
    model, x = built(make, True, dtype)
    x = x.double() if x.is_floating_point() else x
    return model.double(), x, reference(model, x)


def assert_right(make, dtype, tolerance=None):
    """All kernels are right, and so is each layer's share."""
    tolerance = tolerance or TOLERANCE[dtype]
    plain, x, kernels = right(make, dtype)
    found = empirical_ntk(*built(make, False, dtype), kernels=KINDS, per_layer=True)
    assert_close(found, kernels, tolerance)
    layers = {name: name.rpartition(".")[0] or name for name, p in plain.named_parameters() if p.requires_grad}
    assert set(found.layers) == set(layers.values())
    for layer, share in found.layers.items():
        for name, p in plain.named_parameters():
            p.requires_grad_(layers.get(name) == layer)
        for kind, kernel in reference(plain, x).items():
            most = tolerance * np.abs(kernels[kind]).max()
            np.testing.assert_allclose(share[kind], kernel, rtol=0, atol=most, err_msg=f"{layer}, {kind}")


def looks(model):
    """All that a network and its modules hold, by name, with its type and precision."""
    found = {}
    for name, module in model.named_modules():
        for key, value in {**vars(module), **module._parameters, **module._buffers}.items():
            grad = isinstance(value, torch.Tensor) and value.requires_grad
            found[f"{name}.{key}"] = (type(value), getattr(value, "dtype", None), grad)
    return found


def assert_untouched(model, x, fresh):
    """The network is as one that has no kernel yet: it holds the same, computes the same, and trains."""
    now, before = looks(model), looks(fresh)
    changed = {key: (before.get(key), now.get(key)) for key in now | before if now.get(key) != before.get(key)}
    assert not changed, changed
    torch.testing.assert_close(model.state_dict(), fresh.state_dict(), rtol=0, atol=0)
    results = []
    for network in (model, fresh):
        logits = network(x)
        logits.square().sum().backward()
        results.append([logits, *(p.grad for p in network.parameters() if p.grad is not None)])
    torch.testing.assert_close(*results, rtol=0, atol=0)


def assert_left_as_it_was(make):
    """A kernel, or a refusal, leaves the network as it was."""
    model, x = built(make, False, torch.float32)
    with contextlib.suppress(ValueError):
        empirical_ntk(model, x)
    assert_untouched(model, x, built(make, False, torch.float32)[0])


def layers():
    return {"a": nn.Linear(6, 6), "h": nn.Linear(6, 3)}


def batch():
    """Samples of which the first two are in order, all four not."""
    x = torch.randn(4, 6)
    x[:, 0] = torch.tensor([1.0, 2.0, 0.5, 3.0])
    return x


def case(run, plain, parts=layers, x=batch):
    """A network that computes run(parts, x), or plain(parts, x) if it is to do nothing odd."""
    return lambda simple: (Functional(plain if simple else run, **parts()), x())


def head(m, z):
    return m["h"](torch.tanh(z))


def simple(m, x):
    return head(m, m["a"](x))

"""All networks of the kernel's tests, the kernels that they should have, and how close is close."""

import copy
import functools

import numpy as np
import torch

from sample_networks import EXAMPLEWISE, NETWORKS, build, reference

KINDS = ("sum", "trace", "full")
EVERYTHING = NETWORKS | {name: make for name, (make, _) in EXAMPLEWISE.items()}


def in_double(model, x):
    return copy.deepcopy(model).double(), x.double() if x.is_floating_point() else x


@functools.cache
def expected(name):
    model, x = in_double(*build(EVERYTHING[name]))
    return reference(model, x)


def assert_close(kernels, to, tolerance):
    for kind, kernel in kernels.items():
        assert kernel.dtype == np.float64
        np.testing.assert_allclose(kernel, to[kind], rtol=0, atol=tolerance * np.abs(to[kind]).max(), err_msg=kind)


class OwnProduct(torch.autograd.Function):
    """x wᵀ, with derivatives written by hand."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return x @ w.T

    @staticmethod
    def backward(ctx, g):
        x, w = ctx.saved_tensors
        return g @ w, g.T @ x

"""The empirical neural tangent kernel of any PyTorch network. A library of its own: it imports no other room.

    from reactivation.ntk import empirical_ntk

    kernels = empirical_ntk(model.eval(), x)                 # {"sum": (n, n), "trace": (n, n)}, float64
    between = empirical_ntk(model, x, x2, kernels=["full"])  # (n·C, m·C): every logit with every other

kernel       `empirical_ntk`: blocks of samples, each parameter's share, parameters that need the slow way
capture      the forward pass, in float64, taken apart into operations
cotangents   the backward pass: derivatives of every logit with respect to each operation's output
convolution  what contraction and capture need of convolutions: patches and their products; exact convolutions
contraction  inputs and cotangents of one parameter → its share of the kernel, without the whole Jacobian
sparse       the same products over lists of nonzero entries, compiled by numba
guards       precision, memory and random numbers; networks that are refused
"""

from reactivation.ntk.kernel import empirical_ntk

__all__ = ["empirical_ntk"]

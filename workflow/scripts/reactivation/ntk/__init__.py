"""The empirical neural tangent kernel of any PyTorch network: a library of its own, which imports no other room.

    from reactivation.ntk import empirical_ntk

    kernels = empirical_ntk(model.eval(), x)                 # {"sum": (n, n), "trace": (n, n)}, float64
    between = empirical_ntk(model, x, x2, kernels=["full"])  # (n·C, m·C): of every logit with every other

kernel       `empirical_ntk`: blocks of samples, each parameter's share, the parameters that need the slow way
capture      the forward pass, in float64, taken apart into operations
cotangents   the way back: what each operation's output gets from every logit
convolution  patches, their inner products, exact convolutions
contraction  inputs and cotangents of one parameter → its share of the kernel, without the whole Jacobian
sparse       the same products over lists of entries that are not zero, compiled by numba
guards       precision, memory and random numbers; what is refused
"""

from reactivation.ntk.kernel import empirical_ntk

__all__ = ["empirical_ntk"]

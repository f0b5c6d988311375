"""The empirical neural tangent kernel of any PyTorch network. A library of its own: it imports no other room.

    from reactivation.ntk import empirical_ntk

    kernels = empirical_ntk(model.eval(), x)                 # {"sum": (n, n), "trace": (n, n)}, float64, proved
    between = empirical_ntk(model, x, x2, kernels=["full"])  # (n·C, m·C): every logit with every other
    quicker = empirical_ntk(model, x, prove=False)           # without a comparison with the network's own backward pass

kernel       `empirical_ntk`: what it is asked for, computed and proved
proof        uᵀ K u = ‖Jᵀu‖², layer by layer: the kernel against an ordinary backward pass
scheme       how each parameter's share is computed, and how much memory that takes
blocks       the passes of a block of samples, then each parameter's share
exact        the first forward pass, in float64: what each operation returns
capture      the second forward pass: takes the network apart into operations
rules        the table of operations that are taken apart
operations/  their rules, one file for each kind of operation
graph        operations as nodes, and the backward pass for all logits at once
cotangent    derivatives of every logit by an operation's output, dense or with a mask
store        what is kept from the passes to the products, in memory or in a file
contraction  inputs and cotangents of one parameter → its share of the kernel, without the whole Jacobian
windows      what a convolution sees: patches and their products
winograd     fast convolutions in float64
sparse       products over lists of nonzero entries, compiled by numba
gram         inner products of rows that keep float32's digits
sums         kernels being added up, in chunks that fit into memory
snapshot     what a network holds, put back after each pass
guards       precision, memory and random numbers; networks that are refused
"""

from reactivation.ntk.kernel import empirical_ntk

__all__ = ["empirical_ntk"]

"""Networks of one kind of operation: their kernels are right, and nothing in them is taken sample by sample."""

from torch import nn

from kernel_cases import KINDS, assert_close, in_double
from reactivation.ntk import empirical_ntk, guards
from sample_networks import Functional, build, reference


def unlike(model):
    """Weights and biases that begin as 1 or 0, and the statistics of norms, are random numbers."""
    for name, p in model.named_parameters():
        if (p == 0).all() or (p == 1).all():
            nn.init.normal_(p, 1.0 if "weight" in name else 0.0)
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.normal_() if "mean" in name else buffer.uniform_(0.5, 2)
    return model


def of(run, x, **parts):
    """A network that computes run(parts, x)."""
    return lambda: (Functional(run, **{name: make() for name, make in parts.items()}), x())


def assert_right(make, tolerance=1e-12):
    """All kernels are right in both precisions."""
    model, x = build(make)
    unlike(model)
    model64, x64 = in_double(model, x)
    right = reference(model64, x64)
    assert_close(empirical_ntk(model64, x64, kernels=KINDS), right, tolerance)
    assert_close(empirical_ntk(model, x), {kind: right[kind] for kind in ("sum", "trace")}, 1e-6)
    assert_close(empirical_ntk(model, x[:1], x, kernels=["sum"]), {"sum": right["sum"][:1]}, 1e-6)


def assert_taken_apart(make, caplog):
    """They are, and no parameter is differentiated sample by sample."""
    guards._warn_once.cache_clear()
    caplog.clear()
    assert_right(make)
    assert "sample by sample" not in caplog.text

"""Every way to contract a parameter's share, in chunks."""

import pytest
import torch

from kernel_cases import KINDS, assert_close, expected, in_double
from reactivation.ntk import contraction, cotangent, empirical_ntk
from reactivation.training.networks import cnn
from sample_networks import NETWORKS, build, image, reference

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


@pytest.mark.parametrize("kinds", [KINDS, ("sum",), ("trace", "sum")], ids="-".join)
@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense", "lists"])
@pytest.mark.parametrize("way", ["jacobian", "position"])
@pytest.mark.parametrize("name", ["cnn", "convolutions", "mlp", "poolings that overlap", "residual, batch norm"])
def test_every_way_to_contract_gives_the_same_kernel(monkeypatch, name, way, sparse, kinds):
    monkeypatch.setattr(cotangent, "SPARSE", sparse)
    monkeypatch.setattr(contraction, "costs", lambda *_: (0, 1) if way == "jacobian" else (1, 0))
    model, x = in_double(*build(NETWORKS[name]))
    assert_close(empirical_ntk(model, x, kernels=kinds, prove=False), expected(name), 1e-12)
    assert_close(
        empirical_ntk(model, x[:1], x, kernels=kinds, prove=False),
        {k: v[: len(v) // len(x)] for k, v in expected(name).items()},
        1e-12,
    )


def test_the_kernel_of_every_logit_is_whole_beyond_a_strip_of_the_product():
    """n · C > 128: products computed only on and above the diagonal are completed before they are summed."""
    torch.manual_seed(0)
    model, x = in_double(cnn(4, 8, 50).eval(), image(8, 5))
    assert_close(empirical_ntk(model, x, kernels=KINDS, prove=False), reference(model, x), 1e-12)


def test_memory_that_runs_out_halves_the_chunk(monkeypatch):
    model, x = in_double(*build(NETWORKS["mlp"]))
    jacobian, refused = contraction.Factors.jacobian, []

    def scarce(self, taps, channels, room):
        if channels.stop - channels.start > 3:
            refused.append(channels)
            raise torch.OutOfMemoryError("CUDA out of memory")
        return jacobian(self, taps, channels, room)

    monkeypatch.setattr(contraction, "costs", lambda *_: (0, 1))
    monkeypatch.setattr(contraction.Factors, "jacobian", scarce)
    assert_close(empirical_ntk(model, x, kernels=KINDS, prove=False), expected("mlp"), 1e-12)
    assert refused


def test_chunks_go_on_where_a_real_allocation_failed():
    done = []

    def work(part):
        if part.stop - part.start > 3:
            torch.empty(1 << 55)
        done.append(part)

    contraction.in_chunks(0, 7, 7, work)
    assert done == [slice(0, 3), slice(3, 6), slice(6, 7)]
    with pytest.raises(RuntimeError, match="allocate"):
        contraction.in_chunks(0, 1, 1, lambda part: torch.empty(1 << 55))
    with pytest.raises(ZeroDivisionError):
        contraction.in_chunks(0, 4, 4, lambda part: 1 // 0)

"""The kernel against the simplest possible reference, in float64, for every way in which parameters are used."""

import copy
import functools
import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from helpers import own_process
from kernel_cases import EVERYTHING, KINDS, OwnProduct, assert_close, expected, in_double
from reactivation.analysis.metrics import kernel_distance
from reactivation.ntk import blocks, empirical_ntk
from reactivation.training.networks import cnn
from sample_networks import NETWORKS, Functional, build, image, reference

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


# `trace` alone is computed by the same code as `trace` with `sum`, so a few networks suffice for it.
CALLS = [
    *itertools.product(EVERYTHING, [KINDS, ("sum",), ("trace", "sum")]),
    *itertools.product(["cnn", "embedding", "residual, batch norm", "attention"], [("trace",)]),
]


@pytest.mark.parametrize("name, kinds", CALLS, ids=lambda value: value if isinstance(value, str) else "-".join(value))
def test_kernels_are_those_of_a_loop_of_backward_passes(name, kinds):
    model, x = build(EVERYTHING[name])
    assert_close(empirical_ntk(*in_double(model, x), kernels=kinds, prove=False), expected(name), 1e-12)
    kernels = empirical_ntk(model, x, kernels=kinds, prove=False)
    assert list(kernels) == list(kinds)
    assert_close(kernels, expected(name), 1e-6)


@pytest.mark.parametrize("name", EVERYTHING)
def test_kernels_are_symmetric_and_positive_and_follow_from_the_full_one(name):
    model, x = build(EVERYTHING[name])
    kernels = empirical_ntk(model, x, kernels=KINDS, prove=False)
    for kernel in kernels.values():
        assert (kernel == kernel.T).all()
        assert np.linalg.eigvalsh(kernel)[0] > -1e-6 * kernel.max()
    blocks = kernels["full"].reshape(len(x), -1, len(x), len(kernels["full"]) // len(x))
    np.testing.assert_allclose(kernels["sum"], blocks.sum((1, 3)), rtol=0, atol=1e-6 * kernels["sum"].max())
    trace = np.einsum("icjc->ij", blocks) / blocks.shape[1]
    np.testing.assert_allclose(kernels["trace"], trace, rtol=0, atol=1e-6 * trace.max())


@pytest.mark.parametrize("name", EVERYTHING)
def test_layers_sum_to_the_total_and_each_is_the_kernel_of_its_parameters(name):
    model, x = in_double(*build(EVERYTHING[name]))
    kernels = empirical_ntk(model, x, kernels=KINDS, per_layer=True, prove=False)
    trained = {key.rpartition(".")[0] or key for key, p in model.named_parameters() if p.requires_grad}
    assert set(kernels.layers) == trained
    assert_close({kind: sum(share[kind] for share in kernels.layers.values()) for kind in KINDS}, kernels, 1e-12)
    layer = max(kernels.layers, key=lambda layer: kernels.layers[layer]["trace"].max())
    for key, p in model.named_parameters():
        p.requires_grad_((key.rpartition(".")[0] or key) == layer)
    assert_close(kernels.layers[layer], reference(model, x), 1e-12)


def block_of_expected(name, n, rows, columns):
    """The expected kernels between some of the n samples and some others."""
    blocks = {}
    for kind, whole in expected(name).items():
        of_samples = whole.reshape(n, len(whole) // n, n, len(whole) // n)[rows, :, columns]
        blocks[kind] = of_samples.reshape(of_samples.shape[0] * of_samples.shape[1], -1)
    return blocks


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_kernel_between_two_batches_is_a_block_of_that_of_both(name):
    model, x = build(EVERYTHING[name])
    kernels = empirical_ntk(model, x[:2], x[2:], kernels=KINDS, prove=False)
    assert_close(kernels, block_of_expected(name, len(x), slice(2), slice(2, None)), 1e-6)


# What is differentiated sample by sample takes one forward pass for each column of its Jacobian if the limit is 1: a
# small layer shows that as well as an LSTM of 260 parameters, whose least limit here means 21 columns at a time.
TIGHT = [
    *itertools.product(["cnn", "mlp", "rnn", "residual, batch norm", "embedding"], [1, 1 << 14, 1 << 17]),
    *itertools.product(["lstm"], [1 << 11, 1 << 14, 1 << 17]),
    ("learnt token", 1),
]


@pytest.mark.parametrize("name, limit", TIGHT)
def test_neither_chunks_nor_blocks_change_a_kernel(name, limit):
    model, x = in_double(*build(EVERYTHING[name]))
    kernels = empirical_ntk(model, x, kernels=KINDS, memory_limit=limit, prove=False)
    assert_close(kernels, expected(name), 1e-12)
    assert all((kernel == kernel.T).all() for kernel in kernels.values())
    between = empirical_ntk(model, x[:2], x[1:], kernels=KINDS, memory_limit=limit, prove=False)
    assert_close(between, block_of_expected(name, len(x), slice(2), slice(1, None)), 1e-12)


def test_a_small_limit_means_passes_of_few_samples(monkeypatch):
    model, x = build(NETWORKS["cnn"])
    sizes = []
    collect = blocks._collect

    def counted(task, samples, part, *rest, **options):
        sizes.append(part.stop - part.start)
        return collect(task, samples, part, *rest, **options)

    monkeypatch.setattr(blocks, "_collect", counted)
    empirical_ntk(model, x, memory_limit=1 << 16, prove=False)
    assert max(sizes) <= 2 < len(sizes)
    sizes.clear()
    empirical_ntk(model, x, prove=False)
    assert sizes == [len(x)]


@functools.cache
def of_its_own_process():
    """What a process has imported after a kernel, and what one kernel with and one without a limit take, in bytes.

    A process of its own, as the imports and the peak of this one are those of all tests so far.
    """
    code = """
import json, sys
import torch
from ntk_approaches import cnn, empirical_ntk, measured

torch.set_num_threads(1)
model, x = cnn(64, 32, 10).eval(), torch.randn(24, 3, 32, 32)
empirical_ntk(model, x[:8], prove=False)  # loads what is compiled
kernel = lambda limit: empirical_ntk(model, x, memory_limit=limit, prove=False)["sum"]
taken = [measured(lambda: kernel(limit), "cpu")[1] for limit in (20_000_000, None)]
print(json.dumps([sorted(sys.modules), *taken]))
"""
    return json.loads(own_process(code, "benchmarks"))


def test_the_memory_taken_stays_under_the_limit():
    """Only a process's real peak shows what the estimates leave out."""
    _, limited, free = of_its_own_process()
    assert limited < 30e6 < free, (limited, free)  # half as much again as the limit, for what the allocator keeps


def test_zeros_and_ties_survive_the_fast_convolution():
    """Without biases and on a black background whole regions are exactly zero, and stay dead."""
    torch.manual_seed(0)
    model, x = cnn(16, 32, 3).eval(), torch.zeros(12, 3, 32, 32)
    for i, sample in enumerate(x):
        sample[:, 2 * i : 2 * i + 5, 3:11] = torch.rand(3, 5, 8)
    for name, p in model.named_parameters():
        p.detach().mul_(0 if name.endswith("bias") else 1)
    assert_close(empirical_ntk(model, x), reference(*in_double(model, x)), 1e-6)


@pytest.mark.parametrize("n", [1, 3, 8, 17])
def test_float32_keeps_its_digits_for_few_samples_and_long_rows(n):
    torch.manual_seed(0)
    model, x = cnn(64, 32, 10).eval(), torch.rand(n, 3, 32, 32)
    assert_close(empirical_ntk(model, x), empirical_ntk(*in_double(model, x)), 1e-6)


def test_threads_do_not_change_a_kernel():
    model, x = build(NETWORKS["cnn"])
    threads = torch.get_num_threads()
    kernels = {}
    for count in (1, 3):
        torch.set_num_threads(count)
        kernels[count] = empirical_ntk(model, x, kernels=KINDS)
    torch.set_num_threads(threads)
    assert_close(kernels[3], kernels[1], 1e-6)


def test_the_order_of_the_probe_is_the_order_of_the_kernel():
    model, x = in_double(*build(NETWORKS["cnn"]))
    order = torch.tensor([2, 0, 3, 1])
    turned = empirical_ntk(model, x[order])
    for kind, kernel in empirical_ntk(model, x).items():
        np.testing.assert_allclose(turned[kind], kernel[np.ix_(order, order)], rtol=1e-12)


def test_resnet18():
    from reactivation.data.sources import import_torchvision_datasets

    import_torchvision_datasets()
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(num_classes=2).eval()
    x = image(32, 2)
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(*in_double(model, x)), 1e-6)


def test_a_model_that_insists_on_single_precision():
    """The forward pass is in float64 only as far as the model lets it be."""
    torch.manual_seed(0)
    run = lambda m, x: m["head"](torch.relu(m["layer"](x.float() / 2)).float())  # noqa: E731
    model, x = Functional(run, layer=nn.Linear(5, 6), head=nn.Linear(6, 3)), torch.randn(4, 5)
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(model, x), 1e-6)


def test_a_small_step_moves_the_logits_by_the_kernel():
    """Gradient descent on the cross-entropy: Δf(x_i) = −η Σ_j Θ(x_i, x_j) ∂ℓ/∂f(x_j), to first order in η."""
    model, x = in_double(*build(NETWORKS["cnn"]))
    before = model(x)
    loss = nn.functional.cross_entropy(before, torch.arange(len(x)) % 3, reduction="sum")
    slope = torch.autograd.grad(loss, before, retain_graph=True)[0].flatten().numpy()
    rate = 1e-6
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    kernel = empirical_ntk(model, x, kernels=["full"])["full"]
    loss.backward()
    optimizer.step()
    change = (model(x) - before).detach().flatten().numpy()
    np.testing.assert_allclose(change, -rate * kernel @ slope, rtol=0, atol=1e-3 * np.abs(change).max())


class Shifted(nn.Module):
    """A network of which a linear function of the input is added to all logits."""

    def __init__(self, network, features):
        super().__init__()
        self.network, self.shift = network, nn.Linear(features, 1, bias=False)

    def forward(self, x):
        return self.network(x) + self.shift(x.flatten(1))


def test_cross_entropy_ignores_the_sum_of_the_logits():
    """Residuals sum to zero over logits: what is added to all of them gets no gradient, but adds to the kernel."""
    network, x = in_double(*build(NETWORKS["cnn"]))
    model = Shifted(network, x[0].numel()).double()
    logits = model(x)
    classes = logits.shape[1]
    loss = nn.functional.cross_entropy(logits, torch.arange(len(x)) % classes, reduction="sum")
    residuals = torch.autograd.grad(loss, logits, retain_graph=True)[0]
    assert residuals.abs().max() > 0.1
    assert residuals.sum(1).abs().max() < 1e-15
    loss.backward()
    assert network[0].weight.grad.abs().max() > 1e-3
    assert model.shift.weight.grad.abs().max() < 1e-14
    gram = (x.flatten(1) @ x.flatten(1).T).numpy()
    with_shift, without = (empirical_ntk(of, x, kernels=("sum", "trace")) for of in (model, network))
    for kind, share in ("sum", classes**2), ("trace", 1):
        np.testing.assert_allclose(with_shift[kind] - without[kind], share * gram, rtol=1e-9)


# ------------------------------------------------------------------------------------------------ precision, memory
def test_near_ties_are_decided_as_in_exact_arithmetic():
    """w·x = 2⁻²⁴ > 0, but 0 in float32: the unit is alive."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False))
    a = 1 + 2**-12
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[a, -(1 + 2**-11)]])
        model[2].weight[:] = 1
    x = torch.tensor([[a, 1.0]])
    assert empirical_ntk(model, x, kernels=["sum"])["sum"][0, 0] == pytest.approx(4 * (a**2 + 1))


@pytest.mark.parametrize("size", [1e-3, 1e-5])
def test_distances_of_close_kernels_keep_their_digits_in_float32(size):
    """S of two checkpoints close to each other is right to 1 % down to S = 1e-6."""
    torch.manual_seed(0)
    model, x = cnn(32, 16, 10).eval(), image(16, 10)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for p in moved.parameters():
            p += size * p.norm() * torch.randn_like(p) / p.numel() ** 0.5
    for kind in ("sum", "trace"):
        single, double = (
            kernel_distance(*(empirical_ntk(*to(m, x), kernels=[kind])[kind] for m in (model, moved)))
            for to in (lambda m, x: (m, x), in_double)
        )
        assert 1e-8 < double < 1e-3
        assert abs(single - double) < (1e-2 if double > 1e-6 else 0.1) * double


def test_a_network_that_diverged_has_no_finite_kernel():
    model, x = build(NETWORKS["cnn"])
    with torch.no_grad():
        model[3].weight[0, 0, 0, 0] = torch.nan
    for kernel in empirical_ntk(model, x, kernels=KINDS).values():
        assert np.isnan(kernel).any()


# ----------------------------------------------------------------------------------------- what it leaves, what it says
def test_buffers_and_inputs_are_left_as_they_were():
    def run(m, x):
        m["norm"].running_mean = m["norm"].running_mean * 2
        return m["norm"](m["layer"](x.mul_(2)))

    model = Functional(run, layer=nn.Linear(5, 3), norm=nn.BatchNorm1d(3)).double().eval()
    x = torch.randn(4, 5, dtype=torch.float64)
    before, mean = x.clone(), model.parts["norm"].running_mean
    empirical_ntk(model, x)
    assert (x == before).all()
    assert model.parts["norm"].running_mean is mean


def test_a_function_with_derivatives_of_its_own_is_differentiated_sample_by_sample():
    run = lambda m, x: OwnProduct.apply(torch.tanh(m["b"](x)), m["a"].weight)  # noqa: E731
    model = Functional(run, b=nn.Linear(5, 6), a=nn.Linear(6, 3)).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(model, x), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_that_a_forward_pass_changes_are_the_same_for_every_sample(dtype):
    """Parameters differentiated sample by sample (the PReLU's) and all others see the same buffers, integers too."""

    def run(m, x):
        m["norm"].running_mean += 1
        m["norm"].num_batches_tracked += 1
        return m["head"](m["act"](x)) * m["norm"].running_mean[0] * m["norm"].num_batches_tracked

    model = Functional(run, act=nn.PReLU(), head=nn.Linear(6, 3), norm=nn.BatchNorm1d(1)).eval().to(dtype)
    kernels = empirical_ntk(model, -torch.ones(3, 6, dtype=dtype), per_layer=True)
    assert set(kernels.layers) >= {"parts.act", "parts.head"}
    for share in kernels.layers.values():
        assert np.ptp(share["trace"]) == 0
    assert not model.parts["norm"].running_mean
    assert not model.parts["norm"].num_batches_tracked


def test_samples_taken_one_by_one_are_copies_and_integer_parameters_stay_integers():
    def run(m, x):
        return m["head"](m["act"](x.mul_(2)))[:, m["order"].parts]

    order = nn.Module()
    order.parts = nn.Parameter(torch.tensor([2, 0, 1]), requires_grad=False)
    model = Functional(run, act=nn.PReLU(), head=nn.Linear(6, 3), order=order).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    before = x.clone()
    kernels = empirical_ntk(model, x, kernels=KINDS, memory_limit=1)
    assert (x == before).all()
    assert_close(kernels, reference(model, x.clone()), 1e-12)


def test_a_kernel_does_not_import_torchs_compiler():
    """It does not import sympy either, which comes with the compiler: together they cost every job a second."""
    imported, *_ = of_its_own_process()
    assert "reactivation.ntk.kernel" in imported and not {"torch._dynamo", "sympy"} & set(imported)


def test_an_embedding_that_rewrites_itself_is_refused():
    model = Functional(lambda m, i: m["table"](i).mean(1), table=nn.Embedding(7, 3, max_norm=1.0))
    with pytest.raises(ValueError, match="max_norm"):
        empirical_ntk(model, torch.randint(0, 7, (3, 4)))


@pytest.mark.parametrize("kinds", [[], ["trace", "ntk"], "sum"])
def test_unknown_kinds_are_refused(kinds):
    model, x = build(NETWORKS["cnn"])
    with pytest.raises(ValueError, match="kernels must be some of sum, trace, full"):
        empirical_ntk(model, x, kernels=kinds)


def test_no_samples_are_refused():
    model, x = build(NETWORKS["cnn"])
    for batches in ((x[:0],), (x, x[:0])):
        with pytest.raises(ValueError, match="one sample at least"):
            empirical_ntk(model, *batches)
    for batches in ((x, x[:, :2]), ("images",), (x[0, 0, 0, 0],)):
        with pytest.raises(ValueError, match="x and x2 must be tensors of samples"):
            empirical_ntk(model, *batches)
    with pytest.raises(ValueError, match="memory_limit must be a number of bytes, not 0"):
        empirical_ntk(model, x, memory_limit=0)

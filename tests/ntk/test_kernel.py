"""The kernel against the simplest possible reference, in float64, for every way in which parameters are used."""

import copy
import functools
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from helpers import own_process
from networks import EXAMPLEWISE, NETWORKS, Functional, build, image, network, reference
from reactivation.analysis.metrics import kernel_distance
from reactivation.ntk import contraction, cotangents, empirical_ntk, guards
from reactivation.ntk import kernel as module
from reactivation.training.networks import cnn

# Torch warns of it on the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
KINDS = ("sum", "trace", "full")
EVERYTHING = NETWORKS | {name: make for name, (make, _) in EXAMPLEWISE.items()}


@pytest.fixture(autouse=True)
def forget_warnings():
    guards._warn_once.cache_clear()


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


@pytest.mark.parametrize("kinds", [KINDS, ("sum",), ("trace",), ("trace", "sum")], ids="-".join)
@pytest.mark.parametrize("name", EVERYTHING)
def test_kernels_are_those_of_a_loop_of_backward_passes(name, kinds):
    model, x = build(EVERYTHING[name])
    assert_close(empirical_ntk(*in_double(model, x), kernels=kinds), expected(name), 1e-12)
    kernels = empirical_ntk(model, x, kernels=kinds)
    assert list(kernels) == list(kinds)
    assert_close(kernels, expected(name), 1e-6)


@pytest.mark.parametrize("name", EVERYTHING)
def test_kernels_are_symmetric_and_positive_and_follow_from_the_full_one(name):
    model, x = build(EVERYTHING[name])
    kernels = empirical_ntk(model, x, kernels=KINDS)
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
    kernels = empirical_ntk(model, x, kernels=KINDS, per_layer=True)
    trained = {key.rpartition(".")[0] or key for key, p in model.named_parameters() if p.requires_grad}
    assert set(kernels.layers) == trained
    assert_close({kind: sum(share[kind] for share in kernels.layers.values()) for kind in KINDS}, kernels, 1e-12)
    layer = max(kernels.layers, key=lambda layer: kernels.layers[layer]["trace"].max())
    for key, p in model.named_parameters():
        p.requires_grad_((key.rpartition(".")[0] or key) == layer)
    assert_close(kernels.layers[layer], reference(model, x), 1e-12)


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_kernel_between_two_batches_is_a_block_of_that_of_both(name):
    model, x = build(EVERYTHING[name])
    both = {kind: k.reshape(len(x), -1, len(x), len(k) // len(x)) for kind, k in expected(name).items()}
    kernels = empirical_ntk(model, x[:2], x[2:], kernels=KINDS)
    for kind, kernel in kernels.items():
        block = both[kind][:2, :, 2:]
        np.testing.assert_allclose(kernel, block.reshape(kernel.shape), rtol=0, atol=1e-6 * np.abs(both[kind]).max())


@pytest.mark.parametrize("name", ["cnn", "mlp", "rnn", "residual, batch norm", "embedding", "lstm"])
@pytest.mark.parametrize("limit", [1, 1 << 14, 1 << 17])
def test_neither_chunks_nor_blocks_change_a_kernel(name, limit):
    model, x = in_double(*build(EVERYTHING[name]))
    kernels = empirical_ntk(model, x, kernels=KINDS, memory_limit=limit)
    assert_close(kernels, expected(name), 1e-12)
    assert all((kernel == kernel.T).all() for kernel in kernels.values())
    between = empirical_ntk(model, x[:3], x[1:], kernels=KINDS, memory_limit=limit)
    whole = empirical_ntk(model, x[:3], x[1:], kernels=KINDS)
    assert_close(between, whole, 1e-12)


def test_a_small_limit_means_blocks_of_few_samples(monkeypatch):
    model, x = build(NETWORKS["cnn"])
    sizes = []
    add_block = module._add_block
    monkeypatch.setattr(
        module, "_add_block", lambda model, x, *rest: (sizes.append(len(x)), add_block(model, x, *rest))
    )
    empirical_ntk(model, x, memory_limit=1 << 17)
    assert max(sizes) <= 2 < len(sizes)
    sizes.clear()
    empirical_ntk(model, x)
    assert sizes == [len(x)]


def test_the_memory_taken_stays_under_the_limit():
    """In a process of its own: the peak of this one is that of all tests so far."""
    code = """
import torch
from ntk_approaches import cnn, empirical_ntk, measured

torch.set_num_threads(1)
model, x = cnn(64, 32, 10).eval(), torch.randn(64, 3, 32, 32)
for limit in (50_000_000, None):
    call = lambda: empirical_ntk(model, x, memory_limit=limit)["sum"]
    call()  # loads what is compiled
    print(measured(call, "cpu")[1])
"""
    limited, free = map(int, own_process(code, "benchmarks").split())
    assert limited < 75e6 < free, (limited, free)  # half as much again as the limit, for what the allocator keeps


@pytest.mark.parametrize("kinds", [KINDS, ("sum",), ("trace", "sum")], ids="-".join)
@pytest.mark.parametrize("sparse", [0.0, 1.0], ids=["dense", "lists"])
@pytest.mark.parametrize("way", ["jacobian", "position"])
@pytest.mark.parametrize("name", ["cnn", "convolutions", "mlp", "poolings that overlap", "residual, batch norm"])
def test_every_way_to_contract_gives_the_same_kernel(monkeypatch, name, way, sparse, kinds):
    monkeypatch.setattr(cotangents, "SPARSE", sparse)
    monkeypatch.setattr(contraction, "costs", lambda *_: (0, 1) if way == "jacobian" else (1, 0))
    model, x = in_double(*build(NETWORKS[name]))
    assert_close(empirical_ntk(model, x, kernels=kinds), expected(name), 1e-12)
    assert_close(
        empirical_ntk(model, x[:1], x, kernels=kinds),
        {k: v[: len(v) // len(x)] for k, v in expected(name).items()},
        1e-12,
    )


def test_the_kernel_of_every_logit_is_whole_beyond_a_strip_of_the_product():
    """n · C > 128: what is computed on and above the diagonal only is completed before it is summed."""
    torch.manual_seed(0)
    model, x = in_double(cnn(4, 8, 50).eval(), image(8, 5))
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(model, x), 1e-12)


def test_zeros_and_ties_survive_the_fast_convolution():
    """Without biases and on a black background whole regions are exactly zero, and stay dead."""
    torch.manual_seed(0)
    model, x = in_double(cnn(16, 32, 3).eval(), torch.zeros(12, 3, 32, 32))
    for i, sample in enumerate(x):
        sample[:, 2 * i : 2 * i + 5, 3:11] = torch.rand(3, 5, 8)
    for name, p in model.named_parameters():
        p.detach().mul_(0 if name.endswith("bias") else 1)
    assert_close(empirical_ntk(model, x), reference(model, x), 1e-10)


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
    from reactivation.data.sources import _import_torchvision_datasets

    _import_torchvision_datasets()
    from torchvision.models import resnet18

    torch.manual_seed(0)
    model = resnet18(num_classes=3).eval()
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
    assert_close(empirical_ntk(model, x, kernels=KINDS), expected("mlp"), 1e-12)
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


def test_memory_that_runs_out_between_chunks_halves_the_blocks(monkeypatch, caplog):
    """As where cotangents of a block are joined: smaller blocks need less; where nothing is small enough, it is told."""
    model, x = in_double(*build(NETWORKS["cnn"]))
    add_block, sizes = module._add_block, []

    def scarce(model, samples, *rest):
        sizes.append(len(samples))
        if len(samples) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add_block(model, samples, *rest)

    monkeypatch.setattr(module, "_add_block", scarce)
    most = 2
    assert_close(empirical_ntk(model, x, kernels=KINDS), expected("cnn"), 1e-12)
    assert max(sizes) > 2 and "memory ran out: again, for" in caplog.text
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        empirical_ntk(model, x)


def test_a_network_that_diverged_has_no_finite_kernel():
    model, x = build(NETWORKS["cnn"])
    with torch.no_grad():
        model[3].weight[0, 0, 0, 0] = torch.nan
    for kernel in empirical_ntk(model, x, kernels=KINDS).values():
        assert np.isnan(kernel).any()


# ----------------------------------------------------------------------------------------- what it leaves, what it says
@pytest.mark.parametrize(
    "context",
    [torch.no_grad, torch.inference_mode, functools.partial(torch.autocast, "cpu", torch.bfloat16)],
    ids=["no_grad", "inference_mode", "autocast"],
)
def test_the_callers_modes_change_nothing_and_nothing_is_left_behind(context):
    model, x = build(NETWORKS["residual, batch norm"])
    state = copy.deepcopy(model.state_dict())
    with context():
        kernels = empirical_ntk(model, x, kernels=KINDS)
        assert torch.get_default_dtype() == torch.float32
    assert_close(kernels, expected("residual, batch norm"), 1e-6)
    assert all(p.grad is None for p in model.parameters())
    assert all((value == state[key]).all() for key, value in model.state_dict().items())


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


# Each switch to a lower precision that torch has, the older and the newer ones.
LOWERED = {
    "none": "",
    "both kinds": 'torch.set_float32_matmul_precision("medium"); torch.backends.cudnn.conv.fp32_precision = "ieee"',
    "older, of products": 'torch.set_float32_matmul_precision("medium")',
    "older, of cuDNN": "torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32",
    "newer, of all": 'torch.backends.fp32_precision = "tf32"',
    "newer, of products": 'torch.backends.cuda.matmul.fp32_precision = "tf32"',
    "newer, of oneDNN's products": 'torch.backends.mkldnn.matmul.fp32_precision = "bf16"',
    "newer, of oneDNN's convolutions": 'torch.backends.mkldnn.conv.fp32_precision = "bf16"',
}


@pytest.mark.parametrize("switch", LOWERED)
def test_lower_precisions_are_not_used_and_given_back(switch):
    """In a process of its own: torch has no way to unset some of them."""
    code = f"""
import torch
from reactivation.training.networks import cnn
from reactivation.ntk import empirical_ntk

torch.manual_seed(0)
model, x = cnn(64, 16, 10).eval(), torch.randn(16, 3, 16, 16)
exact = empirical_ntk(model.double(), x.double())
enabled = []
model.float().register_forward_hook(lambda *_: enabled.append(torch.backends.cudnn.enabled))
b = torch.backends
leaves = [b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn]
{LOWERED[switch]}


def state():
    values = [leaf.fp32_precision for leaf in leaves]
    for older in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            values.append(older())
        except RuntimeError:
            values.append("disagrees")
    return values


before = state()
for kind, kernel in empirical_ntk(model, x).items():
    assert abs(kernel - exact[kind]).max() < 1e-6 * exact[kind].max(), abs(kernel - exact[kind]).max() / exact[kind].max()
assert state() == before, (before, state())
assert enabled and all(enabled)
if not {LOWERED[switch]!r}:  # what was not set still follows the general switch
    torch.backends.fp32_precision = "bf16"
    assert torch.backends.mkldnn.conv.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "bf16"
"""
    own_process(code)


@pytest.mark.parametrize("name", EXAMPLEWISE)
def test_what_is_differentiated_sample_by_sample_is_said_once(name, caplog):
    make, parameters = EXAMPLEWISE[name]
    model, x = build(make)
    with caplog.at_level(logging.WARNING):
        empirical_ntk(model, x)
        empirical_ntk(model, x)
    (record,) = caplog.records
    said, _, listed = record.message.partition(": ")
    assert said == "not taken apart, so differentiated sample by sample, which is exact but slow"
    assert set(listed.split(", ")) == parameters


def test_nothing_is_said_of_what_is_taken_apart(caplog):
    for make in NETWORKS.values():
        empirical_ntk(*build(make))
    assert not caplog.records


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5)])
def test_layers_that_couple_or_blur_samples_are_refused_in_training_mode(layer):
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"1 \((BatchNorm1d|Dropout)\) is in training mode: call model.eval"):
        empirical_ntk(model, torch.randn(3, 4))
    assert empirical_ntk(model.eval(), torch.randn(3, 4))["sum"].shape == (3, 3)


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


def with_backward_hook(model):
    model[1].register_full_backward_hook(lambda *_: None)
    return model


REFUSED = {
    "batch norm with the statistics of the batch": network(nn.BatchNorm2d(3, track_running_stats=False)),
    "dropout is active": Functional(lambda m, x: nn.functional.dropout(m["a"](x.flatten(1))), a=nn.Linear(48, 3)),
    "change with the other samples": Functional(lambda m, x: m["a"]((x - x.mean(0)).flatten(1)), a=nn.Linear(48, 3)),
    "change with the other samples of": Functional(
        lambda m, x: m["a"](torch.tanh(m["b"](x.flatten(1).flip(0))).flip(0)), b=nn.Linear(48, 5), a=nn.Linear(5, 3)
    ),
    "change with the other": Functional(lambda m, x: m["a"]((x + 1e-3 * x.mean(0)).flatten(1)), a=nn.Linear(48, 3)),
    "differentiates in its forward pass": Functional(
        lambda m, x: torch.autograd.grad(m["a"](x.requires_grad_().flatten(1)).square().sum(), x, create_graph=True)[
            0
        ].flatten(1),
        a=nn.Linear(48, 3),
    ),
    "uses torch.func": Functional(lambda m, x: torch.func.vmap(m["a"])(x.flatten(1)), a=nn.Linear(48, 3)),
    "draws random numbers": Functional(lambda m, x: m["a"](x.flatten(1)) * (torch.rand(()) < 0.99), a=nn.Linear(48, 3)),
    "does not run in float64": Functional(
        lambda m, x: OwnProduct.apply(m["b"](x.flatten(1)), m["a"].weight), b=nn.Linear(48, 5), a=nn.Linear(5, 3)
    ),
    "complex": nn.Sequential(nn.Flatten(), nn.Linear(48, 3, dtype=torch.cfloat)),
    r"returns \(1, 0\)": Functional(lambda m, x: m["a"](x.flatten(1))[:, :0], a=nn.Linear(48, 3)),
    "has a backward hook": with_backward_hook(nn.Sequential(nn.Flatten(), nn.Linear(48, 3))),
    r"logits \(n, C\), but for 1 samples this model returns \(1, 3, 4, 4\)": nn.Conv2d(3, 3, 1),
    r"logits \(n, C\), but for 1 samples this model returns tuple": Functional(
        lambda m, x: (m["a"](x),), a=nn.Conv2d(3, 3, 1)
    ),
    "no parameter requires gradients": nn.Sequential(nn.Flatten(), nn.Linear(48, 3).requires_grad_(False)),
    "no parameter that requires gradients reaches the logits": Functional(lambda m, x: x.flatten(1), a=nn.Linear(2, 2)),
    "for another number of samples": Functional(
        lambda m, x: m["a"](x.flatten(1)) if len(x) < 3 else x.flatten(1) @ m["a"].weight.T + m["a"].bias,
        a=nn.Linear(48, 3),
    ),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_exact_kernel_is_refused(message):
    model, x = REFUSED[message].eval(), image(4)
    if isinstance(model, nn.Sequential) and any(isinstance(m, nn.LazyLinear) for m in model):
        model[0].eval()
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, x)


def test_a_function_with_derivatives_of_its_own_is_differentiated_sample_by_sample():
    run = lambda m, x: OwnProduct.apply(torch.tanh(m["b"](x)), m["a"].weight)  # noqa: E731
    model = Functional(run, b=nn.Linear(5, 6), a=nn.Linear(6, 3)).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(model, x), 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_buffers_that_a_forward_pass_changes_are_the_same_for_every_sample(dtype):
    """Parameters taken apart and others (the PReLU's) see the same first call, of integers too, in every precision."""

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


def test_another_thread_may_draw_random_numbers():
    model, x = build(NETWORKS["mlp"])
    done = threading.Event()
    torch.manual_seed(0)
    expected_draws = [torch.rand((), dtype=torch.float32).item() for _ in range(2000)]
    torch.manual_seed(0)

    def draw():
        while not done.is_set():
            drawn.append(torch.rand((), dtype=torch.float32).item())

    drawn: list[float] = []
    thread = threading.Thread(target=draw)
    thread.start()
    for _ in range(10):
        empirical_ntk(model, x)
    done.set()
    thread.join()
    assert drawn[:2000] == expected_draws[: len(drawn)]


def test_calls_in_several_threads_wait_for_each_other():
    model, x = build(NETWORKS["rnn"])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: empirical_ntk(model, x)["sum"], range(40)))
    assert torch.get_default_dtype() == torch.float32
    assert all((kernel == found[0]).all() for kernel in found)


def test_a_kernel_does_not_import_torchs_compiler():
    """Nor sympy, which comes with it: a second, in every job."""
    code = """
import sys, torch
from reactivation.training.networks import cnn
from reactivation.ntk import empirical_ntk

empirical_ntk(cnn(4, 8, 3).eval(), torch.randn(4, 3, 8, 8))
print(*{"torch._dynamo", "sympy"} & sys.modules.keys())
"""
    assert own_process(code) == "\n"


def test_where_no_cache_can_be_written_each_process_compiles():
    code = (
        "from numba.core import caching; caching.CacheImpl._locator_classes = []; from reactivation.ntk import sparse"
    )
    own_process(code)


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

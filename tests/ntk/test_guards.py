"""Precision, memory, random numbers and threads; refusals and warnings."""

import copy
import functools
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from helpers import own_process
from kernel_cases import KINDS, assert_close, expected, in_double
from reactivation.ntk import blocks, empirical_ntk, guards
from sample_networks import EXAMPLEWISE, NETWORKS, Functional, build, image, network

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")


@pytest.fixture(autouse=True)
def forget_warnings():
    guards._warn_once.cache_clear()


def test_memory_that_runs_out_between_chunks_halves_the_blocks(monkeypatch, caplog):
    """Joining cotangents takes memory; smaller blocks take less. If none is small enough, an error says so."""
    model, x = in_double(*build(NETWORKS["cnn"]))
    contract, sizes = blocks._contract, []

    def scarce(uses, *rest):
        sizes.append(len(uses[0][0].x))
        if sizes[-1] > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return contract(uses, *rest)

    monkeypatch.setattr(blocks, "_contract", scarce)
    most = 2
    assert_close(empirical_ntk(model, x, kernels=KINDS), expected("cnn"), 1e-12)
    assert max(sizes) > 2 and "memory ran out: trying again with" in caplog.text
    most = 0
    with pytest.raises(torch.OutOfMemoryError):
        empirical_ntk(model, x)


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


CHECK_LOWERED = """
import json, os, traceback
import torch
from reactivation.training.networks import cnn
from reactivation.ntk import empirical_ntk

torch.set_num_threads(1)
b = torch.backends
leaves = [b.cuda.matmul, b.cudnn.conv, b.cudnn.rnn, b.mkldnn.matmul, b.mkldnn.conv, b.mkldnn.rnn]


def state():
    values = [leaf.fp32_precision for leaf in leaves]
    for older in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            values.append(older())
        except RuntimeError:
            values.append("disagrees")
    return values


def check(switch):
    torch.manual_seed(0)
    model, x = cnn(32, 16, 10).eval(), torch.randn(8, 3, 16, 16)
    exact = empirical_ntk(model.double(), x.double())
    enabled = []
    model.float().register_forward_hook(lambda *_: enabled.append(torch.backends.cudnn.enabled))
    exec(switch)
    before = state()
    for kind, kernel in empirical_ntk(model, x).items():
        off = abs(kernel - exact[kind]).max() / exact[kind].max()
        assert off < 1e-6, off
    assert state() == before, (before, state())
    assert enabled and all(enabled)
    if not switch:  # what was not set still follows the general switch
        torch.backends.fp32_precision = "bf16"
        assert torch.backends.mkldnn.conv.fp32_precision == torch.backends.mkldnn.matmul.fp32_precision == "bf16"


found = {}
for switch in SWITCHES:
    reader, writer = os.pipe()
    if not os.fork():
        try:
            check(switch)
            said = "as it should be"
        except Exception:
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as pipe:
        found[switch] = pipe.read()
print(json.dumps(found))
"""


@functools.cache
def found_after_switches():
    """What each switch leads to, by its code.

    Torch cannot unset some of them, so that each has a process of its own; a fork imports nothing again.
    """
    code = CHECK_LOWERED.replace("SWITCHES", repr(list(LOWERED.values())))
    return json.loads(own_process(code).splitlines()[-1])


@pytest.mark.parametrize("switch", LOWERED)
def test_lower_precisions_are_not_used_and_given_back(switch):
    """Only torch itself knows which of its switches follow which others."""
    assert found_after_switches()[LOWERED[switch]] == "as it should be"


# ------------------------------------------------------------------------------------------------------------ warnings
@pytest.mark.parametrize("name", EXAMPLEWISE)
def test_what_is_differentiated_sample_by_sample_is_said_once(name, caplog):
    make, parameters = EXAMPLEWISE[name]
    model, x = build(make)
    with caplog.at_level(logging.WARNING):
        empirical_ntk(model, x)
        empirical_ntk(model, x)
    (record,) = caplog.records
    said, _, listed = record.message.partition(": ")
    assert said == "these are differentiated sample by sample, which is exact but slow"
    assert set(listed.split(", ")) == parameters


def test_nothing_is_said_of_what_is_taken_apart(caplog):
    for make in NETWORKS.values():
        empirical_ntk(*build(make))
    assert not caplog.records


# ----------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5)])
def test_layers_that_couple_or_blur_samples_are_refused_in_training_mode(layer):
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"1 \((BatchNorm1d|Dropout)\) is in training mode: call model.eval"):
        empirical_ntk(model, torch.randn(3, 4))
    assert empirical_ntk(model.eval(), torch.randn(3, 4))["sum"].shape == (3, 3)


def with_backward_hook(model):
    model[1].register_full_backward_hook(lambda *_: None)
    return model


REFUSED = {
    "batch norm with the statistics of the batch": network(nn.BatchNorm2d(3, track_running_stats=False)),
    "dropout is active": Functional(lambda m, x: nn.functional.dropout(m["a"](x.flatten(1))), a=nn.Linear(48, 3)),
    "change with the other samples": Functional(lambda m, x: m["a"]((x - x.mean(0)).flatten(1)), a=nn.Linear(48, 3)),
    "change with the other": Functional(lambda m, x: m["a"]((x + 1e-3 * x.mean(0)).flatten(1)), a=nn.Linear(48, 3)),
    "differentiates in its forward pass": Functional(
        lambda m, x: torch.autograd.grad(m["a"](x.requires_grad_().flatten(1)).square().sum(), x, create_graph=True)[
            0
        ].flatten(1),
        a=nn.Linear(48, 3),
    ),
    "uses torch.func": Functional(lambda m, x: torch.func.vmap(m["a"])(x.flatten(1)), a=nn.Linear(48, 3)),
    "draws random numbers": Functional(lambda m, x: m["a"](x.flatten(1)) * (torch.rand(()) < 0.99), a=nn.Linear(48, 3)),
    "complex": nn.Sequential(nn.Flatten(), nn.Linear(48, 3, dtype=torch.cfloat)),
    r"returns \(2, 0\)": Functional(lambda m, x: m["a"](x.flatten(1))[:, :0], a=nn.Linear(48, 3)),
    "has a backward hook": with_backward_hook(nn.Sequential(nn.Flatten(), nn.Linear(48, 3))),
    r"logits \(n, C\), but for 2 samples this model returns \(2, 3, 4, 4\)": nn.Conv2d(3, 3, 1),
    r"logits \(n, C\), but for 2 samples this model returns tuple": Functional(
        lambda m, x: (m["a"](x),), a=nn.Conv2d(3, 3, 1)
    ),
    "no parameter requires gradients": nn.Sequential(nn.Flatten(), nn.Linear(48, 3).requires_grad_(False)),
    "no parameter that requires gradients reaches the logits": Functional(lambda m, x: x.flatten(1), a=nn.Linear(2, 2)),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_has_no_exact_kernel_is_refused(message):
    model, x = REFUSED[message].eval(), image(4)
    if isinstance(model, nn.Sequential) and any(isinstance(m, nn.LazyLinear) for m in model):
        model[0].eval()
    with pytest.raises(ValueError, match=message):
        empirical_ntk(model, x)


# ------------------------------------------------------------------------------------------------------------- threads
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
        found = list(pool.map(lambda _: empirical_ntk(model, x)["sum"], range(20)))
    assert torch.get_default_dtype() == torch.float32
    assert all((kernel == found[0]).all() for kernel in found)

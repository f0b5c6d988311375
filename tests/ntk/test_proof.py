"""What the proof of a kernel promises. That it finds every fault is shown by test_proof_mutations.py."""

import copy
import gc
import random

import numpy as np
import pytest
import torch
from torch import nn

import mutations
from kernel_cases import KINDS, assert_close, expected, in_double
from mutations import larger, only, replaced
from odd_cases import batch
from reactivation.ntk import empirical_ntk, kernel, proof
from sample_networks import EXAMPLEWISE, NETWORKS, Functional, build, reference

PULL = "operations.linear._pull"
UNPROVED = r"the kernel of (\S+) could not be proved: it is off by ([\d.e-]+) of what"


def spied(monkeypatch, module, name):
    """The arguments of each call of a function, which goes on as before."""
    function, calls = getattr(module, name), []
    monkeypatch.setattr(module, name, lambda *args: (calls.append(args), function(*args))[1])
    return calls


def test_an_error_names_the_layer_and_says_by_how_much(monkeypatch):
    replaced(monkeypatch, "contraction.jacobian", only("scale", larger))
    with pytest.raises(ValueError, match=UNPROVED) as caught:
        empirical_ntk(*build(NETWORKS["linear over positions"]))
    assert caught.match("the kernel of 2 could")
    assert 0.01 < float(caught.value.args[0].partition("off by ")[2].split()[0]) < 0.1


@pytest.mark.parametrize("draws", [1, 2])
def test_the_second_draw_finds_what_the_first_cannot(monkeypatch, draws):
    """The first one has equal weights for all logits, and so does not see their order."""
    monkeypatch.setattr(proof, "DRAWS", draws)
    replaced(monkeypatch, "graph.cotangents", mutations.other_logits)
    model, x = in_double(*build(NETWORKS["mlp"]))
    if draws == 2:
        with pytest.raises(ValueError, match=UNPROVED):
            empirical_ntk(model, x, kernels=["full"])
    else:
        empirical_ntk(model, x, kernels=["full"])


@pytest.mark.parametrize("broken", [False, True], ids=["right", "broken"])
@pytest.mark.parametrize("rows, columns", [(1, None), (5, None), (1, 1), (1, 4), (4, 1), (2, 3), (5, 5)])
@pytest.mark.parametrize("name", ["mlp", "lstm"])
def test_batches_of_all_sizes_are_proved(monkeypatch, name, rows, columns, broken):
    model, x = in_double(*build((NETWORKS | {"lstm": EXAMPLEWISE["lstm"][0]})[name]))
    x = torch.cat([x, x.flip(0) / 2])
    batches = (x[:rows],) if columns is None else (x[:rows], x[-columns:])
    if not broken:
        assert_close(empirical_ntk(model, *batches, kernels=KINDS), reference(model, *batches), 1e-12)
        return
    replaced(monkeypatch, "contraction.contract", lambda *_: None)
    replaced(monkeypatch, "contraction.jacobian", larger)
    for kind in KINDS:
        with pytest.raises(ValueError, match=UNPROVED):
            empirical_ntk(model, *batches, kernels=[kind])


@pytest.mark.parametrize("limit", [1, 1 << 12])
def test_blocks_and_small_batches_are_proved(monkeypatch, limit):
    model, x = in_double(*build(NETWORKS["mlp"]))
    assert_close(empirical_ntk(model, x, memory_limit=limit), {k: expected("mlp")[k] for k in ("sum", "trace")}, 1e-12)
    replaced(monkeypatch, PULL, larger)
    for batches in ((x,), (x[:2], x[2:])):
        with pytest.raises(ValueError, match=UNPROVED):
            empirical_ntk(model, *batches, memory_limit=limit)


def near_tie():
    """w·x = 2⁻²⁴ > 0, but 0 in float32: there, the network's own unit is dead."""
    model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.ReLU(), nn.Linear(1, 2, bias=False))
    a = 1 + 2**-12
    with torch.no_grad():
        model[0].weight[:] = torch.tensor([[a, -(1 + 2**-11)]])
        model[2].weight[:] = 1
    return model, torch.tensor([[a, 1.0]]), 4 * (a**2 + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_that_is_inexact_itself_is_proved_in_float64(monkeypatch, kind):
    model, x, right = near_tie()
    sides = spied(monkeypatch, kernel, "right_side")
    found = empirical_ntk(model, x, kernels=[kind])[kind]
    assert found[0, 0] == pytest.approx(right if kind == "sum" else right / 4)
    assert [side[3] for side in sides][-2:] == [None, torch.float64]


def test_a_network_that_is_exact_is_not_proved_again_in_float64(monkeypatch):
    sides = spied(monkeypatch, kernel, "right_side")
    empirical_ntk(*build(NETWORKS["poolings that overlap"]), kernels=KINDS)
    assert len(sides) == 3 and {side[3] for side in sides} == {None}


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_networks_that_diverged_have_no_finite_kernel_and_no_error(value, dtype):
    model, x = build(NETWORKS["mlp"])
    with torch.no_grad():
        model[2].weight[0, 0] = value
    for found in empirical_ntk(model.to(dtype), x.to(dtype), kernels=KINDS).values():
        assert not np.isfinite(found).all()


def test_samples_that_diverge_do_not_hide_that_a_kernel_is_finite():
    model, x = in_double(*build(NETWORKS["mlp"]))
    x[1] = torch.nan
    found = empirical_ntk(model, x, kernels=KINDS)
    assert np.isfinite(found["sum"][0, 0]) and np.isnan(found["sum"][1, 1])
    np.testing.assert_allclose(found["sum"][0, 2:], expected("mlp")["sum"][0, 2:], rtol=1e-12)


def test_without_a_proof_there_is_no_pass_of_the_untouched_network(monkeypatch):
    def never(*_):
        raise AssertionError("a proof")

    monkeypatch.setattr(kernel, "right_side", never)
    monkeypatch.setattr(proof, "_gradients", never)
    model, x = in_double(*build(NETWORKS["mlp"]))
    assert_close(empirical_ntk(model, x, kernels=KINDS, prove=False), expected("mlp"), 1e-12)
    with pytest.raises(AssertionError, match="a proof"):
        empirical_ntk(model, x, kernels=KINDS)


def test_a_proof_changes_no_number_and_returns_only_what_was_asked_for():
    for dtype in (torch.float32, torch.float64):
        model, x = build(NETWORKS["poolings that overlap"])
        model, x = model.to(dtype), x.to(dtype)
        for kinds in (["trace"], ["sum"], ["full", "trace"]):
            proved, plain = (empirical_ntk(model, x, kernels=kinds, per_layer=True, prove=p) for p in (True, False))
            assert list(proved) == list(plain) == kinds
            assert {tuple(share) for share in proved.layers.values()} == {tuple(kinds)}
            assert_close(proved, plain, 1e-15 if dtype == torch.float64 else 1e-6)


def test_the_callers_random_numbers_stay():
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002

    model, x = build(NETWORKS["mlp"])
    before = states()
    empirical_ntk(model, x, kernels=KINDS)
    empirical_ntk(model, x[:2], x[2:])
    assert states() == before


def counted(monkeypatch, model):
    """Functions that count the passes of the untouched network, forward and backward, since the last time.

    The pass of one sample that each call begins with is left out.
    """
    passes, backward = [], spied(monkeypatch, proof, "backward")
    note = lambda _, given, __: passes.append(torch._C._len_torch_function_stack() if len(given[0]) > 1 else -1)  # noqa: E731
    model.register_forward_hook(note)

    def since():
        found = passes.count(0), len(backward)
        passes.clear()
        backward.clear()
        return found

    return since


def test_a_proof_takes_one_forward_pass_and_two_backward_passes_and_at_first_one_of_each_logit(monkeypatch):
    model, x = build(NETWORKS["mlp"])
    since = counted(monkeypatch, model)
    empirical_ntk(model, x, kernels=["sum"])
    assert since() == (1, 2)
    empirical_ntk(model, x)
    forward, backward = since()
    assert 2 <= forward <= 1 + 3 and backward == 2 + 3
    for kinds in (["sum", "trace"], ["trace"], ["sum"]):
        empirical_ntk(model, x, kernels=kinds)
        assert since() == (1, 2)
    empirical_ntk(model, x, kernels=["full"])
    assert since() == (1, 2)
    empirical_ntk(model, x[:2], x[2:])
    assert since() == (2, 4)
    empirical_ntk(copy.deepcopy(model), x, kernels=["trace"])
    assert since()[1] == 2 + 3  # another network, which is not known


def test_a_trace_that_has_been_proved_is_proved_by_the_sum(monkeypatch):
    model, x = build(NETWORKS["mlp"])
    empirical_ntk(model, x)
    replaced(monkeypatch, PULL, larger)
    for kinds in (["trace"], ["sum", "trace"]):
        with pytest.raises(ValueError, match=UNPROVED):
            empirical_ntk(model, x, kernels=kinds)


# -------------------------------------------------------------------------------------------------- what is remembered
def in_order(m, x):
    """Its layer sees the samples in the order of their first number."""
    order = x[:, 0].argsort()
    return m["h"](torch.tanh(m["a"](x[order]))[order.argsort()])


def sorting():
    torch.manual_seed(0)
    return Functional(in_order, a=nn.Linear(6, 6), h=nn.Linear(6, 3)).double(), batch().double()


def test_what_a_proof_found_is_remembered():
    model, x = sorting()
    right = reference(model, x)
    wrong = empirical_ntk(model, x, prove=False)["sum"]
    assert np.abs(wrong - right["sum"]).max() > 1e-3 * right["sum"].max()
    for prove in (True, False, True):
        assert_close(empirical_ntk(model, x, kernels=KINDS, prove=prove), right, 1e-12)
    assert kernel._ALONE[model] == {"parts.a.weight", "parts.a.bias"}


def test_a_proof_that_fails_leaves_nothing_to_remember(monkeypatch):
    model, x = in_double(*build(NETWORKS["mlp"]))
    with monkeypatch.context() as broken:
        replaced(broken, PULL, larger)
        with pytest.raises(ValueError, match=UNPROVED):
            empirical_ntk(model, x)
    assert not kernel._ALONE[model]
    assert_close(empirical_ntk(model, x, kernels=KINDS), expected("mlp"), 1e-12)


def test_networks_that_are_gone_are_forgotten():
    model, x = sorting()
    gc.collect()
    before = len(kernel._ALONE), len(kernel._TRACED)
    empirical_ntk(model, x)
    assert (len(kernel._ALONE), len(kernel._TRACED)) == (before[0] + 1, before[1] + 1)
    del model
    gc.collect()
    assert (len(kernel._ALONE), len(kernel._TRACED)) == before

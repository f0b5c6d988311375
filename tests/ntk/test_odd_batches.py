"""Networks that reorder, split or couple the samples of a batch, keep caches, or insist on a precision.

What can be right is right; what cannot is refused. `odd_cases` says what is right.
"""

import contextlib
import re
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from kernel_cases import KINDS, assert_close
from odd_cases import (
    TOLERANCE,
    assert_left_as_it_was,
    assert_right,
    assert_untouched,
    batch,
    built,
    case,
    head,
    layers,
    right,
    simple,
)
from reactivation.ntk import empirical_ntk
from sample_networks import Functional, reference

dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


# -------------------------------------------------------------------------------------------------- samples reordered
def reordered(there, back, x=batch):
    """A layer on the samples in the order `there`, put `back` behind it: both get the order that sorts the samples."""

    def run(m, x):
        order = x[:, 0].argsort()
        return m["h"](back(torch.tanh(m["a"](there(x, order))), order))

    return case(run, simple, x=x)


def inverse(y, order):
    return y[order.argsort()]


def halves(x, _):
    """The second half first: of an odd number, the one in the middle stays."""
    n = len(x) // 2
    return torch.cat([x[len(x) - n :], x[n : len(x) - n], x[:n]])


def stacked(x, order):
    return torch.stack([x[i] for i in order.tolist()])


def matrix(order, x):
    return torch.eye(len(x), dtype=x.dtype)[order]


def by_length(m, x):
    packed = pack_padded_sequence(m["a"](x), lengths(x), batch_first=True, enforce_sorted=False)
    z, _ = pad_packed_sequence(m["lstm"](packed)[0], batch_first=True, total_length=x.shape[1])
    return m["h"](z.sum(1))


def sorted_by_length(m, x):
    """As was done before packing sorted by itself."""
    order = lengths(x).argsort(descending=True)
    packed = pack_padded_sequence(m["a"](x[order]), lengths(x)[order], batch_first=True)
    z, _ = pad_packed_sequence(m["lstm"](packed)[0], batch_first=True, total_length=x.shape[1])
    return m["h"](z.sum(1)[order.argsort()])


def masked_to_length(m, x):
    inside = torch.arange(x.shape[1]) < lengths(x)[:, None]
    return m["h"]((m["lstm"](m["a"](x))[0] * inside[:, :, None]).sum(1))


def lengths(x):
    return (x.abs().sum(-1) > 0).sum(1).cpu()


def ragged():
    x = torch.randn(4, 5, 3)
    for sample, length in zip(x, (5, 3, 2, 4), strict=True):
        sample[length:] = 0
    return x


def packing(run):
    parts = lambda: {"a": nn.Linear(3, 4), "lstm": nn.LSTM(4, 4, batch_first=True), "h": nn.Linear(4, 3)}  # noqa: E731
    return case(run, masked_to_length, parts, ragged)


def choice(x):
    return (x[:, 0] > 0.8).long()


def experts():
    return {"0": nn.Linear(6, 6), "1": nn.Sequential(nn.Linear(6, 6), nn.PReLU()), "h": nn.Linear(6, 3)}


def dispatched(m, x):
    z = torch.zeros_like(x)
    for i in (0, 1):
        chosen = (choice(x) == i).nonzero()[:, 0]
        z = z.index_add(0, chosen, m[str(i)](x[chosen]))
    return head(m, z)


def dispatched_by_mask(m, x):
    z = torch.empty_like(x)
    for i in (0, 1):
        z[choice(x) == i] = m[str(i)](x[choice(x) == i])
    return head(m, z)


def dispatched_in_order(m, x):
    """One expert gets the first rows of all that are sorted by expert, the other the rest."""
    order = choice(x).argsort(stable=True)
    first = int((choice(x) == 0).sum())
    x = x[order]
    return head(m, torch.cat([m["0"](x[:first]), m["1"](x[first:])])[order.argsort()])


def both_experts(m, x):
    return head(m, torch.where(choice(x)[:, None] == 0, m["0"](x), m["1"](x)))


def in_two_views(m, x):
    """Each sample and its negative, as 2 n rows."""
    return m["h"](m["a"](torch.cat([x, -x])).tanh().square().unflatten(0, (2, len(x))).sum(0))


REORDERED = {
    "sorted": reordered(lambda x, o: x[o], inverse),
    "sorted, the largest first": reordered(lambda x, o: x[o.flip(0)], lambda y, o: y[o.flip(0).argsort()]),
    "the largest first, as at the start": reordered(
        lambda x, o: x[o.flip(0)], lambda y, o: y[o.flip(0).argsort()], lambda: batch()[[1, 0, 2, 3]]
    ),
    "index_select": reordered(lambda x, o: x.index_select(0, o), lambda y, o: y.index_select(0, o.argsort())),
    "copied back": reordered(lambda x, o: x[o], lambda y, o: torch.empty_like(y).index_copy(0, o, y)),
    "gathered": reordered(lambda x, o: x.gather(0, o[:, None].expand_as(x)), inverse),
    "rolled": reordered(lambda x, o: x.roll(1, 0), lambda y, o: y.roll(-1, 0)),
    "halves exchanged": reordered(halves, halves),
    "stacked": reordered(stacked, lambda y, o: stacked(y, o.argsort())),
    "product with a permutation": reordered(
        lambda x, o: matrix(o, x) @ x, lambda y, o: torch.einsum("ij,ik->jk", matrix(o, y), y)
    ),
    "packed": packing(by_length),
    "sorted by length, packed": packing(sorted_by_length),
    "experts": case(dispatched, both_experts, experts),
    "experts, by mask": case(dispatched_by_mask, both_experts, experts),
    "experts, in order": case(dispatched_in_order, both_experts, experts),
    "one expert for all": case(dispatched, both_experts, experts, lambda: torch.rand(4, 6)),
    "two views": case(in_two_views, lambda m, x: m["h"](sum(m["a"](s * x).tanh().square() for s in (1, -1)))),
    "the first two equal": reordered(lambda x, o: x[o], inverse, lambda: batch()[[0, 0, 1, 2, 3]]),
}


# ----------------------------------------------------------------------------------------------------------- branches
def parts_of_branches():
    return {"a": nn.Linear(6, 3), "up": nn.ConvTranspose1d(1, 1, 3, padding=1), "act": nn.PReLU()}


def only_where(condition, m, x):
    """Parameters that are not taken apart, used for some samples only; the layer `a` is frozen."""
    z, chosen = F.linear(x, m["a"].weight.detach(), m["a"].bias), condition(x)
    if chosen.any():
        z = z.index_put((chosen,), m["act"](m["up"](z[chosen][:, None]))[:, 0])
    return z


def everywhere(condition, m, x):
    z = F.linear(x, m["a"].weight.detach(), m["a"].bias)
    return torch.where(condition(x)[:, None], m["act"](m["up"](z[:, None]))[:, 0], z)


def either(m, x):
    """Without a frozen layer: a sample that is not chosen uses no trained parameter but `a`."""
    z, chosen = m["a"](x), x[:, 0] > 2.5
    return m["act"](z) * chosen[:, None] + z.tanh() * ~chosen[:, None] if chosen.any() else z.tanh()


BRANCHES = {
    f"only {which}": case(partial(only_where, condition), partial(everywhere, condition), parts_of_branches)
    for which, condition in (
        ("the first", lambda x: x[:, 0] == 1),
        ("the second", lambda x: x[:, 0] == 2),
        ("the last", lambda x: x[:, 0] == 3),
        ("the first and the third", lambda x: x[:, 0] <= 1),
    )
} | {"the last in its own way": case(either, either, parts_of_branches)}


# ------------------------------------------------------------------------------------- second references and creations
def reaching(reach, plain=simple, *, early=False):
    """A network that gets from `reach(parts)` what computes its logits, and has been used once if `early`."""

    def make(simply):
        parts, x = layers(), batch()
        run = plain if simply else reach(parts)
        model = Functional(run, **parts)
        if early and not simply:
            model(x)
        return model, x

    return make


def view(parts):
    t = parts["a"].weight.t()
    return lambda m, x: head(m, x @ t + m["a"].bias)


def detached_view(parts):
    t = parts["a"].weight.detach().t()
    return lambda m, x: head(m, x @ t + m["a"].bias)


def untrained(m, x):
    return head(m, x @ m["a"].weight.detach().t() + m["a"].bias)


def closure(parts):
    w, b = parts["a"].weight, [parts["a"].bias]
    return lambda m, x: head(m, x @ w.t() + b[0])


def of_a_module(parts):
    parts["again"] = parts["a"]
    held = [parts["a"]]
    return lambda m, x: head(m, held[0](m["again"](x)) * m["a"].bias)


def cached(keep):
    def reach(parts):
        def run(m, x):
            if not hasattr(m["a"], "cache"):
                m["a"].cache = keep(m["a"].weight).t()
            return head(m, x @ m["a"].cache + m["a"].bias)

        return run

    return reach


def creating(m, x):
    z = m["a"](x)
    m["a"].last = z
    m["a"].calls = getattr(m["a"], "calls", 0) + 1
    m["a"].register_buffer("seen", z.detach().clone())
    m["h"].scale = torch.ones(3)
    return head(m, F.prelu(z, m["a"].bias[:1])) * m["h"].scale


def shared_twice(m, x):
    return head(m, m["a"](m["a"](x)) * m["a"].bias)


REACHED = {
    "closure": reaching(closure),
    "module in a list, under two names": reaching(of_a_module, shared_twice),
    "cache of this pass": reaching(cached(lambda w: w * 1)),
    "cache of this pass, without graph": reaching(cached(torch.detach), untrained),
    "attributes and buffers": reaching(lambda _: creating, lambda m, x: head(m, F.prelu(m["a"](x), m["a"].bias[:1]))),
}
OUT_OF_REACH = {
    "view made at the start": reaching(view),
    "view without graph": reaching(detached_view, untrained),
    "cache of an earlier pass": reaching(cached(lambda w: w * 1), early=True),
    "cache of an earlier pass, without graph": reaching(cached(lambda w: w.detach() * 1), untrained, early=True),
    # `test_guards` has this one refused where all layers are taken apart.
    "flipped": reordered(lambda x, o: x.flip(0), lambda y, o: y.flip(0)),
}
ODD = REORDERED | BRANCHES | REACHED


@dtypes
@pytest.mark.parametrize("name", ODD)
def test_kernels_of_odd_networks_are_those_of_plain_ones(name, dtype):
    assert_right(ODD[name], dtype)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_is_left_as_it_was(name):
    assert_left_as_it_was(ODD[name])


@dtypes
@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_what_the_kernel_cannot_reach_is_right_or_refused(name, dtype):
    make = OUT_OF_REACH[name]
    model, x = built(make, False, dtype)
    with contextlib.suppress(ValueError):
        kernels = empirical_ntk(model, x, kernels=KINDS)
        assert_close(kernels, right(make, dtype)[2], TOLERANCE[dtype])
    assert_untouched(model, x, built(make, False, dtype)[0])


# ------------------------------------------------------------------------------------------------------------- coupled
def equal(*order):
    """Samples of which the first two are equal."""
    return lambda: batch()[[0, 0, *order]]


def means(m, x):
    z = m["a"](x)
    return head(m, torch.cat([z[:2], z[2:] - z[2:].mean(0)]) if len(x) > 3 else z)


def attending(m, x):
    """Causal attention over the samples: the first one sees only itself."""
    scores = (m["a"](x) @ x.t()).masked_fill(torch.ones(len(x), len(x)).triu(1).bool(), -torch.inf)
    return head(m, scores.softmax(1) @ x)


COUPLED = {
    "mean": (lambda m, x: head(m, m["a"](x - x.mean(0))), equal(1, 2)),
    "mean of what is computed": (lambda m, x: head(m, m["a"](x) - m["a"](x).detach().mean(0)), equal(1, 2)),
    "mean of the later ones": (means, batch),
    "the largest": (lambda m, x: simple(m, x / x[:, :1].amax(0)), lambda: batch()[[3, 0, 1, 2]]),
    "the one before": (lambda m, x: simple(m, x + x.roll(1, 0)), equal(1, 2)),
    "all before": (lambda m, x: simple(m, x.cumsum(0)), batch),
    "all before, by attention": (attending, batch),
    "in large batches": (lambda m, x: simple(m, x - x.mean(0) * (len(x) > 2)), batch),
}


@dtypes
@pytest.mark.parametrize("name", COUPLED)
def test_samples_that_are_coupled_are_refused_wherever_they_stand(name, dtype):
    run, x = COUPLED[name]
    with pytest.raises(ValueError, match=r"other samples|another number of samples"):
        empirical_ntk(*built(case(run, run, x=x), False, dtype))


@dtypes
def test_time_taken_for_samples_is_refused(dtype):
    """An LSTM takes (T, n, …) unless told otherwise: samples then see those before them, and the first sees none."""
    run = lambda m, x: m["h"](m["lstm"](x)[0])[:, -1]  # noqa: E731
    parts = lambda: {"lstm": nn.LSTM(3, 4), "h": nn.Linear(4, 3)}  # noqa: E731
    with pytest.raises(ValueError, match="other samples"):
        empirical_ntk(*built(case(run, run, parts, lambda: torch.randn(4, 1, 3)), False, dtype))


# ----------------------------------------------------------------------------------------------------------- precision
def mean_square(z):
    return z * z.float().pow(2).mean(-1, keepdim=True).add(1e-3).rsqrt().to(z.dtype)


SINGLE = {
    "logits": lambda m, x: head(m, m["act"](m["a"](x))).float(),
    "logits, the first parameters not taken apart": lambda m, x: simple(m, m["act"](x)).float(),
    "hidden": lambda m, x: m["h"](torch.tanh(m["act"](m["a"](x))).float()),
    "a norm": lambda m, x: head(m, m["act"](mean_square(m["a"](x)))),
    "a softmax": lambda m, x: m["h"](F.softmax(m["act"](m["a"](x)), -1, dtype=torch.float32).to(x.dtype)),
}


@pytest.mark.parametrize("name", SINGLE)
def test_parts_in_single_precision_may_stand_beside_parameters_that_are_not_taken_apart(name):
    parts = lambda: layers() | {"act": nn.PReLU()}  # noqa: E731
    model, x = built(case(SINGLE[name], SINGLE[name], parts), False, torch.float32)
    assert_close(empirical_ntk(model, x, kernels=KINDS), reference(model, x), 1e-6)


class Single(torch.autograd.Function):
    """An operation that exists in single precision only."""

    @staticmethod
    def forward(ctx, x, error):
        if x.dtype != torch.float32:
            raise error
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2, None


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Expected mat_a to be Float32, BFloat16 or Float16 matrix, got Double"),
        RuntimeError("invalid argument"),
        NotImplementedError("\"own_kernel\" not implemented for 'Double'"),
    ],
    ids=["by name", "without a name", "not implemented"],
)
def test_a_network_that_does_not_run_in_float64_is_refused_with_the_reason(error):
    run = lambda m, x: head(m, Single.apply(m["a"](x), error))  # noqa: E731
    with pytest.raises(ValueError, match=f"float64.*{re.escape(str(error))}"):
        empirical_ntk(*built(case(run, run), False, torch.float32))


def test_an_error_of_the_network_itself_is_not_blamed_on_float64():
    run = lambda m, x: head(m, m["a"](x[:, :5]))  # noqa: E731
    with pytest.raises(RuntimeError, match=r"^mat1 and mat2 shapes cannot be multiplied"):
        empirical_ntk(*built(case(run, run), False, torch.float32))

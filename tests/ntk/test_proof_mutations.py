"""The proof finds every fault: the engine is broken in one place after the other.

A failed proof makes the engine try again sample by sample, which may go round the fault. So a kernel is refused or
right; what must not be is a wrong one.
"""

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import mutations as m
from kernel_cases import KINDS, assert_close, in_double
from mutations import MORE, Mutation, larger, only, times, with_ones, with_others, with_zeros, without
from reactivation.ntk import empirical_ntk
from sample_networks import build, reference

# Torch gives this warning for the reference too.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding=.same. with even kernel lengths")
SINGLE = {"dtype": torch.float32}
LISTS = {"sparse": 1.0}
BY_JACOBIAN = {"way": "jacobian", "sparse": 0.0}
BY_POSITION = {"way": "position", "sparse": 0.0}
FULL = {"kinds": (("full",),)}
BOTH = {"kinds": (("sum",), ("trace",))}

OPERATIONS = {
    "linear: pull too large": Mutation("mlp", "operations.linear._pull", larger),
    "linear: pull turned": Mutation("mlp", "operations.linear._pull", m.turned_back),
    "linear: no bias": Mutation("mlp", "capture.Capture.uses", m.without_bias),
    "linear: bias misses a position": Mutation(
        "linear over positions", "cotangent.Cotangent.total", m.one_position_short
    ),
    "linear: transposition of a weight ignored": Mutation(
        "weight also used otherwise", "capture.Capture.uses", m.never_turned
    ),
    "linear: columns taken for rows": Mutation(
        "from the left", "graph.positions", lambda f, t, channel, n: f(t, -1, n)
    ),
    "convolution: pull flipped": Mutation(
        "convolutions", "operations.convolution._pull", lambda f, w, *a: f(w.flip(2, 3), *a), sparse=0.0
    ),
    "convolution: pull of lists flipped": Mutation(
        "normalized between", "operations.convolution._pull", lambda f, w, *a: f(w.flip(2, 3), *a), **LISTS
    ),
    "convolution: pull of lists misses a tap": Mutation(
        "normalized between", "windows.Window.targets", m.lost_target, **LISTS
    ),
    "convolution: padded on the other side": Mutation("convolutions", "operations.convolution._padded", m.other_side),
    "convolution: groups of filters mixed up": Mutation("groups", "contraction._of_groups", m.other_groups),
    "convolution: every group is the first": Mutation(
        "groups", "contraction.factors", lambda f, uses, group=0: f(uses), grouped=0
    ),
    "convolution: computed filter in another order": Mutation(
        "computed filter", "contraction._stored", lambda f, found, window: found
    ),
    "convolution: fast one is off": Mutation("wide enough for Winograd", "winograd._winograd", larger, **SINGLE),
    "convolution: depthwise one is off": Mutation("depthwise", "winograd._by_channel", larger, **SINGLE),
    "embedding: padding not masked": Mutation(
        "padding of an embedding",
        "operations.embedding.embedding",
        lambda f, capture, input, weight, padding_idx=None, **_: f(capture, input, weight),
    ),
    "embedding: padding meets padding": Mutation(
        "padding of an embedding", "contraction.Factors.patch_gram", m.padding_that_counts
    ),
    "embedding: rows of other samples": Mutation(
        "embedding tied to the head", "contraction._of_table", lambda f, use, g: f(use, g.roll(1, 0))
    ),
    "embedding: shared positions turned round": Mutation("positions", "capture.Capture.row", m.same_position),
    "batch norm: no factor": Mutation(
        "small residual, batch norm", "operations.normalization._pull_scale", with_ones(0)
    ),
    "layer norm: no projection": Mutation(
        "linear over positions", "operations.normalization._pull_normal", with_zeros(0)
    ),
    "layer norm: no factor": Mutation("linear over positions", "operations.normalization._pull_normal", with_ones(1)),
    "layer norm: weight ignored": Mutation("scaled norms", "operations.normalization._pull_normal", without(2)),
    "layer norm: mean ignored": Mutation(
        "linear over positions",
        "operations.normalization._pull_normal",
        lambda f, normal, factor, weight, centred, g: f(normal, factor, weight, False, g),
    ),
    "rms norm: mean taken out": Mutation(
        "rms",
        "operations.normalization._pull_normal",
        lambda f, normal, factor, weight, centred, g: f(normal, factor, weight, True, g),
    ),
    "rms norm: no projection": Mutation("rms", "operations.normalization._pull_normal", with_zeros(0)),
    "group norm: no projection": Mutation(
        "small residual, group norm", "operations.normalization._pull_groups", with_zeros(0)
    ),
    "group norm: no factor": Mutation(
        "small residual, group norm", "operations.normalization._pull_groups", with_ones(1)
    ),
    "group norm: weight ignored": Mutation("scaled norms", "operations.normalization._pull_groups", without(2)),
    "group norm: mean ignored": Mutation(
        "small residual, group norm", "operations.normalization._pull_groups", m.mean_of_groups_kept
    ),
    "instance norm: all channels together": Mutation(
        "instances",
        "operations.normalization.instance_norm",
        lambda f, mode, x, **_: f(mode, x.flatten(1)[:, None]).view_as(x),
    ),
    "norms: scale without its input": Mutation(
        "scaled norms",
        "contraction.jacobian",
        only("scale", lambda f, use, values, n: f(m.replace(use, x=torch.ones_like(use.x)), values, n)),
    ),
    "relu: all pass": Mutation("pooled", "operations.activation._pull_masked", with_ones(0)),
    "relu: mask of another sample": Mutation("pooled", "operations.activation._pull_masked", with_others(0)),
    "relu: first of two masks lost": Mutation(
        "clipped", "cotangent.Cotangent.masked", lambda f, self, mask: f(m.replace(self, alive=None), mask)
    ),
    "relu6: no upper limit": Mutation(
        "clipped at six",
        "operations.activation.relu6",
        lambda f, capture, x, inplace=False: m.rule(torch.relu)(capture, x, inplace),
    ),
    "hardtanh: other limits": Mutation(
        "clipped",
        "operations.activation.hardtanh",
        lambda f, capture, x, **_: f(capture, x, -9.0, 9.0),
    ),
    "smooth: no slope": Mutation("mlp", "operations.activation._pull_smooth", with_ones(0)),
    "smooth: slope of another sample": Mutation("mlp", "operations.activation._pull_smooth", with_others(0)),
    "max pooling: next to the winner": Mutation(
        "pooled", "operations.pooling._pull", lambda f, winner, length, g: f((winner + 1) % length, length, g)
    ),
    "max pooling: winners of another sample": Mutation("pooled", "operations.pooling._pull", with_others(0)),
    "recurrent: no hidden weight": Mutation(
        "rnn",
        "operations.recurrent.rnn_tanh_cell",
        lambda f, mode, x, h, a, b, *biases: f(mode, x, h, a, b.detach(), *biases),
    ),
    "recurrent: another activation": Mutation(
        "rnn as long as the batch",
        "operations.recurrent.rnn_relu_cell",
        lambda f, *a: m.rule(torch.rnn_tanh_cell)(*a),
    ),
    "convolution: transposed, too large": Mutation("odd layers", "operations.convolution.conv_transpose2d", larger),
    "convolution: of volumes, too large": Mutation("volumes", "operations.convolution.conv3d", larger),
    "layer norm: of images, too large": Mutation(
        "odd layers", "operations.normalization.layer_norm_of_images", m.larger_unless_left
    ),
    "prelu: slopes of other channels": Mutation(
        "odd layers", "operations.activation.prelu", lambda f, mode, x, w: f(mode, x, w.roll(1, 0))
    ),
    "dropout: not inactive": Mutation("inactive dropout", "operations.dropout.dropout", larger),
}
PATHS = {
    "jacobian: last chunk lost": Mutation(
        "mlp", "sums.in_chunks", m.without_last_chunk, way="jacobian", inside="contraction"
    ),
    "jacobian: taps lost": Mutation(
        "normalized between", "contraction.Factors.jacobian", m.lost_tap, limit=1 << 17, **BY_JACOBIAN
    ),
    "jacobian: a column of patches lost": Mutation("convolutions", "windows.patches", m.lost_column, **BY_JACOBIAN),
    "jacobian: a column lost, lists": Mutation(
        "normalized between", "windows.patches", m.lost_column, way="jacobian", **LISTS
    ),
    "jacobian: a tap twice": Mutation("normalized between", "windows.Window.taps", m.first_tap_for_last, **BY_JACOBIAN),
    "jacobian: a row of lists lost": Mutation("pooled", "sparse.multiply", m.lost_row, way="jacobian", **LISTS),
    "lists: entries that are dead": Mutation(
        "pooled", "sparse.lists", lambda f, values, alive, *a: f(values, torch.ones_like(alive), *a), **LISTS
    ),
    "position: dense too large": Mutation("pooled", "contraction._pairs_dense", larger, **BY_POSITION, **BOTH),
    "position: trace too large": Mutation(
        "pooled", "contraction._pairs_dense", m.one_kind_larger("trace"), **BY_POSITION, kinds=(("trace",),)
    ),
    "position: sum too large": Mutation(
        "pooled",
        "contraction._pairs_dense",
        m.one_kind_larger("sum"),
        **BY_POSITION,
        kinds=(("sum",), ("sum", "trace")),
    ),
    "position: full too large": Mutation("pooled", "contraction._pairs_full", larger, **BY_POSITION, **FULL),
    "position: logits crossed": Mutation("cnn", "contraction._pairs_full", m.crossed_classes, **BY_POSITION, **FULL),
    "position: lists too large": Mutation("pooled", "contraction._pairs_of_lists", larger, way="position", **LISTS),
    "position: logits of lists crossed": Mutation(
        "cnn", "contraction._pairs_of_lists", m.crossed_classes, way="position", **LISTS, **FULL
    ),
    "position: trace of lists": Mutation(
        "pooled", "sparse.pairs", m.wrong_trace, way="position", **LISTS, kinds=(("trace",), ("sum", "trace"))
    ),
    "position: last chunk lost": Mutation(
        "pooled", "sums.in_chunks", m.without_last_chunk, inside="contraction", **BY_POSITION
    ),
    "position: gram misses a tap": Mutation("pooled", "windows.Window.taps", m.first_tap_for_last, **BY_POSITION),
    "position: gram too large": Mutation("mlp", "windows.patch_gram", larger, **BY_POSITION),
    "position: few rows": Mutation("convolutions", "gram.few_row_products", larger, **BY_POSITION),
    "rows: long ones cut": Mutation("mlp", "gram.long_row_products", lambda f, a, b: f(a[:, :-1], b[:, :-1])),
    "rows: by convolution": Mutation("long rows", "gram.row_products", larger, **SINGLE),
    "rows and columns swapped": Mutation(
        "mlp", "sums._product", lambda f, kind, a, b: f(kind, b, a), columns=True, **BY_JACOBIAN
    ),
    "half a product": Mutation(
        "mlp", "sums._product", lambda f, *a: f(*a).triu(), **BY_JACOBIAN, kinds=(("full", "sum"),)
    ),
    "samples joined in another order": Mutation("mlp", "store.InMemory.read", lambda f, *a: f(*a).flip(0), batch=2),
    "samples read in another order": Mutation(
        "pooled", "store.OnDisk.read", lambda f, *a: f(*a).flip(0), limit=1 << 14, **BY_POSITION
    ),
    "last block lost": Mutation("mlp", "blocks._blocks", m.blocks_without_last, limit=1 << 14),
    "a block twice": Mutation("mlp", "blocks._blocks", m.blocks_with_one_twice, limit=1 << 14),
    "blocks of two batches": Mutation("mlp", "blocks._blocks", m.blocks_without_last, limit=1 << 14, columns=True),
}
GRAPH = {
    "a layer without a use": Mutation("tied layer", "graph.cotangents", m.lost_use(0)),
    "one of many uses lost": Mutation("tied layer", "graph.cotangents", m.lost_use(2)),
    "logits in another order": Mutation("mlp", "graph.cotangents", m.other_logits, **FULL),
    "one of two branches lost": Mutation("branches", "graph._added", lambda f, a, b: a),
    "pixels crossed": Mutation("branches", "graph.natural", m.crossed_pixels),
    "other logits in a form": Mutation(
        "branches", "graph.in_form", lambda f, values, port: f(values.roll(1, 0), port), **FULL
    ),
    "lost in autograd": Mutation("branches", "graph._through_autograd", m.around_lost),
    "a computed weight misses a share": Mutation(
        "computed weight", "graph.through_parameters", lambda f, *a: f(*a)[1:]
    ),
    "tokens: entries too large": Mutation("tokens", "contraction.jacobian", only("entries", larger)),
    "sample by sample: too large": Mutation("lstm", "contraction.jacobian", only("leaf", larger)),
    "sample by sample: nothing": Mutation("lstm", "contraction.jacobian", only("leaf", lambda f, *a: times(f(*a), 0))),
    "values of another sample": Mutation("mlp", "exact.Exact.kept", lambda f, self, t: f(self, t.roll(1, 0)), **SINGLE),
    "values too large": Mutation("mlp", "exact.Exact.kept", larger, **SINGLE),
}
# Where the engine itself sees that it must take samples one by one.
SEEN = {
    "attention: batch first": Mutation("attention", "operations.linear._batch_second", m.batch_first),
    "tokens: no row of their own": Mutation("tokens", "capture.Capture.spread", lambda f, self, func, args, *_: args),
    "tokens: repeated by autograd": Mutation("tokens", "capture.Capture.repeated", lambda *_: None),
    "other samples in a form": Mutation(
        "branches", "graph.in_form", lambda f, values, port: f(values.roll(1, 1), port)
    ),
}
MUTATIONS = OPERATIONS | PATHS | GRAPH


UNBROKEN: set[Mutation] = set()  # what has been seen to be right before it is broken


@functools.cache
def right(network, dtype, columns):
    model, x = in_double(*build(MORE[network]))
    return reference(model, *halves(x, columns))


def halves(x, columns):
    return (x[: len(x) // 2], x[len(x) // 2 : len(x) // 2 * 2]) if columns else (x,)


def kernels(case, kinds, prove):
    """Those of a network that the engine has not seen yet."""
    model, x = build(MORE[case.network])
    if case.dtype == torch.float64:
        model, x = in_double(model, x)
    return empirical_ntk(model, *halves(x, case.columns), kernels=kinds, memory_limit=case.limit, prove=prove)


TOGETHER = (("sum", "trace"), ("full",))  # what breaks an operation breaks every kind
CALLS = [
    (name, kinds)
    for name, case in MUTATIONS.items()
    for kinds in (case.kinds if name in PATHS or case.kinds != m.EACH else TOGETHER)
]
REFUSED = ("could not be proved", "change with the other samples of its batch")


def refused_or_right(case, kinds, expected, tolerance):
    try:
        healed = kernels(case, kinds, prove=True)
    except ValueError as error:
        assert any(said in str(error) for said in REFUSED)
    else:
        assert_close(healed, expected, tolerance)


@pytest.mark.parametrize("name, kinds", CALLS, ids=lambda v: v if isinstance(v, str) else "-".join(v))
def test_a_broken_engine_gives_no_wrong_kernel(monkeypatch, name, kinds):
    case = MUTATIONS[name]
    expected, tolerance = right(case.network, case.dtype, case.columns), 1e-9 if case.dtype == torch.float64 else 1e-6
    case.force(monkeypatch)
    if (tried := replace(case, broken="", change=m.larger, kinds=kinds)) not in UNBROKEN:
        assert_close(kernels(case, kinds, prove=True), expected, tolerance)
        UNBROKEN.add(tried)
    case.apply(monkeypatch)
    try:
        wrong = kernels(case, kinds, prove=False)
    except ValueError as error:  # wrong values are noticed without a proof
        assert REFUSED[1] in str(error)
    else:
        assert max(np.abs(wrong[k] - expected[k]).max() / np.abs(expected[k]).max() for k in kinds) > 1e-3
    refused_or_right(case, kinds, expected, tolerance)


@pytest.mark.parametrize("name", SEEN)
def test_what_the_engine_notices_itself_is_right_without_a_proof(monkeypatch, name):
    SEEN[name].apply(monkeypatch)
    for prove in (False, True):
        assert_close(kernels(SEEN[name], KINDS, prove), right(SEEN[name].network, torch.float64, False), 1e-9)


def test_the_mutations_cover_every_kind_of_operation():
    """Here, or, where an operation is one file with its test, there."""
    broken = [case.broken for case in (MUTATIONS | SEEN).values() if case.broken.startswith("operations.")]
    files = Path(__file__).with_name("operations").glob("test_*.py")
    own = {f.stem.removeprefix("test_") for f in files if "def test_a_wrong_rule_is_refused" in f.read_text()}
    assert {name.split(".")[1] for name in broken} | {"attention"} | own == set(m.operations())

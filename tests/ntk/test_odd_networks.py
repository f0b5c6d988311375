"""Networks that do odd things in their forward pass: recompute it, rewrite weights, reorder samples, keep caches.

What can be right is right; all else is refused. The right value is that of a plain network: the same function of the
same parameters, which does nothing odd, differentiated in float64 sample by sample.
"""

import contextlib
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils.checkpoint import checkpoint, checkpoint_sequential

from odd_cases import (
    TOLERANCE,
    assert_left_as_it_was,
    assert_right,
    batch,
    case,
    head,
    layers,
    simple,
)
from sample_networks import Functional, trained_batch_norm

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*torch.nn.utils.weight_norm.* is deprecated"),
    pytest.mark.filterwarnings("ignore:.*torch.nn.utils.parametrizations:FutureWarning"),
]


# --------------------------------------------------------------------------------------------- recomputed activations
def recomputed(call):
    """What `call(f, x)` computes again in the backward pass; plainly, f(x)."""

    def run(call, m, x):
        return m["h"](call(lambda z: F.relu_(m["b"](z)), torch.tanh(m["a"](x))))

    parts = lambda: {"a": nn.Linear(6, 6), "b": nn.Linear(6, 6), "h": nn.Linear(6, 3)}  # noqa: E731
    return case(partial(run, call), partial(run, lambda f, z: f(z)), parts)


def in_two(reentrant):
    def run(segments, m, x):
        steps = nn.Sequential(m["b"], nn.PReLU(), m["c"], nn.Tanh())
        x = m["a"](x)
        return m["h"](checkpoint_sequential(steps, 2, x, use_reentrant=reentrant) if segments else steps(x))

    parts = lambda: {name: nn.Linear(6, 3 if name == "h" else 6) for name in "abch"}  # noqa: E731
    return case(partial(run, True), partial(run, False), parts)


def transformer(reentrant):
    def run(again, m, x):
        x = m["a"](x)
        x = checkpoint(m["b"], x, use_reentrant=reentrant) if again else m["b"](x)
        return m["h"](x.mean(1))

    block = partial(nn.TransformerEncoderLayer, 4, 2, 8, batch_first=True)
    parts = lambda: {"a": nn.Linear(3, 4), "b": block(), "h": nn.Linear(4, 3)}  # noqa: E731
    return case(partial(run, True), partial(run, False), parts, lambda: torch.randn(3, 5, 3))


def dense_net(plain):
    from reactivation.data.sources import import_torchvision_datasets

    import_torchvision_datasets()
    from torchvision.models import DenseNet

    model = DenseNet(4, (2, 2), 8, bn_size=2, num_classes=3, memory_efficient=not plain)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model, torch.randn(3, 3, 32, 32)


def saved_elsewhere(f, x):
    with torch.autograd.graph.save_on_cpu():
        return f(x)


def no_contexts():
    return contextlib.nullcontext(), contextlib.nullcontext()


RECOMPUTED = {
    "from the samples on": case(
        lambda m, x: m["h"](checkpoint(lambda x: F.relu_(m["a"](x)), x, use_reentrant=False)),
        lambda m, x: m["h"](F.relu_(m["a"](x))),
    ),
    "not reentrant": recomputed(partial(checkpoint, use_reentrant=False)),
    "reentrant": recomputed(partial(checkpoint, use_reentrant=True)),
    "in contexts": recomputed(partial(checkpoint, use_reentrant=False, context_fn=no_contexts)),
    "without random states": recomputed(partial(checkpoint, use_reentrant=False, preserve_rng_state=False)),
    "one in another": recomputed(
        lambda f, x: checkpoint(lambda x: checkpoint(f, x, use_reentrant=False), x, use_reentrant=False)
    ),
    "saved elsewhere": recomputed(saved_elsewhere),
    "in segments": in_two(False),
    "in reentrant segments": in_two(True),
    "transformer": transformer(False),
    "reentrant transformer": transformer(True),
    "DenseNet": dense_net,
}


# ---------------------------------------------------------------------------------------------------- weights rewritten
def short(w):
    """Rows of at most 0.25."""
    return torch.renorm(w.detach(), 2, 0, 0.25)


def shortening(w):
    """The factors of rows of at most 0.25."""
    return 0.25 / w.detach().norm(dim=1, keepdim=True).clamp(0.25)


def standard(w):
    return (w - w.mean(1, keepdim=True)) / w.std(1, keepdim=True)


def rewritten(rewrite, by, use=simple):
    """A network whose weight is rewritten by `rewrite(weight)` first; plainly, it is by(weight) from the start."""

    def run(m, x):
        with torch.no_grad():
            rewrite(m["a"].weight)
        return use(m, x)

    def make(plain):
        parts = layers()
        if plain:
            parts["a"].weight.data = by(parts["a"].weight.data)
        return Functional(use if plain else run, **parts), batch()

    return make


def data_replaced(by, w):
    w.data = by(w.data)


def used_by_a_product(m, x):
    return head(m, x @ m["a"].weight.t() * m["a"].bias)


REWRITTEN = {
    f"{what}{suffix}": rewritten(rewrite, by, use)
    for suffix, use in (("", simple), (", used by a product", used_by_a_product))
    for what, rewrite, by in (
        ("rows cut, as data", partial(data_replaced, short), short),
        ("rows cut, in place", lambda w: w.data.mul_(shortening(w)), lambda w: w * shortening(w)),
        ("rows cut, copied", lambda w: w.copy_(short(w)), short),
        ("rows cut, in place without gradients", lambda w: w.renorm_(2, 0, 0.25), short),
        ("rows cut, by a slice", lambda w: w.detach()[:].copy_(short(w)), short),
        ("standardised and kept", partial(data_replaced, standard), standard),
        ("decayed once a pass", lambda w: w.data.mul_(0.5), lambda w: w * 0.5),
    )
}


# ---------------------------------------------------------------------------------------------------- weights computed
def standardised(norm, m, x):
    w = m["a"].weight
    z = F.conv1d(x, norm(w.reshape(1, len(w), -1)).reshape_as(w), m["a"].bias)
    return m["h"](torch.tanh(z).mean(2))


def by_batch_norm(w):
    return F.batch_norm(w, None, None, training=True, momentum=0.0, eps=1e-3)


def by_hand(w):
    return (w - w.mean(2, keepdim=True)) / (w.var(2, keepdim=True, unbiased=False) + 1e-3).sqrt()


def of_a_transpose(norm, m, x):
    """The gradient of the standardised weights is a transposed view: see below, "Torch's own fault"."""
    return head(m, x @ norm(m["a"].weight[None])[0].t())


def convolution():
    return {"a": nn.Conv1d(3, 4, 2), "h": nn.Linear(4, 3)}


def computed(wrap):
    """A layer whose weight is computed from others, by a hook before each pass or by a parametrization."""
    parts = lambda: {"a": wrap(nn.Linear(6, 6)), "h": nn.Linear(6, 3)}  # noqa: E731

    def plain(m, x):
        a = m["a"]
        if hasattr(a, "weight_g"):
            return head(m, F.linear(x, a.weight_v * (a.weight_g / a.weight_v.norm(dim=1, keepdim=True)), a.bias))
        if hasattr(a, "weight_mask"):
            return head(m, F.linear(x, a.weight_orig * a.weight_mask, a.bias))
        if hasattr(a, "weight_orig"):
            return head(m, F.linear(x, a.weight_orig / (a.weight_u @ a.weight_orig @ a.weight_v), a.bias))
        return simple(m, x)

    return case(simple, plain, parts)


class Skew(nn.Module):
    def forward(self, w):
        return w.triu(1) - w.triu(1).T


def skewed(layer):
    parametrize.register_parametrization(layer, "weight", Skew())
    return layer


COMPUTED = {
    "standardised by batch norm": case(
        partial(standardised, by_batch_norm),
        partial(standardised, by_hand),
        convolution,
        lambda: torch.randn(4, 3, 5),
    ),
    "standardised by batch norm, then transposed": case(
        partial(of_a_transpose, by_batch_norm), partial(of_a_transpose, by_hand)
    ),
    "as many rows as samples": case(
        lambda m, x: m["h"](x @ F.linear(m["b"].weight, m["a"].weight).t()),
        lambda m, x: m["h"](x @ (m["b"].weight @ m["a"].weight.t()).t()),
        lambda: {"a": nn.Linear(2, 6, bias=False), "b": nn.Linear(2, 4, bias=False), "h": nn.Linear(4, 3)},
    ),
    "older weight norm": computed(nn.utils.weight_norm),
    "older spectral norm": computed(nn.utils.spectral_norm),
    "pruned": computed(partial(prune.l1_unstructured, name="weight", amount=0.5)),
    "weight norm": computed(parametrizations.weight_norm),
    "spectral norm": computed(parametrizations.spectral_norm),
    "orthogonal": computed(parametrizations.orthogonal),
    "own parametrization": computed(skewed),
}


# --------------------------------------------------------------------------------------------------- Torch's own fault
def transposed_after(norm, m, x):
    """In torch 2.13 the gradient of `norm` is wrong for a batch of one, as it comes as a transposed view."""
    z = norm(m, m["up"](m["scale"](x)))
    return torch.tanh(m["h"](z.flatten(2).transpose(1, 2))).mean(1)


def norm_by_hand(m, x):
    n = m["norm"]
    mean, var, weight, bias = (t[:, None, None] for t in (n.running_mean, n.running_var, n.weight, n.bias))
    return (x - mean) / (var + n.eps).sqrt() * weight + bias


def instance_norm_by_hand(m, x):
    var, mean = torch.var_mean(x, (2, 3), keepdim=True, unbiased=False)
    return (x - mean) / (var + 1e-2).sqrt()


def raw_batch_norm(m, x):
    n = m["norm"]
    return torch.batch_norm(x, n.weight, n.bias, n.running_mean, n.running_var, False, 0.1, n.eps, False)


def stem(norm, by_hand, n, frozen):
    """A norm after a transposed convolution and a PReLU, and so between parameters that are not taken apart."""

    def parts():
        norm = trained_batch_norm(4).requires_grad_(not frozen)
        return {"scale": nn.PReLU(2), "up": nn.ConvTranspose2d(2, 4, 2), "norm": norm, "h": nn.Linear(4, 3)}

    return case(
        partial(transposed_after, norm), partial(transposed_after, by_hand), parts, lambda: torch.randn(n, 2, 3, 3)
    )


TORCHS_FAULT = {
    f"{what}, n = {n}": stem(norm, hand, n, what.startswith("frozen"))
    for n in (1, 3)
    for what, norm, hand in (
        ("batch norm", lambda m, x: m["norm"](x), norm_by_hand),
        ("frozen batch norm", lambda m, x: m["norm"](x), norm_by_hand),
        ("batch norm without its function", raw_batch_norm, norm_by_hand),
        ("instance norm", lambda m, x: F.instance_norm(x, eps=1e-2), instance_norm_by_hand),
    )
}


# ------------------------------------------------------------------------------------------------------------ precision
def wide_head(plain):
    """A VGG's head: a linear layer of 25,088 inputs, each of 512 positive ones 49 times."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(7), nn.Flatten(), nn.Linear(25088, 32), nn.ReLU(), nn.Linear(32, 2))
    return model, torch.rand(4, 512, 1, 1)


ODD = {
    f"{kind}: {name}": make
    for kind, table in (
        ("recomputed", RECOMPUTED),
        ("rewritten", REWRITTEN),
        ("computed", COMPUTED),
        ("transposed", TORCHS_FAULT),
    )
    for name, make in table.items()
}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("name", ODD)
def test_kernels_of_odd_networks_are_those_of_plain_ones(name, dtype):
    assert_right(ODD[name], dtype)


@pytest.mark.parametrize("name", ODD)
def test_an_odd_network_is_left_as_it_was(name):
    assert_left_as_it_was(ODD[name])


def test_float32_keeps_its_digits_in_a_wide_layer_on_repeated_inputs():
    assert_right(wide_head, torch.float32, 5e-7)

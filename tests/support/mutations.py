"""The kernel's engine, broken in one place at a time, and a small network that the broken part matters to."""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from reactivation.ntk import contraction, cotangent, rules, scheme
from reactivation.ntk import operations as engine_operations
from reactivation.ntk.cotangent import Cotangent
from sample_networks import EXAMPLEWISE, NETWORKS, Functional, block, image, network, trained_batch_norm

EACH = (("sum",), ("trace",), ("full",))
Change = Callable[..., Any]


@dataclass(frozen=True)
class Mutation:
    """`change(function, *arguments)` stands for the engine's function of a dotted name."""

    network: str
    broken: str
    change: Change
    kinds: tuple[tuple[str, ...], ...] = EACH  # calls in which it matters
    way: str = ""  # how weights are contracted: "jacobian" or "position"
    sparse: float | None = None  # share of entries alive up to which they are listed: 0 never, 1 always
    batch: int | None = None  # samples in one forward pass
    limit: int | None = None  # memory_limit
    grouped: int | None = None  # scheme.GROUPED
    dtype: torch.dtype = torch.float64
    columns: bool = False  # between two halves of the batch
    inside: str = ""  # the only module in which it is broken

    def force(self, monkeypatch):
        """Make the engine, broken or not, go the way on which the broken part lies."""
        if self.way:
            monkeypatch.setattr(contraction, "costs", lambda *_: (0, 1) if self.way == "jacobian" else (1, 0))
        if self.sparse is not None:
            monkeypatch.setattr(cotangent, "SPARSE", self.sparse)
            monkeypatch.setattr(cotangent, "NARROW", 0)
        if self.grouped is not None:
            monkeypatch.setattr(scheme, "GROUPED", self.grouped)
        if self.batch:
            of_batches = lambda f, *a, **options: replace(f(*a, **options), batch=self.batch, direct=0)  # noqa: E731
            replaced(monkeypatch, "scheme.new_scheme", of_batches)

    def apply(self, monkeypatch):
        replaced(monkeypatch, self.broken, self.change, self.inside)


def replaced(monkeypatch, name: str, change: Change, inside: str = ""):
    """Let `change` stand for a function of the engine, wherever it is imported but in the proof."""
    path, _, attribute = name.rpartition(".")
    parent, _, owner = path.rpartition(".")
    is_method = owner[:1].isupper()
    holder: Any = importlib.import_module(f"reactivation.ntk.{parent if is_method else path}")
    holder = getattr(holder, owner) if is_method else holder
    original = getattr(holder, attribute)

    def broken(*args, **kwargs):
        return change(original, *args, **kwargs)

    if is_method:
        static = isinstance(inspect.getattr_static(holder, attribute), staticmethod)
        monkeypatch.setattr(holder, attribute, staticmethod(broken) if static else broken)
        return
    for key, module in list(sys.modules.items()):
        if key.startswith(f"reactivation.ntk.{inside}") and key != "reactivation.ntk.proof":
            for known, value in list(vars(module).items()):
                if value is original:
                    monkeypatch.setattr(module, known, broken)
    for table in (rules.RULES, rules.OPENED, rules.EXACT, rules.FASTER):
        for function, rule_of_it in list(table.items()):
            if rule_of_it is original:
                monkeypatch.setitem(table, function, broken)


# --------------------------------------------------------------------------------------------------- ways to be wrong
def times(result, factor=1.05):
    """A result, too large."""
    if isinstance(result, torch.Tensor):
        return result * factor
    if isinstance(result, Cotangent):
        return replace(result, values=result.values * factor)
    if isinstance(result, dict):
        return {key: times(value, factor) for key, value in result.items()}
    return type(result)(times(value, factor) for value in result)


def larger(f, *args, **kwargs):
    return times(f(*args, **kwargs))


def larger_unless_left(f, *args, **kwargs):
    """The same for a rule that leaves some calls to others."""
    found = f(*args, **kwargs)
    return found if found is NotImplemented else times(found)


def only(kind, change):
    """Change uses of one kind in contraction.jacobian(use, values, samples)."""
    return lambda f, use, values, n: change(f, use, values, n) if use.kind == kind else f(use, values, n)


def with_ones(at):
    """One argument is 1 everywhere."""
    return lambda f, *a: f(*a[:at], torch.ones_like(a[at]), *a[at + 1 :])


def with_zeros(at):
    return lambda f, *a: f(*a[:at], torch.zeros_like(a[at]), *a[at + 1 :])


def with_others(at):
    """One argument is that of the sample before."""
    return lambda f, *a: f(*a[:at], a[at].roll(1, 0), *a[at + 1 :])


def without(at):
    return lambda f, *a: f(*a[:at], None, *a[at + 1 :])


def turned_back(f, weight, cotangent):
    return f(weight.T if weight.shape[0] == weight.shape[1] else weight, cotangent)


def without_bias(f, self, parameter, kind, *args, **options):
    return [] if kind == "bias" else f(self, parameter, kind, *args, **options)


def never_turned(f, self, parameter, kind, *args, turned=False, **options):
    return f(self, parameter, kind, *args, **options)


def one_position_short(f, self):
    return f(replace(self, values=self.values[:, :, 1:]))


def first_tap_for_last(f, self, *size):
    taps = f(self, *size)
    return [*taps[:-1], taps[0]]


def lost_target(f, self, *size):
    found = f(self, *size)
    found[1:] = -1
    return found


def lost_row(f, entries, dense, target, out):
    target = target.clone()
    target[0] = -1
    f(entries, dense, target, out)


def lost_column(f, *args):
    found = f(*args)
    found[..., 0] = 0
    return found


def other_side(f, input, *args):
    return f(input.flip(2, 3), *args).flip(2, 3)


def other_groups(f, use, g):
    return f(use, g.unflatten(3, (use.window.groups, -1)).flip(3).flatten(3))


def crossed_classes(f, *args):
    return {"full": f(*args)["full"].transpose(1, 3)}


def one_kind_larger(kind):
    return lambda f, *args: {key: part * (1.05 if key == kind else 1) for key, part in f(*args).items()}


def wrong_trace(f, entries, i, first, gram, trace, total, full):
    f(entries, i, first, gram, trace, total, full)
    trace *= 1.05


def without_last_chunk(f, start, stop, size, work):
    f(start, max(start + 1, stop - 1), size, work)


def lost_tap(f, self, taps=slice(None), *args):
    j = f(self, taps, *args)
    return j * 0 if taps.start else j


def lost_use(at):
    def change(f, *args):
        yield from (found for number, found in enumerate(f(*args)) if number != at)

    return change


def other_logits(f, logits, nodes, seeds, *leaves):
    return f(logits, nodes, seeds.flip(0), *leaves)


def crossed_pixels(f, values, port):
    found = f(values, port)
    return found.transpose(-1, -2) if found.dim() == 5 else found


def around_lost(f, *args):
    of_nodes, of_leaves = f(*args)
    return times(of_nodes, 0.9), of_leaves


def mean_of_groups_kept(f, normal, factor, weight, cotangent):
    (found,) = f(normal, factor, weight, cotangent)
    g = cotangent.dense() if weight is None else cotangent.dense() * weight
    g = g.unflatten(-1, (factor.shape[1], -1))
    mean = (g.mean((2, 4), keepdim=True) * factor[:, None, None, :, None]).expand_as(g).flatten(-2)
    return [replace(found, values=found.values + mean)]


def batch_first(f, capture, *args):
    capture.batch_at = 0
    try:
        return importlib.import_module("reactivation.ntk.operations.linear")._product(capture, *args[:3], turned=False)
    finally:
        capture.batch_at = 1


def same_position(f, self, parameter, count, rank):
    if id(parameter) in self.looked_up:
        indices, table = self.looked_up[id(parameter)]
        self.looked_up[id(parameter)] = indices * 0, table
    return f(self, parameter, count, rank)


def padding_that_counts(f, self, i, j):
    if self.window is not None:
        return f(self, i, j)
    return (self.x[i][:, None, :, None] == self.x[j][None, :, None]).to(self.dense.dtype)


def blocks_without_last(f, *args):
    return list(f(*args))[:-1]


def blocks_with_one_twice(f, *args):
    found = list(f(*args))
    return [found[0], *found]


def rule(function):
    """The rule of another of torch's functions."""
    return (rules.RULES | rules.OPENED)[function]


def operations():
    return [module.name for module in pkgutil.iter_modules(engine_operations.__path__)]


# ------------------------------------------------------------------------------------------------------ more networks
def longer(layer):
    """A weight is not as long as the tensor that gives its direction."""
    nn.init.uniform_(layer.parametrizations.weight.original0)
    return layer


def with_scales(model):
    """The norms' weights and biases are random numbers, not 1 and 0."""
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.GroupNorm):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    return model


def tokens(m, x):
    """Like a vision transformer: a class token, positions, a factor for each channel."""
    y = torch.cat([m["token"].weight[None].expand(len(x), -1, -1), m["layer"](x)], 1)
    y = y + m["positions"].weight
    return m["head"](torch.tanh(y * m["factor"].weight[0])[:, 0] + y.mean(1))


def counted(m, i):
    at = torch.arange(i.shape[1])[None]
    return m["head"](torch.tanh(m["table"](i) + m["positions"](at)).sum(1))


def sizes(**parts):
    return {name: nn.Embedding(*size) for name, size in parts.items()}


def different(layer):
    """A slope for each channel."""
    nn.init.uniform_(layer.weight)
    return layer


def small_residual(norm):
    return nn.Sequential(block(3, 4, 2, norm), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


MORE: dict[str, Callable[[], tuple[nn.Module, torch.Tensor]]] = {
    "pooled": lambda: (
        network(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3), nn.ReLU(), nn.MaxPool2d(2)
        ),
        image(10),
    ),
    "small residual, batch norm": lambda: (small_residual(trained_batch_norm), image(5, 3)),
    "small residual, group norm": lambda: (
        with_scales(small_residual(lambda channels: nn.GroupNorm(2, channels))),
        image(5, 3),
    ),
    "from the left": lambda: (
        Functional(lambda m, x: m["head"]((m["a"].weight @ x).flatten(1)), a=nn.Linear(5, 5), head=nn.Linear(25, 3)),
        torch.randn(4, 5, 5),
    ),
    "scaled norms": lambda: (
        with_scales(
            network(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(), nn.Flatten(2), nn.Linear(16, 5), nn.LayerNorm(5))
        ),
        image(6),
    ),
    "groups": lambda: (network(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 6, 3, groups=2), nn.ReLU()), image(5)),
    "computed filter": lambda: (network(longer(weight_norm(nn.Conv2d(3, 4, 3))), nn.ReLU()), image(8)),
    "clipped": lambda: (network(nn.Conv2d(3, 6, 3), nn.Hardtanh(), nn.ReLU()), image(6)),
    "clipped at six": lambda: (
        Functional(
            lambda m, x: m["head"](F.relu6(m["conv"](x)).flatten(1)), conv=nn.Conv2d(3, 6, 3), head=nn.Linear(96, 3)
        ),
        9 * image(6),
    ),
    "rms": lambda: (network(nn.Linear(5, 8), nn.RMSNorm(8, eps=0.1), nn.Tanh()), torch.randn(4, 3, 5)),
    "instances": lambda: (network(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.ReLU()), image(6)),
    "inactive dropout": lambda: (network(nn.Linear(5, 6), nn.Tanh(), nn.Dropout(), nn.Linear(6, 4)), torch.randn(4, 5)),
    "tokens": lambda: (
        Functional(
            tokens, layer=nn.Linear(4, 5), head=nn.Linear(5, 3), **sizes(token=(1, 5), positions=(4, 5), factor=(1, 5))
        ),
        torch.randn(5, 3, 4),
    ),
    "positions": lambda: (
        Functional(counted, head=nn.Linear(5, 3), **sizes(table=(7, 5), positions=(6, 5))),
        torch.randint(0, 7, (5, 4)),
    ),
    "odd layers": lambda: (
        network(
            nn.ConvTranspose2d(3, 4, 2), nn.LayerNorm((4, 5, 5), eps=0.1), different(nn.PReLU(4)), nn.Conv2d(4, 3, 2)
        ),
        image(4, 3),
    ),
    "volumes": lambda: (network(nn.Conv3d(2, 3, 2), nn.Tanh()), torch.randn(3, 2, 3, 3, 3)),
    "long rows": lambda: (network(nn.Linear(300, 12), nn.ReLU(), nn.Linear(12, 4)), torch.randn(17, 300)),
}
MORE = NETWORKS | {name: make for name, (make, _) in EXAMPLEWISE.items()} | MORE

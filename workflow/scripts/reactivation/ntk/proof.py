"""The proof of a kernel: for a random u, uᵀ K u = ‖Jᵀu‖², and the right side is one ordinary backward pass.

That pass is of the untouched network: nothing is captured, cast or taken apart. Restricted to a layer's parameters, the
norm is that layer's share, so that an error names the layer. Between two batches, wᵀ K v = ⟨J₁ᵀw, J₂ᵀv⟩.

`sum` and `full` are proved so with two draws of u (one alone could miss an error). `trace` takes a backward pass for
each logit: uᵀ K u = (1/C) Σ_c ‖J_cᵀu‖². So it is proved once for a network, on a few of the samples, and afterwards by
`sum`, which is computed from the same factors for all of them.
"""

from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from reactivation.ntk.exact import Settled, in_precision, undisturbed
from reactivation.ntk.graph import backward, between
from reactivation.ntk.guards import in_default, ran_out
from reactivation.ntk.snapshot import Snapshot

UNPASSED = "the network's own backward pass fails, so that its kernel cannot be proved (prove=False does not try)"
DRAWS = 2
FEW = 8  # samples on which `trace` is proved
STRIP = 64  # rows of a finished kernel at a time
HELD = 64 << 20  # bytes of gradients at a time while it is


@dataclass
class Tally:
    """The left side, added up while the kernel is: wᵀ K v by layer and kind, for each draw.

    w (draws, n, C) and v (draws, m, C), the same ones if rows and columns are the same samples; the first draw has the
    same weight for all logits. few_w (1, n) and few_v (1, m), for `trace`, are zero for most samples.
    forms[layer][kind] (draws,), float64.
    """

    w: Tensor
    v: Tensor
    few_w: Tensor
    few_v: Tensor
    symmetric: bool
    forms: dict[str, dict[str, Tensor]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, layer: str, kind: str, part: Tensor, row: int, column: int) -> None:
        """Add a block of a layer's kernel that begins at `row` and `column`."""
        rows, columns = part.shape[0], part.shape[2 if kind == "full" else 1]
        w, v = (self.few_w, self.few_v) if kind == "trace" else (self.w, self.v)
        w, v = w[:, row : row + rows], v[:, column : column + columns]
        if kind == "full":
            pairs = torch.einsum("dic,icjk,djk->dij", w, part, v)
            w, v = (torch.ones_like(t[..., 0]) for t in (w, v))
        else:
            w, v = (t[..., 0] if kind == "sum" else t for t in (w, v))
            pairs = part[None]
        if self.symmetric:  # only entries on and above the diagonal count, those above it for two
            above, at = (pairs.triu(row - column + k) for k in (1, 0))
            total = _form(w, above, v) + _form(w, at, v)
        else:
            total = _form(w, pairs, v)
        of = self.forms[layer]
        of[kind] = of[kind] + total if kind in of else total


def _form(w: Tensor, pairs: Tensor, v: Tensor) -> Tensor:
    """wᵀ K v for each draw: w (draws, n), v (draws, m), K (draws or 1, n, m)."""
    return (torch.matmul(w[:, None], pairs)[:, 0] * v).sum(1)


def new_tally(rows: int, columns: int | None, classes: int, device: torch.device) -> Tally:
    """Random weights for `rows` samples, and for `columns` others unless they are None; the caller's draws stay."""
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> Tensor:
        w = torch.randn(DRAWS, n, classes, dtype=torch.float64, generator=generator)
        w[0] = w[0, :, :1]
        return w.to(device)

    def few(w: Tensor) -> Tensor:
        n = w.shape[1]
        kept = torch.zeros(n, dtype=torch.float64)
        kept[torch.randperm(n, generator=generator)[: FEW - 2]] = 1
        kept[[0, n - 1]] = 1
        return w[:1, :, 0] * kept.to(device)

    w = draw(rows)
    few_w = few(w)
    if columns is None:
        return Tally(w, w, few_w, few_w, True)
    v = draw(columns)
    return Tally(w, v, few_w, few(v), False)


# ---------------------------------------------------------------------------------------------------- the right side
@dataclass
class Network:
    """What is proved: a network, its batches, and its trained parameters by layer."""

    model: nn.Module
    rows: Tensor
    columns: Tensor | None  # None: the same samples
    layers: dict[str, list[str]]
    snapshot: Snapshot
    batch: int  # samples in one pass
    dtype: torch.dtype  # of its weights
    room: int  # bytes for gradients


def products(network: Network, x: Tensor, weights: Tensor, dtype: torch.dtype | None) -> list[dict[str, Tensor]]:
    """Jᵀw for each of the weights w (draws, n, C): the gradient of Σ w f(x) by each parameter that it reaches."""
    names: dict[Tensor, str] = {p: name for name, p in network.model.named_parameters() if p.requires_grad}
    totals: list[dict[str, Tensor]] = [{} for _ in weights]
    counting = weights.abs().sum((0, 2)).nonzero().flatten().cpu()
    # In another order than the kernel's, which is another result if samples that stand beside each other are coupled.
    counting = counting[torch.randperm(len(counting), generator=torch.Generator().manual_seed(1))]
    for part in counting.split(max(2, network.batch)):
        samples, w = x[part], weights[:, part]
        if len(part) == 1:  # torch's batch norm is wrong for a batch of one whose gradient is a transposed view
            samples, w = torch.cat([samples, samples]), torch.cat([w, w], 1) / 2
        for total, found in zip(totals, _gradients(network, samples, w, dtype), strict=True):
            for p, g in found:
                if p in names:
                    total[names[p]] = total[names[p]] + g if names[p] in total else g
    return totals


def _gradients(
    network: Network, x: Tensor, weights: Tensor, dtype: torch.dtype | None
) -> list[list[tuple[Tensor, Tensor]]]:
    """The gradients of Σ w f(x) by the parameters that it reaches, for each w."""
    x = x.to(dtype if dtype and x.is_floating_point() else x.dtype, copy=True)
    cast = (in_precision(network.model, dtype), Settled(dtype, network.dtype)) if dtype else ()
    try:
        with ExitStack() as stack:
            for context in (undisturbed(network.model), in_default(dtype or network.dtype), *cast):
                stack.enter_context(context)
            logits = network.model(x)
            leaves = between(logits.grad_fn, {})[1]
            edges = tuple(GradientEdge(leaf, 0) for leaf in leaves)
            found = [backward(get_gradient_edge(logits), w.to(logits.dtype), edges) for w in weights]
            return [[(leaf.variable, g) for leaf, g in zip(leaves, of, strict=True) if g is not None] for of in found]
    except RuntimeError as error:
        if ran_out(error):
            raise
        raise ValueError(f"{UNPASSED}: {error}") from error
    finally:
        network.snapshot.restore()


# ------------------------------------------------------------------------------------------------ both sides compared
Side = dict[str, tuple[Tensor, Tensor]]  # by layer: wᵀ K v for each draw, and ‖J₁ᵀw‖ ‖J₂ᵀv‖, its largest possible value


def right_side(network: Network, tally: Tally, kind: str, dtype: torch.dtype | None = None) -> Side:
    """wᵀ K v of each layer by ordinary backward passes, in the network's own precision or in `dtype`."""
    w, v = tally.w, tally.v
    if kind == "trace":
        size = sum(p.nbytes for p in network.model.parameters())
        sides = [
            _pair(network, _each(tally.few_w, part, w), _each(tally.few_v, part, v), dtype)
            for part in torch.arange(w.shape[2]).split(max(1, min(HELD, network.room) // size))
        ]
        return {
            layer: (
                torch.cat([side[layer][0] for side in sides]).sum()[None],
                torch.cat([side[layer][1] for side in sides]).sum()[None],
            )
            for layer in network.layers
        }
    if kind == "sum":
        w, v = (t[..., :1].expand_as(t) for t in (w, v))
    return _pair(network, w, v, dtype)


def _each(few: Tensor, logits: Tensor, like: Tensor) -> Tensor:
    """The weights of `few` for each of some logits alone, (len(logits), n, C)."""
    only = torch.zeros(len(logits), *like.shape[1:], dtype=like.dtype, device=like.device)
    only[torch.arange(len(logits)), :, logits] = few
    return only


def _pair(network: Network, w: Tensor, v: Tensor, dtype: torch.dtype | None) -> Side:
    left = products(network, network.rows, w, dtype)
    right = left if network.columns is None else products(network, network.columns, v, dtype)
    side = {}
    for layer, names in network.layers.items():
        inner = torch.stack([_product(a, b, names) for a, b in zip(left, right, strict=True)])
        squares = [torch.stack([_product(of, of, names) for of in each]) for each in (left, right)]
        side[layer] = inner, (squares[0] * squares[1]).sqrt()
    return side


def _product(left: dict[str, Tensor], right: dict[str, Tensor], names: list[str]) -> Tensor:
    """The inner product of two gradients, by some parameters, in float64."""
    each = [(left[name].double() * right[name]).sum() for name in names if name in left and name in right]
    return torch.stack(each).sum() if each else torch.zeros((), dtype=torch.float64)


def differs(tally: Tally, kind: str, kernel: Tensor, dtype: torch.dtype) -> bool:
    """Whether a finished kernel, summed over layers, is another than the one that was added up."""
    if kind == "full":
        kernel = kernel.view(tally.w.shape[1], tally.w.shape[2], tally.v.shape[1], -1)
    whole = replace(tally, forms=defaultdict(dict))
    w, v, few_w, few_v = (t.abs() for t in (tally.w, tally.v, tally.few_w, tally.few_v))
    sizes = Tally(w, v, few_w, few_v, tally.symmetric)
    for start in range(0, len(kernel), STRIP):
        whole.add("", kind, kernel[start : start + STRIP], start, 0)
        sizes.add("", kind, kernel[start : start + STRIP].abs(), start, 0)
    parts = torch.stack([of[kind] for of in tally.forms.values() if kind in of]).sum(0)
    parts /= tally.w.shape[2] if kind == "trace" else 1
    slack = 1e-12 if dtype == torch.float64 else 1e-6
    return bool(((whole.forms[""][kind] - parts).abs() > slack * sizes.forms[""][kind]).any())


def wrong_layers(tally: Tally, kind: str, side: Side, dtype: torch.dtype) -> dict[str, float]:
    """The layers whose share fails, and by how much, relative to the right side."""
    slack, noise = (1e-9, 1e-13) if dtype == torch.float64 else (1e-3, 1e-6)
    total = torch.stack([size for _, size in side.values()]).nan_to_num(0, 0, 0).sum(0)
    wrong = {}
    for layer, (right, size) in side.items():
        left = tally.forms[layer].get(kind, torch.zeros_like(tally.w[:, 0, 0]))[: len(right)]
        right, size = right[: len(left)], size[: len(left)]
        larger = torch.maximum(size, left.abs())
        off = (left - right).abs()
        diverged = ~left.isfinite() & ~right.isfinite()  # the kernel says so
        if not (diverged | (off <= slack * larger + noise**2 * total[: len(left)])).all():
            wrong[layer] = float(
                (off / size).nan_to_num(1.0, torch.inf).max()
            )  # a gradient has rounding errors of `noise`
    return wrong

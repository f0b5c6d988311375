"""One parameter's share of a kernel, from its inputs and cotangents: Θ[i c, j d] = J_ic · J_jd, never holding all of J.

With the patches P_i (L, K) that its operation sees and the cotangents G_ic (L, O) of the operation's output,
J_ic = G_icᵀ P_i (O, K). There are two ways to contract, each dense or over lists of the alive entries:

by Jacobian:  J Jᵀ, with J in chunks over the input channels;
by position:  Σ_lm (P_i P_jᵀ)[l, m] (G_ic G_jdᵀ)[l, m] for each pair of samples; J is never formed.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk import sparse
from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.gram import few_row_products
from reactivation.ntk.graph import NOTHING, Use, Values
from reactivation.ntk.sums import Sums, in_chunks
from reactivation.ntk.windows import Window, pad, patch_gram, patches

# Costs in multiply-adds of a large matrix product; benchmarks/products.py measures what they rest on.
ELEMENT = 20.0  # one pass over one element of a tensor
ENTRY = 1.5  # reading a dense row for an entry of a list, per element; adding it C times comes on top
VECTOR = 16  # columns that a processor multiplies at once
SIDE = 256  # positions of samples whose pairs with others are contracted at once


@dataclass
class Factors:
    """The inputs and output cotangents of a weight, or of one group of its channels, for n samples.

    x (n, H, W, channels) is seen through `window`. An embedding has no window, and x (n, L) holds its indices, −1 where
    there is no gradient. The cotangents are dense (n, C, O, L), or, if that is empty, lists of the alive entries with a
    row for each channel.
    """

    x: Tensor
    window: Window | None
    shape: tuple[int, int, int, int]  # n, C, O, L
    dense: Tensor
    lists: sparse.Lists | None

    def jacobian(self, taps: slice = slice(None), channels: slice = slice(None), room: Tensor | None = None) -> Tensor:
        """Some columns of the Jacobian, (n, C, O, taps · channels, perhaps padded by zeros), in `room` if given."""
        n, classes, outputs, _ = self.shape
        assert self.window is not None, "an embedding has no patches"
        p = patches(self.x, self.window, taps, channels)
        if self.lists is not None:
            p = F.pad(p, (0, -p.shape[2] % VECTOR))
        shape = n, classes, outputs, p.shape[2]
        j = p.new_empty(shape) if room is None else room[: math.prod(shape)].view(shape)
        if self.lists is None:
            torch.bmm(self.dense.flatten(1, 2), p, out=j.flatten(1, 2))
        else:
            sparse.multiply(self.lists, p, torch.arange(outputs), j.zero_())
        return j

    def patch_gram(self, i: slice, j: slice) -> Tensor:
        """Inner products of the patches of samples i with those of samples j, (I, J, L, L)."""
        x, others = self.x[i], self.x[j]
        if self.window is not None:
            return patch_gram(x, others, self.window)
        same = (x[:, None, :, None] == others[None, :, None]) & (x >= 0)[:, None, :, None]
        return same.to(self.dense.dtype)


def factors(uses: list[tuple[Use, Cotangent]], group: int = 0) -> Factors:
    """The factors of one weight. If it is used several times, the positions of its uses follow each other."""
    use, _ = uses[0]
    seen, sent = [], []
    for use, cotangent in uses:
        channels, outputs = (size // use.window.groups for size in (use.x.shape[-1], cotangent.values.shape[-1]))
        seen.append(use.x[..., group * channels : (group + 1) * channels])
        sent.append(cotangent[group * outputs : (group + 1) * outputs])
    window = None if use.kind == "embedding" else replace(use.window, groups=1)
    x, lists = seen[0], None
    if len(uses) > 1 and window is None:
        x = torch.cat(seen, dim=1)
    elif len(uses) > 1:
        x = torch.cat([patches(x, use.window) for x, (use, _) in zip(seen, uses, strict=True)], dim=1)[:, None]
        window = Window()
    elif window is not None:
        lists = sent[0].entries("channel")
    n, classes, _, outputs = sent[0].values.shape
    shape = n, classes, outputs, sum(cotangent.length for cotangent in sent)
    dense = NOTHING
    if lists is None:
        dense = (sent[0].dense() if len(sent) == 1 else torch.cat([part.dense() for part in sent], 2)).transpose(2, 3)
        dense = dense if classes == 1 else dense.contiguous()
    return Factors(x, window, shape, dense, lists)


def jacobian(use: Use, values: Values, samples: int) -> Tensor:
    """The whole Jacobian (n, C, D) of one use of a parameter."""
    if use.kind in ("entries", "leaf"):
        assert isinstance(values, Tensor), "the cotangent has the form of the parameter"
        rows = values.reshape(len(values), samples, -1, use.parameter.numel())
        return rows.sum(2).transpose(0, 1)
    if use.kind == "rows":
        assert isinstance(values, Tensor), "the cotangent has the form of the parameter"
        by_sample = values.reshape(len(values), samples, -1).transpose(0, 1)
        return torch.diag_embed(by_sample.permute(1, 2, 0)).permute(2, 0, 3, 1).flatten(2)
    assert isinstance(values, Cotangent), "the cotangent is ordered by sample"
    if use.kind == "bias":
        return values.total()
    if use.kind == "scale":
        return torch.einsum("ncqo,nqo->nco", values.dense(), use.x)
    if use.kind == "embedding":
        return _of_table(use, values.dense())
    if use.window.groups > 1:
        return _of_groups(use, values.dense())
    found = factors([(use, values)]).jacobian()[..., : use.parameter.numel() // values.values.shape[-1]]
    return (found.transpose(2, 3) if use.turned else _stored(found, use.window)).flatten(2)


def _stored(found: Tensor, window: Window) -> Tensor:
    """The Jacobian of a filter (…, taps · channels) as the filter is stored, (…, channels, taps)."""
    taps = math.prod(window.kernel)
    return found if taps == 1 else found.unflatten(-1, (taps, -1)).transpose(-1, -2)


def _of_table(use: Use, g: Tensor) -> Tensor:
    """The Jacobian of an embedding's table, from cotangents (n, C, positions, O) of the rows that were looked up."""
    n, classes, _, outputs = g.shape
    rows = g.new_zeros(n, classes, len(use.parameter) + 1, outputs)  # the last one for indices without gradient
    at = torch.where(use.x < 0, len(use.parameter), use.x)[:, None, :, None].expand_as(g)
    return rows.scatter_add_(2, at, g)[:, :, :-1].flatten(2)


def _of_groups(use: Use, g: Tensor) -> Tensor:
    """The Jacobian of a grouped convolution's filter, all groups at once."""
    (n, classes, length, _), groups, window = g.shape, use.window.groups, use.window
    seen = patches(use.x, window).view(n, length, math.prod(window.kernel), groups, -1)
    left = g.unflatten(3, (groups, -1)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)  # (n · groups, C · O, L)
    right = seen.permute(0, 3, 1, 2, 4).flatten(3).flatten(0, 1)  # (n · groups, L, taps · channels)
    found = torch.bmm(left.contiguous(), right.contiguous()).view(n, groups, classes, -1, right.shape[-1])
    return _stored(found.transpose(1, 2), window).flatten(2)


def contract(factors: Factors, sums: Sums, chunk_bytes: int) -> None:
    """Add the weight's share to `sums` in the cheaper of the two ways, in chunks of about `chunk_bytes`."""
    by_jacobian, by_position = costs(factors, sums)
    if by_jacobian < by_position:
        _by_jacobian(factors, sums, chunk_bytes)
    else:
        _by_position(factors, sums, chunk_bytes)


def costs(factors: Factors, sums: Sums) -> tuple[float, float]:
    """The costs of contracting by Jacobian and by position, in multiply-adds of a large matrix product."""
    (n, classes, outputs, length), window, kinds = factors.shape, factors.window, sums.kernels
    rows, columns = sums.rows.stop - sums.rows.start, sums.columns.stop - sums.columns.start
    pairs = rows * (rows + 1) / 2 if sums.symmetric else rows * columns
    alive = outputs * length if factors.lists is None else len(factors.lists.index) / n
    products = classes if factors.lists is None else classes + ENTRY
    kernels = classes if "full" in kinds else 1
    if window is None:
        by_jacobian, grams = math.inf, pairs * length**2 * ELEMENT
    else:
        pixels, taps, channels = math.prod(factors.x.shape[1:3]), math.prod(window.kernel), factors.x.shape[3]
        form = n * alive * products + n * (length + classes * outputs) * ELEMENT
        by_jacobian = (
            (form + (pairs if kernels > 1 else rows * columns) * classes * kernels * outputs) * taps * channels
        )
        grams = pairs * (pixels**2 * channels + length**2 * ELEMENT * (1 if taps == 1 else sum(window.kernel)))
    if factors.lists is not None:
        return by_jacobian, grams + pairs * alive * (length * products + 2 * classes * kernels)
    each = outputs * (length + kernels) if kernels > 1 else outputs * length + ELEMENT / classes
    return by_jacobian, grams + pairs * classes * length * each


def _by_jacobian(factors: Factors, sums: Sums, chunk_bytes: int) -> None:
    """Contract in chunks of some taps and all channels, or of one tap and some channels."""
    assert factors.window is not None, "an embedding is contracted by position"
    n, classes, outputs, length = factors.shape
    taps, channels = math.prod(factors.window.kernel), factors.x.shape[3]
    columns = max(1, chunk_bytes // (n * (classes * outputs + length) * factors.x.element_size()))
    at_once = max(1, columns // channels)
    seen = replace(factors, x=pad(factors.x, factors.window), window=replace(factors.window, padding=(0, 0)))
    room: list[Tensor] = []  # shared by all chunks (the first is the largest): fresh memory costs as much as its use

    def add(tap: int, part: slice) -> None:
        size = n * classes * outputs * (at_once * (part.stop - part.start) + VECTOR)
        room.extend([seen.x.new_empty(size)] if not room else [])
        sums.add_jacobian(seen.jacobian(slice(tap, tap + at_once), part, room[0]))

    for tap in range(0, taps, at_once):
        in_chunks(0, channels, min(channels, max(columns // VECTOR * VECTOR, 1)), partial(add, tap))


def _by_position(factors: Factors, sums: Sums, chunk_bytes: int) -> None:
    _, classes, outputs, length = factors.shape
    full = "full" in sums.kernels
    contracted = _pairs_of_lists if factors.lists is not None else _pairs_full if full else _pairs_dense
    rows = max(1, SIDE // length) if contracted is _pairs_dense else 1
    of_pair = (4 * length**2 + full * classes * outputs * length) * factors.x.element_size()
    size = max(1, chunk_bytes // (rows * of_pair))
    for start in range(sums.rows.start, sums.rows.stop, rows):
        i = slice(start, min(start + rows, sums.rows.stop))
        first = start if sums.symmetric else sums.columns.start
        work = partial(lambda i, j: sums.add(i, j, contracted(factors, i, j, sums.kernels)), i)
        in_chunks(first, sums.columns.stop, size, work)


def _pairs_of_lists(factors: Factors, i: slice, j: slice, kinds: Iterable[str]) -> dict[str, Tensor]:
    """The blocks of one sample i with samples j."""
    assert factors.lists is not None, "dense cotangents are contracted as matrices"
    count, classes = j.stop - j.start, factors.shape[1]
    trace, total = np.zeros(count), np.zeros(count)
    full = np.zeros((count, classes, classes) if "full" in kinds else (0, 0, 0))
    gram = factors.patch_gram(i, j)[0].to(factors.x.dtype)
    sparse.pairs(factors.lists, i.start, j.start, gram, trace, total, full)
    if "full" in kinds:
        return {"full": torch.from_numpy(full).permute(1, 0, 2)[None]}
    return {"trace": torch.from_numpy(trace)[None], "sum": torch.from_numpy(total)[None]}


def _pairs_dense(factors: Factors, i: slice, j: slice, kinds: Iterable[str]) -> dict[str, Tensor]:
    """The blocks of `sum` and `trace` of samples i with samples j."""
    gram, length, parts = factors.patch_gram(i, j), factors.shape[3], {}
    for kind in kinds:
        g = factors.dense.flatten(1, 2) if kind == "trace" else factors.dense.sum(1)
        left, right = (g[at].transpose(1, 2).flatten(0, 1) for at in (i, j))
        products = few_row_products(left, right).view(len(gram), length, -1, length).transpose(1, 2)
        parts[kind] = (gram * products).sum((2, 3), dtype=torch.float64)
    return parts


def _pairs_full(factors: Factors, i: slice, j: slice, kinds: Iterable[str]) -> dict[str, Tensor]:
    """The blocks of `full` of one sample i with samples j."""
    _, classes, outputs, length = factors.shape
    through = factors.dense[i].flatten(0, 2) @ factors.patch_gram(i, j)[0].to(factors.dense.dtype)
    left = through.view(-1, classes, outputs * length)
    return {"full": torch.bmm(left, factors.dense[j].flatten(2).transpose(1, 2)).permute(1, 0, 2)[None]}

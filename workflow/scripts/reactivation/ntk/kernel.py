"""The empirical neural tangent kernel Θ(x_i, x_j) = ∇f(x_i)ᵀ ∇f(x_j) of a network's logits f."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from reactivation.ntk.capture import doubled, linearize
from reactivation.ntk.contraction import Sums, contract, factors, in_chunks, jacobian
from reactivation.ntk.cotangents import Cotangent, Use, cotangents
from reactivation.ntk.guards import (
    ONE_AT_A_TIME,
    NoDraws,
    default_memory_limit,
    exact,
    in_float64,
    in_less_memory,
    refuse_by_name,
    tell_unknown,
)

KINDS = ("sum", "trace", "full")
CHUNK = {"cpu": 32 << 20, "cuda": 1 << 30}  # bytes at a time, at most: larger chunks are not faster


class Kernels(dict[str, np.ndarray]):
    """Kernels by kind; `layers` holds each layer's share in the same form, if it was asked for."""

    def __init__(self, kernels: dict[str, np.ndarray], layers: dict[str, dict[str, np.ndarray]]):
        super().__init__(kernels)
        self.layers = layers


@dataclass
class Plan:
    """How each parameter's share is computed, and how much memory that takes."""

    seeds: Tensor  # (S, C): the combinations of logits that are differentiated
    classes: int  # C
    dtype: torch.dtype  # the precision of everything except the forward pass
    layers: dict[Tensor, str]  # the layer of each parameter
    whole: set[Tensor]  # parameters whose Jacobian is no larger than their cotangents
    examplewise: dict[Tensor, str]  # names of the parameters that are differentiated sample by sample
    kept: int  # bytes of inputs and cotangents per sample
    batch: int  # samples in one forward pass
    chunk: int  # bytes of any other temporary tensor
    limit: int  # bytes of everything together


def empirical_ntk(
    model: nn.Module,
    x: Tensor,
    x2: Tensor | None = None,
    *,
    kernels: Collection[str] = ("sum", "trace"),
    per_layer: bool = False,
    memory_limit: int | None = None,
) -> Kernels:
    """Return the kernels of `model` between the samples `x` (n, …) and themselves, or other samples `x2` (m, …).

    sum    (n, m): the summed logits with themselves, unnormalised
    trace  (n, m): the mean over the C logits of each logit's kernel
    full   (n·C, m·C): every logit with every other, sample-major

    All parameters that require gradients count. All kernels come from one pass, in float64, and are exactly symmetric
    where x2 is None. `per_layer` adds each layer's share in `.layers`; the shares sum to the total.

    Memory: batches, blocks of samples and temporaries are sized by estimate for `memory_limit` bytes, which do not
    include the result (default: a quarter of what is free, at most 4 GiB). Freed memory that the allocator keeps comes
    on top. Two samples' passes are the least that a call takes, and a tight limit makes it much slower.

    Precision: forward passes and sums are always float64; cotangents and products have the precision of the weights.
    With float32 weights, entries are off by 1e-7 to 5e-7 of the largest one. The kernel_distance S of two checkpoints
    (this repository's CNN, 32 images) is then off by up to 0.02 % at S = 1e-5, 0.2 % at 1e-6 and 0.4 % at 1e-8; below
    1e-12 it is noise. With float64 weights, entries are off by 1e-15. A forward pass in float32 would decide some ReLUs
    and poolings differently, and move entries by up to 5e-5. TF32 and bf16 are not used.

    Raises ValueError where there is no such kernel: batch norm or dropout in training mode, networks that draw random
    numbers, outputs that are not (n, C), samples that depend on each other (tested on the first two). Parameters of
    operations that capture.py does not take apart are differentiated sample by sample, which is exact but slow; the log
    names them once. The derivatives are those of the function: changes that hooks or an embedding's scale_grad_by_freq
    make to gradients do not count. Calls from several threads wait for each other; during a call, torch's default dtype
    is float64 in all threads.
    """
    kernels = kernels if isinstance(kernels, str) else tuple(kernels)
    if isinstance(kernels, str) or not kernels or set(kernels) - set(KINDS):
        raise ValueError(f"kernels must be some of {', '.join(KINDS)}, not {kernels!r}")
    for batch in (x,) if x2 is None else (x, x2):
        if not isinstance(batch, Tensor) or not batch.dim() or not len(batch) or batch.shape[1:] != x.shape[1:]:
            raise ValueError("x and x2 must be tensors of samples (n, …) of the same shape, one sample at least")
    if memory_limit is not None and not 1 <= memory_limit < math.inf:
        raise ValueError(f"memory_limit must be a number of bytes, not {memory_limit}")
    if any(t.is_complex() for t in (x, *model.parameters())):
        raise ValueError("kernels of complex parameters or samples are not defined here")
    model = getattr(model, "_orig_mod", model)  # torch.compile hides a network's operations behind a wrapper
    refuse_by_name(model)
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError("no parameter requires gradients")
    samples = (x if x2 is None else torch.cat([x, x2])).detach()
    rows, columns = slice(0, len(x)), slice(0 if x2 is None else len(x), len(samples))
    limit = default_memory_limit(samples.device) if memory_limit is None else int(memory_limit)
    with ONE_AT_A_TIME, exact(samples.device):
        layers = in_less_memory(
            limit, lambda limit: _by_layer(model, samples, rows, columns, kernels, per_layer, limit)
        )
    total = {kind: sum(share[kind] for share in layers.values()) for kind in kernels}
    return Kernels(total, layers if per_layer else {})


def _by_layer(
    model: nn.Module,
    samples: Tensor,
    rows: slice,
    columns: slice,
    kernels: Collection[str],
    per_layer: bool,
    limit: int,
) -> dict[str, dict[str, np.ndarray]]:
    """Each layer's share of the kernels, computed in `limit` bytes; without `per_layer`, one share of all layers."""
    plan = _plan(model, samples, kernels, per_layer, limit)
    shares = {
        layer: Sums.zeros(kernels, rows, columns, len(plan.seeds), samples.device)
        for layer in dict.fromkeys(plan.layers.values())
    }
    for i, j in _blocks(rows, columns, limit // 3 // plan.kept):  # a third: joining a layer's parts doubles them
        batch = samples[i] if i == j else torch.cat([samples[i], samples[j]])
        _add_block(model, batch, plan, {layer: share.block(i, j) for layer, share in shares.items()})
    return {layer: share.finished(plan.classes) for layer, share in shares.items()}


def _plan(model: nn.Module, samples: Tensor, kernels: Collection[str], per_layer: bool, limit: int) -> Plan:
    """The plan, from forward passes of the first sample and of the first two."""
    names = {p: name for name, p in model.named_parameters() if p.requires_grad}
    dtype = torch.promote_types(next(iter(names)).dtype, torch.float32)
    with NoDraws():
        logits, nodes, unknown = linearize(model, samples[:1], dtype)
    classes = logits.shape[1]
    like: dict[str, Any] = {"dtype": dtype, "device": samples.device}
    seeds = torch.ones(1, classes, **like) if set(kernels) == {"sum"} else torch.eye(classes, **like)

    ways: dict[Tensor, set[tuple[str, int]]] = defaultdict(set)
    positions: dict[Tensor, int] = defaultdict(int)
    seen = [0]
    for node in nodes.values():
        for use in node.uses:
            ways[use.parameter].add((use.kind, use.window.groups))
            positions[use.parameter] += node.output.shape.numel() // node.output.channels
            seen.append(use.x.numel())
    sent: dict[Tensor, int] = {}
    if len(samples) > 1:
        unknown, sent = _two_together(model, samples[:2], logits, dtype, len(seeds), unknown)
    unknown |= {p for p in ways if len(ways[p]) > 1}
    tell_unknown(model, [names[p] for p in names if p in unknown])
    whole = {
        p
        for p, ((kind, _), *_) in ways.items()
        if kind in ("bias", "scale") or (kind == "weight" and math.prod(p.shape[1:]) <= positions[p])
    }
    jacobians = len(seeds) * dtype.itemsize * sum(p.numel() for p in whole - unknown)
    outputs = [node.output.shape.numel() for node in nodes.values()] or [0]
    passing = 1 + 8 * sum(outputs) + 16 * max(outputs) + 3 * len(seeds) * max(seen) * dtype.itemsize
    chunk = min(limit // 4, CHUNK[samples.device.type])
    weights = 16 * sum(p.numel() for p in names)  # bytes of a batch for which casting the weights to float64 pays off
    return Plan(
        seeds=seeds,
        classes=classes,
        dtype=dtype,
        layers={p: name.rpartition(".")[0] or name if per_layer else "" for p, name in names.items()},
        whole=whole,
        examplewise={p: name for p, name in names.items() if p in unknown},
        kept=1 + dtype.itemsize * sum(seen) + jacobians + sum(sent[p] for p in sent.keys() - whole - unknown),
        batch=max(1, min(max(6 * chunk, weights), limit // 4) // passing),
        chunk=chunk,
        limit=limit,
    )


def _two_together(
    model: nn.Module, two: Tensor, logits: Tensor, dtype: torch.dtype, seeds: int, unknown: set[Tensor]
) -> tuple[set[Tensor], dict[Tensor, int]]:
    """Compare a batch of two samples with a batch of one; ValueError if the samples depend on each other.

    `logits` and `unknown` are those of the batch of one. Returns the parameters that are unknown (not taken apart) in
    either batch, and how many bytes a sample's cotangents of each other parameter take for `seeds` seeds.
    """
    together, nodes, here = linearize(model, two, dtype)
    slack = (1e-4 if dtype == torch.float32 else 1e-9) * logits.nan_to_num().abs().max()  # some nets insist on float32
    apart = bool(((together[:1] - logits).nan_to_num().abs() <= slack).all())
    seed = torch.zeros(2, 1, logits.shape[1], dtype=dtype, device=two.device)
    seed[0] = 1
    sent: dict[Tensor, int] = defaultdict(int)
    for use, cotangent in cotangents(together, nodes, seed):
        if use.parameter in unknown:  # the operation's first dimension may be two of something else
            continue
        apart = apart and not cotangent.values[1].nan_to_num().any()
        sent[use.parameter] += cotangent.bytes_a_sample(seeds)
    if not apart:
        raise ValueError("the logits of a sample change with the other samples of its batch")
    return unknown | here, sent


def _blocks(rows: slice, columns: slice, size: int) -> Iterator[tuple[slice, slice]]:
    """Parts of rows and columns, at most `size` samples together; if both are the same, from the diagonal on."""
    if columns.stop <= size:
        yield rows, columns
        return
    half = max(1, size // 2)
    for i in range(rows.start, rows.stop, half):
        for j in range(i if rows == columns else columns.start, columns.stop, half):
            yield slice(i, min(i + half, rows.stop)), slice(j, min(j + half, columns.stop))


def _add_block(model: nn.Module, samples: Tensor, plan: Plan, shares: dict[str, Sums]) -> None:
    """Add the kernels of one block's `samples` to the layers' shares."""
    jacobians: dict[Tensor, list[Tensor]] = defaultdict(list)
    weights: dict[Tensor, list[list[tuple[Use, Cotangent]]]] = defaultdict(list)

    def collect(part: slice) -> None:
        whole, kept = _collect(model, samples[part], plan)
        for found, of_part in ((jacobians, whole), (weights, kept)):
            for p, factor in of_part.items():
                found[p].append(factor)

    batches = -(-len(samples) // plan.batch)
    in_chunks(0, len(samples), -(-len(samples) // batches), collect)
    for p in list(reversed(jacobians)):
        shares[plan.layers[p]].add_jacobian(torch.cat(jacobians.pop(p)))
    while weights:
        p, parts = weights.popitem()
        uses = [
            (Use.join(use), Cotangent.join(sent))
            for use, sent in (zip(*use, strict=True) for use in zip(*parts, strict=True))
        ]
        del parts
        for group in range(uses[0][0].window.groups):
            contract(factors(uses, group), shares[plan.layers[p]], plan.chunk)
    _add_examplewise(model, samples, plan, shares)


def _collect(model: nn.Module, samples: Tensor, plan: Plan) -> tuple[dict, dict]:
    """Jacobians (n, C, D) of parameters for which they are small; for the others, each use with its cotangent."""
    logits, nodes, unknown = linearize(model, samples, plan.dtype)
    if not unknown <= plan.examplewise.keys():
        raise ValueError("the network uses different operations for another number of samples")
    whole: dict[Tensor, Tensor] = {}
    kept: dict[Tensor, list[tuple[Use, Cotangent]]] = defaultdict(list)
    for use, cotangent in cotangents(logits, nodes, plan.seeds):
        p = use.parameter
        if p in plan.examplewise:
            continue
        if p in plan.whole:
            j = jacobian(use, cotangent)
            whole[p] = whole[p] + j if p in whole else j
        else:
            kept[p].append((use, cotangent))
    return whole, kept


def _add_examplewise(model: nn.Module, samples: Tensor, plan: Plan, shares: dict[str, Sums]) -> None:
    """Add the shares of parameters that are not taken apart, from gradients sample by sample, in float64."""
    layers = defaultdict(list)
    for p, name in plan.examplewise.items():
        layers[plan.layers[p]].append(name)
    state = {name: doubled(p) for name, p in model.named_parameters()}

    def gradients(names: list[str], columns: slice) -> Tensor:
        leaves = {name: state[name].requires_grad_() for name in names}
        rows = []
        for sample in samples.split(1):
            # Fresh copies for each sample: a forward pass may change its input and the buffers.
            x = doubled(sample, copy=True)
            buffers = {name: doubled(b, copy=True) for name, b in model.named_buffers()}
            with in_float64():
                combined = functional_call(model, state | buffers, (x,))[0] @ plan.seeds.double().T
            for value in combined:
                found = torch.autograd.grad(value, tuple(leaves.values()), retain_graph=True, materialize_grads=True)
                rows.append(torch.cat([g.flatten() for g in found])[columns])
        return torch.stack(rows).view(len(samples), len(plan.seeds), -1)

    for layer, names in layers.items():
        share, count = shares[layer], sum(state[name].numel() for name in names)
        size = max(1, plan.limit // (16 * len(samples) * len(plan.seeds)))
        in_chunks(0, count, size, lambda columns: share.add_jacobian(gradients(names, columns)))  # noqa: B023

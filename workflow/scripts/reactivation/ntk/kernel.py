"""The empirical neural tangent kernel Θ(x_i, x_j) = ∇f(x_i)ᵀ ∇f(x_j) of a network's logits f."""

import math
from collections.abc import Collection
from dataclasses import replace
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from reactivation.ntk.blocks import computed
from reactivation.ntk.capture import warm
from reactivation.ntk.guards import ONE_AT_A_TIME, default_memory_limit, exact, in_less_memory, refuse_by_name, undrawn
from reactivation.ntk.proof import Network, Side, Tally, differs, right_side, wrong_layers
from reactivation.ntk.scheme import Scheme, Task
from reactivation.ntk.snapshot import Snapshot

UNPROVED = (
    "the kernel of {layer} could not be proved: it is off by {error:.2g} of what the network's own backward pass "
    "gives. Does the layer keep tensors from an earlier pass, or reach parameters otherwise than as its own? "
    "prove=False returns the unproved kernel"
)
_ALONE: WeakKeyDictionary[nn.Module, set[str]] = (
    WeakKeyDictionary()
)  # parameters that proofs found to need samples alone
_TRACED: WeakSet[nn.Module] = WeakSet()

KINDS = ("sum", "trace", "full")


class Kernels(dict[str, np.ndarray]):
    """Kernels by kind; `layers` holds each layer's share in the same form, if it was asked for."""

    def __init__(self, kernels: dict[str, np.ndarray], layers: dict[str, dict[str, np.ndarray]]):
        super().__init__(kernels)
        self.layers = layers


def empirical_ntk(
    model: nn.Module,
    x: Tensor,
    x2: Tensor | None = None,
    *,
    kernels: Collection[str] = ("sum", "trace"),
    per_layer: bool = False,
    memory_limit: int | None = None,
    prove: bool = True,
) -> Kernels:
    """Return the kernels of `model` between the samples `x` (n, …) and themselves, or other samples `x2` (m, …).

    sum    (n, m): the summed logits with themselves, unnormalised
    trace  (n, m): the mean over the C logits of each logit's kernel
    full   (n·C, m·C): every logit with every other, sample-major

    All parameters that require gradients count. All kernels come from one pass, in float64, and are exactly symmetric
    where x2 is None. `per_layer` adds each layer's share in `.layers`; the shares sum to the total.

    Memory: batches and temporaries are sized by estimate for `memory_limit` bytes, which do not include the result
    (default: a quarter of what is free, at most 4 GiB). What does not fit is kept in a temporary file. The weights'
    copies, 12 bytes for each parameter, are the least that a call takes, and so are two samples' passes.

    Precision: forward passes and sums are always float64; cotangents and products have the precision of the weights.
    With float32 weights, entries are off by 1e-7 to 5e-7 of the largest one. The kernel_distance S of two checkpoints
    (this repository's CNN, 32 images) is then off by up to 0.02 % at S = 1e-5, 0.2 % at 1e-6 and 0.4 % at 1e-8; below
    1e-12 it is noise. With float64 weights, entries are off by 1e-15. A forward pass in float32 would decide some ReLUs
    and poolings differently, and move entries by up to 5e-5. TF32 and bf16 are not used.

    `prove` compares the kernel with ordinary backward passes of the network, layer by layer (proof.py). That takes one
    forward and two backward passes, and for the first `trace` of a network C more, of up to eight samples. A layer that
    fails is computed again, sample by sample, as samples may have been reordered; one that fails again is a ValueError.

    Raises ValueError where there is no such kernel: batch norm or dropout in training mode, networks that draw random
    numbers, outputs that are not (n, C), samples that depend on each other (tested on the first and the last).
    Parameters of operations without a rule (operations/) are differentiated sample by sample, which is exact but slow;
    the log names them once. The derivatives are those of the function: changes that hooks or an embedding's
    scale_grad_by_freq make to gradients do not count. The network is afterwards as it was before. Calls from several
    threads wait for each other; during a call, torch's default dtype is float64 in all threads.
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
    names = {p: name for name, p in model.named_parameters() if p.requires_grad and p.numel()}
    if not names:
        raise ValueError("no parameter requires gradients")
    limit = default_memory_limit(x.device) if memory_limit is None else int(memory_limit)
    with ONE_AT_A_TIME, undrawn(), exact(x.device):
        snapshot = Snapshot(model)
        warm(model, x[:1], snapshot)
        task = Task(model, x.detach(), None if x2 is None else x2.detach(), kernels, names, per_layer, snapshot)
        found = _proved(task, limit) if prove else _computed(task, limit, prove=False)[0]
    if not per_layer:  # one share, of all layers
        return Kernels({kind: found[""][kind] for kind in kernels}, {})
    return Kernels({kind: np.sum([share[kind] for share in found.values()], 0) for kind in kernels}, found)


def _proved(task: Task, limit: int) -> dict[str, dict[str, np.ndarray]]:
    """Each layer's share of the kernels, proved; ValueError if it cannot be."""
    kinds = task.kinds
    if "full" not in kinds and "sum" not in kinds:  # `trace` is proved by `sum` once it has been proved itself
        task = replace(task, kinds=(*kinds, "sum"))
    sides: dict[tuple[str, bool], Side] = {}

    def wrong() -> dict[str, float]:
        network = Network(
            task.model, task.x, task.x2, task.by_layer(), task.snapshot, scheme.batch, scheme.dtype, scheme.room
        )
        found: dict[str, float] = {}
        for kind in ("full", "sum", "trace"):
            if kind not in task.kinds or (kind == "trace" and task.model in _TRACED):
                continue
            for again in (False, True):  # in float64 before it is refused, with torch's own faults mended
                if (kind, again) not in sides:
                    sides[kind, again] = right_side(network, tally, kind, torch.float64 if again else None)
                of_kind = wrong_layers(tally, kind, sides[kind, again], scheme.dtype)
                if not of_kind:
                    break
            found |= of_kind
        return found

    shares, tally, scheme = _computed(task, limit, prove=True)
    if off := wrong():
        layers = task.by_layer()
        before = _ALONE.get(task.model, set())
        _ALONE[task.model] = before | {name for layer in off for name in layers[layer]}
        shares, tally, scheme = _computed(task, limit, prove=True)
        if off := wrong():
            _ALONE[task.model] = before
            layer, error = max(off.items(), key=lambda item: item[1])
            raise ValueError(UNPROVED.format(layer=layer, error=error))
    for kind in kinds:
        total = np.sum([of[kind] for of in shares.values()], 0)
        if differs(tally, kind, torch.from_numpy(total).to(tally.w.device), scheme.dtype):
            raise ValueError(
                f"the kernel {kind} is not the sum of what its layers added: this is a fault of empirical_ntk"
            )
    if "trace" in kinds:
        _TRACED.add(task.model)
    return {share: {kind: of[kind] for kind in kinds} for share, of in shares.items()}


def _computed(task: Task, limit: int, *, prove: bool) -> tuple[dict[str, dict[str, np.ndarray]], Tally, Scheme]:
    """Each layer's share of the kernels, what proves them, and how they were computed."""
    known = _ALONE.get(task.model, set())
    alone = {p for p, name in task.names.items() if name in known}
    return in_less_memory(limit, lambda limit: computed(task, limit, alone, prove))

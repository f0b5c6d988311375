"""How a kernel is computed: each parameter's share, and how much memory that takes."""

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from reactivation.ntk.capture import Capture, exact_logits, linearized
from reactivation.ntk.contraction import costs, factors
from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.exact import FLOATS, storage
from reactivation.ntk.graph import NOTHING, Use, Values, cotangents, parameters_of
from reactivation.ntk.guards import NoDraws, generators, tell_unknown
from reactivation.ntk.snapshot import Snapshot
from reactivation.ntk.sums import Sums

CHUNK = {"cpu": 32 << 20, "cuda": 1 << 30}  # bytes at a time, at most: larger chunks are not faster
GROUPED = 64  # inputs up to which the Jacobian of a grouped filter is formed: one product for all groups


@dataclass(frozen=True)
class Task:
    """What is asked for: the kernels of some `kinds` of a network, between samples x and themselves or x2."""

    model: nn.Module
    x: Tensor
    x2: Tensor | None
    kinds: Collection[str]
    names: dict[Tensor, str]  # of the parameters that require gradients
    per_layer: bool
    snapshot: Snapshot

    @property
    def axes(self) -> tuple[slice, slice]:
        """Which of all samples, x and then x2, are the kernels' rows and columns."""
        n = len(self.x)
        return slice(0, n), slice(0, n) if self.x2 is None else slice(n, n + len(self.x2))

    def layer(self, parameter: Tensor) -> str:
        """The module that has a parameter."""
        name = self.names[parameter]
        return name.rpartition(".")[0] or name

    def share(self, parameter: Tensor) -> str:
        """The share of the result to which a parameter adds."""
        return self.layer(parameter) if self.per_layer else ""

    def by_layer(self) -> dict[str, list[str]]:
        """The names of each layer's parameters."""
        layers: dict[str, list[str]] = defaultdict(list)
        for parameter, name in self.names.items():
            layers[self.layer(parameter)].append(name)
        return layers


@dataclass
class Scheme:
    """How each parameter's share is computed, and how much memory that takes."""

    seeds: Tensor  # (S, C): the combinations of logits that are differentiated
    classes: int  # C
    dtype: torch.dtype  # the precision of everything except the forward pass
    whole: set[Tensor]  # parameters whose Jacobian is formed: no larger than their cotangents, or used in several ways
    alone: set[Tensor]  # parameters that are differentiated sample by sample
    streamed: set[Tensor]  # parameters whose Jacobian goes to a file
    kept: int  # bytes of inputs and cotangents per sample
    batch: int  # samples in one forward pass
    chunk: int  # bytes of any other temporary tensor
    room: int  # bytes of what is read from a file at a time
    together: int  # samples whose inputs and cotangents memory holds
    direct: int  # samples up to which shares are added during the pass, so that none of these is held
    pair: Tensor  # the logits of the first and the last sample, together
    checked: bool = False  # whether samples are known not to change with the others in their batch


def new_scheme(task: Task, samples: Tensor, alone: Collection[Tensor], limit: int, in_file: bool = False) -> Scheme:
    """The scheme, from one forward pass of the first two samples, or of the only one.

    `alone`: parameters that are known to need differentiation sample by sample.
    """
    model, snapshot, dtype = task.model, task.snapshot, torch.float32
    for p in model.parameters():
        dtype = torch.promote_types(dtype, p.dtype) if p.dtype in FLOATS else dtype
    two = samples if len(samples) < 3 else samples[[0, -1]]
    drawn = generators()
    with linearized(model, two, dtype, snapshot) as (logits, capture, reached):
        classes = logits.shape[1]
        seeds = torch.ones(1, classes) if set(task.kinds) == {"sum"} else torch.eye(classes)
        whole = _whole(capture)
        mixed, sent, around = _first_alone(logits, capture, len(seeds))
        unknown = set(alone)
        if len(two) > 1:  # by itself a sample needs nothing else
            unknown |= reached | mixed
        whole |= unknown
        streamed = _streamed(task, sent, len(seeds)) - whole if in_file else set()
        kept, passing, alone_passing = _bytes(capture, len(seeds), dtype.itemsize, whole, streamed, sent, around)
    if not all(map(torch.equal, drawn, generators())):  # by the network, or by another thread
        with NoDraws(), linearized(model, two, dtype, snapshot):
            pass
    tell_unknown(model, unknown)
    weights = sum(p.numel() for p in task.names)
    left = max(limit - 4 * weights, limit // 4)  # the snapshot holds the weights as well
    chunk = min(left // 5, CHUNK[samples.device.type])
    for_pass = min(max(6 * chunk, 16 * weights), (left - 8 * weights) * 3 // 4)  # which holds them in float64
    together = limit // 3 // kept  # a third: joining parts may double them
    batch = max(1, for_pass // passing)
    # Large passes are slower than those of a few samples. Those of fewer are slower still; so is holding too little.
    most = left * 3 // 4 if len(samples) > together else min(left * 3 // 4, 16 * chunk) if batch < 8 else for_pass
    direct = most // alone_passing
    if unknown:  # their Jacobians are held, or go to a file
        direct = min(direct, limit // 3 // (len(seeds) * dtype.itemsize * sum(p.numel() for p in unknown)))
    return Scheme(
        seeds=seeds.to(samples.device, dtype),
        classes=classes,
        dtype=dtype,
        whole=whole,
        alone=unknown,
        streamed=streamed,
        kept=kept,
        batch=batch,
        chunk=chunk,
        room=left * 2 // 5,
        together=max(together, direct),
        direct=direct,
        pair=logits.detach(),
    )


def _whole(capture: Capture) -> set[Tensor]:
    """The parameters whose Jacobian is formed: where it is small, or the sum of several uses."""
    ways: dict[Tensor, set] = defaultdict(set)
    positions: dict[Tensor, int] = defaultdict(int)
    derived: set[Tensor] = set()
    for node in capture.nodes.values():
        for use in node.uses:
            p = use.parameter
            if p not in capture.trained:
                derived |= capture.trained & set(parameters_of(p))
                continue
            ways[p].add((use.kind, use.window.groups, use.turned))
            if use.kind == "weight":
                positions[p] += node.output.shape.numel() // node.output.channels // capture.samples
    whole = derived | {p for p in ways if len(ways[p]) > 1}
    for p, ((kind, groups, turned), *_) in ways.items():
        seen = p.numel() // p.shape[1 if turned else 0] if kind == "weight" else 0
        small = seen <= positions[p] or (groups > 1 and (seen <= GROUPED or p.shape[1] == 1))
        if kind in ("bias", "scale", "entries", "rows") or (kind == "weight" and small):
            whole.add(p)
    return whole


def _first_alone(
    logits: Tensor, capture: Capture, seeds: int
) -> tuple[set[Tensor], dict[Tensor, list[tuple[Use, Cotangent]]], int]:
    """Pass the first sample's cotangents back.

    Returns the parameters at whose operations they arrive elsewhere than in the first of two samples' rows; the uses
    of each parameter; and how many bytes a sample's cotangents around one operation take for `seeds` seeds.
    """
    n, around = capture.samples, [0]

    def noted(pull: Callable, values: Values) -> Sequence[Values]:
        pulled = pull(values)
        around.append(sum({_storage(each): _sample_bytes(each, n, seeds) for each in (*pulled, values)}.values()))
        return pulled

    for node in capture.nodes.values():
        node.pull = partial(noted, node.pull)
    seed = torch.zeros(n, 1, logits.shape[1], dtype=capture.dtype, device=logits.device)
    seed[0] = 1
    mixed: set[Tensor] = set()
    sent: dict[Tensor, list[tuple[Use, Cotangent]]] = defaultdict(list)
    for use, values in cotangents(logits, capture.nodes, seed):
        if isinstance(values, Cotangent):
            others = values.values[1:]
            sent[use.parameter].append((use, values))
        else:
            others = values.unflatten(1, (n, -1))[:, 1:]
        if others.nan_to_num().any():
            p = use.parameter
            mixed |= {p} if p in capture.trained else capture.trained & set(parameters_of(p))
    return mixed, sent, max(around)


def _storage(values: Values) -> int:
    """Masks and selections of the entries share what they are made from."""
    return storage(values.values if isinstance(values, Cotangent) else values)


def _sample_bytes(values: Values, samples: int, seeds: int) -> int:
    """Bytes of one sample's cotangents for `seeds` seeds, from those for a single one."""
    return values.bytes_a_sample(seeds) if isinstance(values, Cotangent) else seeds * values.nbytes // samples


def refuse_coupled(model: nn.Module, samples: Tensor, logits: Tensor, pair: Tensor, snapshot: Snapshot) -> None:
    """ValueError if the logits of the first or the last sample change with the others in their batch.

    `pair`: the logits of the first sample in the batch of two from which the scheme was made.
    """
    finite = logits.isfinite()  # others have overflowed, as the kernel says
    slack = (1e-6 if logits.dtype == torch.float32 else 1e-9) * logits.where(finite, 0).abs().max()
    known = {0: pair[0]} if len(samples) > 2 else {}
    for i in {0, len(samples) - 1}:
        alone = known[i] if i in known else exact_logits(model, samples[i : i + 1], logits.dtype, snapshot)[0]
        if ((alone - logits[i]).where(finite[i] & alone.isfinite(), 0).abs() > slack).any():
            raise ValueError("the logits of a sample change with the other samples of its batch")


def _streamed(task: Task, sent: dict[Tensor, list[tuple[Use, Cotangent]]], seeds: int) -> set[Tensor]:
    """The weights whose products are cheaper by their Jacobian: it can be added up in columns of all samples."""
    rows, columns = task.axes
    sums = Sums(dict.fromkeys(task.kinds, NOTHING), rows, columns)
    streamed = set()
    for p, uses in sent.items():
        use, cotangent = uses[0]
        if len(uses) > 1 or use.kind != "weight" or use.window.groups > 1:
            continue
        one = Cotangent(
            cotangent.values[:1].expand(-1, seeds, -1, -1),
            cotangent.length,
            *(None if t is None else t[:1] for t in (cotangent.position, cotangent.alive)),
        )
        of_one = factors([(replace(use, x=use.x[:1]), one)])
        n, lists = columns.stop, of_one.lists
        if lists is not None:  # as many for each sample
            lists = replace(lists, index=np.broadcast_to(np.int32(0), n * len(lists.index)))
        x, shape = of_one.x.expand(n, -1, -1, -1), (n, *of_one.shape[1:])
        by_jacobian, by_position = costs(replace(of_one, x=x, shape=shape, lists=lists), sums)
        if by_jacobian < by_position:
            streamed.add(p)
    return streamed


def _bytes(
    capture: Capture, seeds: int, itemsize: int, whole: set[Tensor], streamed: set[Tensor], sent: dict, around: int
) -> tuple[int, int, int]:
    """Bytes for each sample: those that are kept of each, those of one forward and backward pass in which shares are
    kept, and those of one in which they are added at once.
    """
    n = capture.samples
    jacobians = seeds * itemsize * sum(p.numel() for p in whole)
    uses = [use for node in capture.nodes.values() for use in node.uses]
    sizes = (p.shape.numel() // n for node in capture.nodes.values() for p in (node.output, *node.sources))
    held = sum(use.x.nbytes // n for use in uses if use.parameter not in whole | streamed)
    held += sum(c.bytes_a_sample(seeds) for p, of in sent.items() if p not in whole | streamed for _, c in of)
    kept = 1 + jacobians + held + seeds * itemsize * sum(p.numel() for p in streamed)
    ports = [port for node in capture.nodes.values() for port in node.sources if port.edge.node not in capture.nodes]
    by_autograd = seeds * itemsize * max((port.shape.numel() // n for port in ports), default=0)
    # An operation's backward pass makes dense copies, and copies in other orders, of what it takes and gives.
    back = sum(use.x.nbytes // n for use in uses) + 4 * around + 8 * by_autograd
    largest = 2 * seeds * itemsize * max((use.parameter.numel() for use in uses if use.parameter in whole), default=0)
    forth = 4 * 8 * max(sizes, default=0)
    values = 1 + capture.bytes // n
    return kept, values + max(back + jacobians, forth), values + max(back + largest, forth)

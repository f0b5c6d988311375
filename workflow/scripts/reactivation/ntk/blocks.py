"""A kernel, block by block of samples: their forward and backward passes, then each parameter's share."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import IO

import numpy as np
import torch
from torch import Tensor

from reactivation.ntk.capture import Capture, linearized
from reactivation.ntk.contraction import contract, factors, jacobian
from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.graph import Use, cotangents, parameters_of, through_parameters
from reactivation.ntk.guards import LOG, give_back, scratch
from reactivation.ntk.proof import Tally, new_tally
from reactivation.ntk.scheme import Scheme, Task, new_scheme, refuse_coupled
from reactivation.ntk.store import Store
from reactivation.ntk.sums import Sums, in_chunks


def computed(
    task: Task, limit: int, alone: Collection[Tensor], prove: bool
) -> tuple[dict[str, dict[str, np.ndarray]], Tally, Scheme]:
    """Each layer's share of the kernels, computed in `limit` bytes; without `per_layer`, one share of all layers.

    `alone`: parameters that are differentiated sample by sample, besides those for which this is known to be needed.
    The tally is empty unless it is to `prove` them.
    """
    samples = task.x if task.x2 is None else torch.cat([task.x, task.x2])
    files = True  # whether what does not fit into memory may go to a file
    while True:
        scheme = new_scheme(task, samples, alone, limit)
        try:
            if files and len(samples) > scheme.together:
                scheme = new_scheme(task, samples, alone, limit, in_file=True)
                with scratch(len(samples) * scheme.kept) as file:
                    return _of_scheme(task, samples, scheme, prove, file)
            return _of_scheme(task, samples, scheme, prove)
        except OSError as error:
            if not files:
                raise
            LOG.warning("passes are repeated, as what does not fit into memory cannot be kept: %s", error)
            files = False
        except _Otherwise as otherwise:
            alone = {*alone, *otherwise.parameters}


class _Otherwise(Exception):
    """Some samples use `parameters` otherwise than the first two: they must be taken one by one."""

    def __init__(self, parameters: Collection[Tensor]):
        super().__init__()
        self.parameters = parameters


def _of_scheme(
    task: Task, samples: Tensor, scheme: Scheme, prove: bool, file: IO[bytes] | None = None
) -> tuple[dict[str, dict[str, np.ndarray]], Tally, Scheme]:
    """What `computed` returns, according to a scheme."""
    x, x2 = task.x, task.x2
    rows, columns = task.axes
    tally = new_tally(len(x), None if x2 is None else len(x2), scheme.classes, x.device)
    totals = {
        share: Sums.zeros(task.kinds, rows, columns, len(scheme.seeds), x.device, tally if prove else None)
        for share in dict.fromkeys(map(task.share, task.names))
    }
    for i, j in _blocks(rows, columns, len(samples) if file else scheme.together):
        whole = (i, j) == (rows, columns)
        batch = samples if whole else samples[i] if i == j else torch.cat([samples[i], samples[j]])
        blocks = {share: total.block(i, j) for share, total in totals.items()}
        _add_block(task, batch, scheme, {p: blocks[task.share(p)].of(task.layer(p)) for p in task.names}, file)
    return {share: total.finished(scheme.classes) for share, total in totals.items()}, tally, scheme


def _blocks(rows: slice, columns: slice, size: int) -> Iterator[tuple[slice, slice]]:
    """Parts of rows and columns, at most `size` samples together; if both are the same, from the diagonal on."""
    if columns.stop <= size:
        yield rows, columns
        return
    half = max(1, size // 2)
    for i in range(rows.start, rows.stop, half):
        for j in range(i if rows == columns else columns.start, columns.stop, half):
            yield slice(i, min(i + half, rows.stop)), slice(j, min(j + half, columns.stop))


def _add_block(
    task: Task, samples: Tensor, scheme: Scheme, shares: dict[Tensor, Sums], file: IO[bytes] | None = None
) -> None:
    """Add the kernels of `samples` to the parameters' shares; with a file, in less memory than they take."""
    store = Store(len(samples), scheme.room // 3, file)
    ways: list[dict[Tensor, list]] = []

    def collect(part: slice) -> None:
        whole = part == slice(0, len(samples))  # unless memory ran out
        logits, found = _collect(task, samples, part, scheme, store, direct if whole else None)
        if len(logits) > 1 and not scheme.checked:
            refuse_coupled(task.model, samples[part], logits, scheme.pair, task.snapshot)
            scheme.checked = True
        ways.append(found)
        if differing := {p for p in ways[0] | ways[-1] if ways[0].get(p) != ways[-1].get(p)}:
            raise _Otherwise(differing)
        if file is not None:
            give_back(samples.device)

    def collect_one(part: slice) -> None:
        _collect(task, samples, part, scheme, store, alone=True)

    direct = shares if len(samples) <= scheme.direct and file is None else None
    batches = 1 if direct else -(-len(samples) // scheme.batch)
    in_chunks(0, len(samples), -(-len(samples) // batches), collect)
    if scheme.alone:
        in_chunks(0, len(samples), 1, collect_one)
    while store.jacobians:
        (p, _), part = store.jacobians.popitem()
        for piece in range(part.pieces):
            shares[p].add_jacobian(part.read([slice(0, len(samples))], piece))
            if file is not None:
                give_back(samples.device)
    while store.uses:
        p, sent = store.uses.popitem()
        needed = 5 * sum(use.bytes_a_sample() for use in sent)  # with copies, dense and in float64
        for i, j in _blocks(shares[p].rows, shares[p].columns, scheme.room // needed if file else len(samples)):
            _contract([use.read([i] if i == j else [i, j]) for use in sent], shares[p].block(i, j), scheme)
            if file is not None:
                give_back(samples.device)


def _contract(uses: list[tuple[Use, Cotangent]], share: Sums, scheme: Scheme) -> None:
    groups = uses[0][0].window.groups
    for group in range(groups):
        found = factors(uses, group)
        if group + 1 == groups:
            uses.clear()  # the caller keeps none of them either
        contract(found, share, scheme.chunk)


def _collect(
    task: Task,
    samples: Tensor,
    part: slice,
    scheme: Scheme,
    store: Store,
    shares: dict[Tensor, Sums] | None = None,
    alone: bool = False,
) -> tuple[Tensor, dict[Tensor, list]]:
    """Add what a part of the samples contributes to the store, of parameters to be taken `alone` or of the others.

    `shares` are given if the part is all samples: each parameter's share is then added as soon as it is complete.
    Returns the logits, and in which ways parameters were used: parts must agree to be joined.
    """
    n = part.stop - part.start
    with linearized(task.model, samples[part], scheme.dtype, task.snapshot) as (logits, capture, reached):
        if otherwise := reached - scheme.alone - (scheme.whole if n == 1 else set()):
            raise _Otherwise(otherwise)
        found = _Found(capture.trained, task.names.keys() - scheme.alone if alone else scheme.alone)
        left = _uses_left(capture)
        pending: dict[Tensor, list[tuple[Use, Cotangent]]] = defaultdict(list)
        for use, values in cotangents(logits, capture.nodes, scheme.seeds, reached if n == 1 else ()):
            p = use.parameter
            if p in found.without:
                continue
            if p not in capture.trained or p in scheme.whole:
                found.add(p, jacobian(use, values, n))
            else:
                assert isinstance(values, Cotangent), "of other forms are only uses whose Jacobian is formed"
                if shares is not None:
                    pending[p].append((use, values))
                elif p in scheme.streamed:
                    _stream(use, values, part.start, scheme, store)
                else:
                    store.add_use(len(found.ways[p]), part.start, use, values)
                found.ways[p].append((use.kind, use.window, use.turned, use.x.shape[1:]))
            for complete in found.complete(p, left):
                if shares is not None and complete in pending:
                    _contract(pending.pop(complete), shares[complete], scheme)
                elif shares is not None and complete not in reached:
                    shares[complete].add_jacobian(found.whole.pop(complete))
        found.through_all()
        logits = logits.detach()
    for p, uses in pending.items():  # of operations on paths that end elsewhere than in the logits
        _contract(uses, (shares or {})[p], scheme)
    for p in scheme.alone if alone else ():
        found.whole.setdefault(p, samples.new_zeros(n, len(scheme.seeds), p.numel(), dtype=scheme.dtype))
    for p, j in found.whole.items():
        store.add_jacobian(p, 0, part.start, j)
    return logits, {p: [] for p in found.whole} | found.ways


@dataclass
class _Found:
    """Adds up the Jacobians (n, S, D) of parameters, and of tensors that depend on nothing but parameters."""

    trained: Collection[Tensor]
    without: Collection[Tensor]  # parameters that are left out
    whole: dict[Tensor, Tensor] = field(default_factory=dict)
    derived: dict[Tensor, Tensor] = field(default_factory=dict)
    ways: dict[Tensor, list] = field(default_factory=lambda: defaultdict(list))

    def add(self, p: Tensor, jacobian: Tensor) -> None:
        into = self.whole if p in self.trained else self.derived
        into[p] = into[p] + jacobian if p in into else jacobian

    def complete(self, p: Tensor, left: Counter[Tensor]) -> list[Tensor]:
        """Count a use of p; the parameters of which there are no more uses to come."""
        left[p] -= 1
        if left[p]:
            return []
        if p in self.trained:
            return [p]
        passed = self.through(p)
        left.subtract(passed)
        return [leaf for leaf in passed if not left[leaf] and leaf in self.whole]

    def through(self, tensor: Tensor) -> list[Tensor]:
        """Pass the Jacobian of a computed tensor on to its parameters, and name them."""
        shares = through_parameters(tensor, self.derived.pop(tensor))
        for p, share in shares:
            if p in self.trained and p not in self.without:
                self.add(p, share)
        return parameters_of(tensor) if shares else []

    def through_all(self) -> None:
        for tensor in list(self.derived):
            self.through(tensor)


def _uses_left(capture: Capture) -> Counter[Tensor]:
    """How often each parameter is used, and each tensor computed from parameters; those count as one use of theirs."""
    left = Counter(use.parameter for node in capture.nodes.values() for use in node.uses)
    for tensor in [tensor for tensor in left if tensor not in capture.trained]:
        left.update(parameters_of(tensor))
    return left


def _stream(use: Use, cotangent: Cotangent, start: int, scheme: Scheme, store: Store) -> None:
    """Add a weight's Jacobian to the store, some outputs at a time."""
    p, outputs = use.parameter, cotangent.values.shape[-1]
    seen = p.numel() // outputs
    step = max(1, scheme.chunk // 2 // (scheme.batch * len(scheme.seeds) * seen * scheme.dtype.itemsize))
    for o in range(0, outputs, step):
        found = factors([(use, cotangent[o : o + step])]).jacobian()
        store.add_jacobian(p, o, start, found[..., :seen].flatten(2))

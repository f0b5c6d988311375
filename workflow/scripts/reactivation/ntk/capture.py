"""The forward pass, taken apart into operations that keep their inputs and can pass cotangents of all logits back.

Values come from a pass in float64 (exact.py). This second pass runs in the precision of the weights, takes each value
from the first one, and only makes the graph. Each operation that has a rule (operations/) is cut out of autograd's
graph as a `Node`; whatever lies between two nodes stays in the graph.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

import reactivation.ntk.operations  # noqa: F401  (fills the tables of rules)
from reactivation.ntk.exact import (
    OTHER_PATH,
    Exact,
    Record,
    in_precision,
    instead,
    is_attribute,
    settled,
    storage,
    tensors,
    undisturbed,
    values_of,
)
from reactivation.ntk.graph import Node, Use, between, port
from reactivation.ntk.guards import INNER_GRADIENT, explained, in_default, ran_out, refuse_torch_func
from reactivation.ntk.rules import OPENED, RULES
from reactivation.ntk.snapshot import Snapshot

# Operations in which a tensor computed from parameters alone may stand for a row of it for each sample.
BROADCASTING = {
    function
    for name in ["add", "sub", "mul", "div", "true_divide", "maximum", "minimum", "where", "lerp", "addcmul", "pow"]
    for function in (getattr(torch, name, None), getattr(Tensor, name, None), getattr(Tensor, f"{name}_", None))
} | {getattr(Tensor, f"__{way}{name}__") for way in ("", "r", "i") for name in ("add", "sub", "mul", "truediv", "pow")}
REPEATING = {Tensor.expand, Tensor.expand_as, Tensor.repeat, torch.broadcast_to, Tensor.broadcast_to, torch.tile}
MOST = 1 << 22  # entries of a tensor with a row for each sample, times the samples, up to which it is taken apart
MULTIPLYING = {torch.matmul, Tensor.matmul, Tensor.__matmul__}
JOINING = {torch.cat, torch.concat, torch.stack}


class _Tap(torch.autograd.Function):
    """Cuts an operation's output off from its input; `token` still makes the output require gradients."""

    @staticmethod
    def forward(ctx, z, token):
        ctx.mark_dirty(z)  # the same tensor, not a copy; later operations may still change it in place
        return z

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError(INNER_GRADIENT)


class _Value(torch.autograd.Function):
    """Other values for a result. The operation keeps its own, which its backward pass may compare with its input."""

    @staticmethod
    def forward(ctx, result, value):
        ctx.mark_dirty(value)  # the same tensor, not a view: later operations may change it in place
        return value

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class Capture(TorchFunctionMode):
    """While active, takes the operations of a forward pass apart into `nodes`, in the order in which they ran.

    It is what a rule gets as its first argument. `record`: the values from a pass in float64, or None if this pass is
    in float64 itself.
    """

    def __init__(self, model: nn.Module, samples: int, dtype: torch.dtype, record: Record | None):
        super().__init__()
        self.trained: set[Tensor] = {p for p in model.parameters() if p.requires_grad and p.numel()}
        attributes = {t for module in model.modules() for t in vars(module).values() if isinstance(t, Tensor)}
        self.state = {*model.parameters(), *model.buffers(), *attributes}
        self.samples, self.dtype, self.own, self.record = samples, dtype, dtype, record
        self.nodes: dict[object, Node] = {}
        self.token = torch.zeros((), dtype=dtype, device=next(model.parameters()).device, requires_grad=True)
        self.constant: dict[int, Tensor] = {}  # tensors that do not depend on the samples, apart from `state`
        self.turned: dict[int, Tensor] = {}  # transposed parameters
        self.looked_up: dict[int, tuple[Tensor, Tensor]] = {}  # embeddings of constants: their indices and tables
        self.batch_at = 0  # the dimension that holds the samples
        self.call: tuple[Callable, tuple, dict] = (torch.add, (), {})
        self.found: list[Tensor | None] | None = None  # values of the present call
        self.bytes = sum(t.nbytes for _, made in record or () for t in made if t is not None)

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        refuse_torch_func()
        if is_attribute(func):
            return self.noted(func, args, kwargs, func(*args, **kwargs))
        if (result := instead(self, func, args, kwargs, OPENED)) is not NotImplemented:
            return result
        given = args, kwargs
        called, args, kwargs = settled(func, args, kwargs, self.dtype)
        if self.record is not None:
            if not self.record or self.record[0][0] is not func:
                raise ValueError(OTHER_PATH)
            self.found = self.record.popleft()[1]
        self.call = func, args, kwargs
        if func in RULES and any(map(self.of_samples, tensors((args, kwargs)))):
            result = RULES[func](self, *args, **kwargs)
            if result is not NotImplemented:
                return result
        if func in REPEATING and (result := self.repeated(args, kwargs)) is not None:
            return result
        args = self.spread(func, args, kwargs)
        result = self.exactly(called(*args, **kwargs), args, kwargs)
        return self.noted(func, *given, result)

    def exactly(self, result: Any, args: Any, kwargs: Any) -> Any:
        """A result with the values of the pass in float64."""
        found = self.found or []
        single = isinstance(result, Tensor) and len(found) == 1 and found[0] is not None
        if single and storage(result) not in {storage(t) for t in tensors((args, kwargs))}:
            return _Value.apply(result, found[0]) if result.requires_grad else found[0]
        for tensor, value in zip(tensors(result), found, strict=False):
            if value is not None:
                tensor.data.copy_(value)  # the version counter stays: autograd has saved these very tensors
        return result

    # ------------------------------------------------------------------------------- what rules ask and what they make
    def values(self) -> list[Tensor]:
        """The value of the present call outside autograd's graph, and what its replacement says besides."""
        if self.record is None:
            func, args, kwargs = self.call
            return list(tensors(values_of(func, args, kwargs)))
        assert self.found is not None
        return [value for value in self.found if value is not None]

    def varies(self, tensor: Tensor | None) -> bool:
        """Whether a tensor depends on the samples, as far as is known."""
        return tensor is not None and tensor not in self.state and id(tensor) not in self.constant

    def of_samples(self, tensor: Tensor | None) -> bool:
        """Whether a tensor depends on the samples, or has a row for each, such as a first hidden state."""
        if tensor is None or self.varies(tensor):
            return tensor is not None
        rows = tensor.dim() > 1 and len(tensor) == self.samples
        return rows and not tensor.requires_grad and tensor not in self.state

    def by_sample(self, tensor: Tensor) -> bool:
        """Whether the rows of a tensor can be those of the samples, each in as many neighbouring rows."""
        return tensor.dim() > 0 and tensor.numel() > 0 and len(tensor) % self.samples == 0

    def fixed(self, *parameters: Tensor | None) -> bool:
        """Whether each is a parameter, or computed from parameters alone, or has no gradient."""
        return all(t is None or not t.requires_grad or not self.varies(t) for t in parameters)

    def uses(self, parameter: Tensor | None, kind: str, *args, **options) -> list[Use]:
        """The use of a parameter that requires gradients, otherwise nothing."""
        if parameter is None or not parameter.requires_grad:
            return []
        if id(parameter) in self.turned:
            parameter = self.turned[id(parameter)]
            options["turned"] = not options.get("turned", False)
        return [Use(parameter, kind, *args, **options)]

    def channel(self, *inputs: Tensor) -> int:
        """Which dimension of an element-wise operation's inputs holds channels: as in the operation before."""
        for x in inputs:
            before = self.nodes.get(x.grad_fn)
            if before is not None and before.output.channel:
                return before.output.channel
        return (1 if inputs[0].dim() == 4 else -1) if inputs[0].dim() > 1 and self.by_sample(inputs[0]) else 0

    def node(
        self, z: Tensor, pull: Callable, sources: Sequence[tuple[Tensor, int]] = (), uses: Sequence[Use] = (), channel=0
    ) -> Tensor:
        """Return z, computed without autograd, as a new node's output.

        `sources`: the inputs that need gradients, and their dimension of channels; `channel`: that of z. `pull` turns a
        cotangent of z into a list of those of the sources.
        """
        if not (uses or sources) or not torch.is_grad_enabled():
            return z
        incoming = [port(x, at, self.samples) for x, at in sources]
        if z.requires_grad:  # the input itself, written in place: what came before is reached through `sources`
            z.detach_()
        z = _Tap.apply(z.clone() if z._is_view() else z, self.token)  # in-place changes of a view lose the tap
        outgoing = port(z, channel, self.samples)
        self.nodes[outgoing.edge.node] = Node(incoming, outgoing, pull, list(uses))
        return z

    # -------------------------------------------------------------------------------------- parameters and constants
    def noted(self, func: Callable, args: Any, kwargs: Any, result: Any) -> Any:
        """Note whether a result depends on the samples, and how it was made; returns it."""
        seen = list(tensors((args, kwargs)))
        if any(map(self.varies, seen)):
            for tensor in seen[:1] if getattr(func, "__name__", "").endswith("_") else ():
                self.constant.pop(id(tensor), None)  # written in place
            return result
        for tensor in tensors(result):
            self.constant[id(tensor)] = tensor
            if seen and seen[0] in self.trained and _turned(tensor, seen[0]):
                self.turned[id(tensor)] = seen[0]
            if func is torch.nn.functional.embedding and len(args) > 1 and args[1] in self.trained:
                self.looked_up[id(tensor)] = args[0], args[1]
        return result

    def plain(self, tensor: Any) -> bool:
        """Whether a tensor has gradients by parameters, and does not depend on the samples."""
        return isinstance(tensor, Tensor) and tensor.requires_grad and not self.varies(tensor)

    def repeated(self, args: tuple, kwargs: dict) -> Tensor | None:
        """What is computed from parameters alone, once for each sample, as a node; None if it is not repeated so."""
        if self.samples == 1 or not self.plain(args[0]) or kwargs or not torch.is_grad_enabled():
            return None
        z = self.call[0](*(t.detach() if isinstance(t, Tensor) else t for t in args), **kwargs)
        rows = args[0][(None,) * (z.dim() - args[0].dim())]
        if z.dim() == 0 or z.shape[1:] != rows.shape[1:] or len(z) != self.samples * len(rows):
            return None
        return self.node(z.contiguous(), list, [], [Use(args[0], "entries")])

    def spread(self, func: Callable, args: tuple, kwargs: dict) -> tuple:
        """Give each sample its own row of what is computed from parameters alone and meets activations here."""
        if not (func in JOINING or func in BROADCASTING or func in MULTIPLYING) or not torch.is_grad_enabled():
            return args
        operands = [t for t in (args[0] if func in JOINING else args) if isinstance(t, Tensor)]
        if not any(map(self.plain, operands)) or not any(map(self.varies, operands)):
            return args
        if func in JOINING:
            shape = next(t.shape for t in operands if not self.plain(t))
            if (args[1] if len(args) > 1 else kwargs.get("dim", 0)) in (0, -len(shape)):
                return args
        elif func in BROADCASTING:
            shape = torch.broadcast_shapes(*(t.shape for t in operands))
        elif min(t.dim() for t in operands) < 3:
            return args
        else:
            shape = torch.broadcast_shapes(*(t.shape[:-2] for t in operands))
        if not shape or shape[0] == 0 or shape[0] % self.samples:
            return args
        rank = max(t.dim() for t in operands)
        rows = {id(t): self.row(t, shape[0], rank) for t in operands if self.plain(t)}
        if func in JOINING:
            return ([rows.get(id(t), t) for t in args[0]], *args[1:])
        return tuple(rows.get(id(t), t) for t in args)

    def row(self, parameter: Tensor, count: int, rank: int) -> Tensor:
        """`parameter` once more for each of `count` rows, as a node; itself if it has too large rows of its own."""
        whole = parameter[(None,) * (rank - parameter.dim())]
        own = len(whole) == count and self.samples > 1
        if (own and whole.numel() * self.samples > MOST) or (not own and len(whole) not in (1, count)):
            return parameter
        z = whole.detach().expand(count, *whole.shape[1:])
        if id(parameter) in self.looked_up and count == self.samples and rank > 2:
            indices, table = self.looked_up[id(parameter)]
            rows = indices.reshape(len(whole), -1).expand(self.samples, -1)
            return self.node(z, list, [], [Use(table, "embedding", rows)], -1)
        return self.node(z, list, [], [Use(parameter, "rows" if own else "entries")])


def _turned(tensor: Tensor, parameter: Tensor) -> bool:
    """Whether a tensor is the transpose of a matrix."""
    same = storage(tensor) == storage(parameter) and tensor.storage_offset() == parameter.storage_offset()
    return (
        same
        and tensor.dim() == 2
        and tensor.shape == parameter.shape[::-1]
        and tensor.stride() == parameter.stride()[::-1]
    )


@contextmanager
def linearized(
    model: nn.Module, x: Tensor, dtype: torch.dtype, snapshot: Snapshot
) -> Iterator[tuple[Tensor, Capture, set[Tensor]]]:
    """Run one forward pass over a batch (n, …), after one in float64. The graph is valid inside the context.

    Gives the logits (n, C); the capture, with its nodes in the order in which they ran; and the parameters that reach
    the logits other than through nodes. ValueError if the outputs are not such logits, or cannot be followed back.
    """
    record = None
    if dtype != torch.float64:
        with _run(model, x, Exact(len(x), dtype, dtype), torch.float64, snapshot) as (_, values):
            record = values.record
    with _run(model, x, Capture(model, len(x), dtype, record), dtype, snapshot) as (logits, capture):
        if record:
            raise ValueError(OTHER_PATH)
        if not isinstance(logits, Tensor) or logits.dim() != 2 or len(logits) != len(x) or not logits.shape[1]:
            shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
            raise ValueError(f"a kernel needs logits (n, C), but for {len(x)} samples this model returns {shape}")
        if not logits.requires_grad:
            raise ValueError("no parameter that requires gradients reaches the logits")
        starts: list[Any] = [logits.grad_fn]
        starts += [source.edge.node for node in capture.nodes.values() for source in node.sources]
        leaves = {leaf.variable for start in starts for leaf in between(start, capture.nodes)[1]}
        if capture.token in leaves:
            raise ValueError(
                "the network changes an operation's output in place in a way that empirical_ntk cannot follow"
            )
        yield logits, capture, capture.trained & leaves


def warm(model: nn.Module, x: Tensor, snapshot: Snapshot) -> None:
    """Run the network once in its own precision, so that caches outside of it, of positions for example, have that."""
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
    try:
        with in_default(torch.promote_types(own, torch.float32)):
            model(x.clone())
    finally:
        snapshot.restore()


def exact_logits(model: nn.Module, x: Tensor, own: torch.dtype, snapshot: Snapshot) -> Tensor:
    """The logits of a batch in float64; `own`: the network's precision."""
    with _run(model, x, Exact(len(x), torch.float64, own), torch.float64, snapshot) as (logits, _):
        return logits.detach().clone()


@contextmanager
def _run(
    model: nn.Module, x: Tensor, mode: TorchFunctionMode, dtype: torch.dtype, snapshot: Snapshot
) -> Iterator[tuple[Any, Any]]:
    """The network's output under `mode`, and `mode`. Afterwards the network is as before."""
    failed: RuntimeError | None = None
    try:
        with in_precision(model, dtype), undisturbed(model):
            try:
                with in_default(dtype), mode, explained():
                    logits = model(x.to(dtype if x.is_floating_point() else x.dtype, copy=True))
            except RuntimeError as error:
                if ran_out(error) or not isinstance(mode, Exact):
                    raise
                failed = error
            else:
                yield logits, mode
    finally:
        snapshot.restore()
    if failed is not None:
        try:
            model(x.clone())  # raises its own error, if it has one
        finally:
            snapshot.restore()
        raise ValueError(f"the network does not run in float64, which its kernel needs: {failed}") from failed

"""The network as a graph of operations, and its backward pass for all logits at once.

A `Node` is an operation cut out of autograd's graph; capture.py makes the nodes in the forward pass. `cotangents` walks
them backwards. What lies between two nodes stays in autograd's graph, through which logits pass one by one.

Cotangents have one of two forms. Where a node's output has channels (a `Port` with `channel` 1 or −1) they are a
`Cotangent`, ordered by sample. Elsewhere (`channel` 0) they are tensors (S, *shape of the output).
"""

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._vmap_internals import _vmap
from torch.autograd.graph import GradientEdge, _engine_run_backward, get_gradient_edge

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.guards import explained, ran_out
from reactivation.ntk.windows import PIXEL, Window

CACHED = 4 << 20  # bytes of seeds at a time: more leave the processor's cache
NOTHING = torch.empty(0)  # stands for a missing tensor

Values = Cotangent | Tensor


@dataclass
class Use:
    """One use of a parameter. Its gradient is the cotangent multiplied with `x`, which for n samples is

    weight: the input (n, H, W, channels), seen through `window`; scale: (n, positions, O), element by element;
    bias: nothing; embedding: indices (n, positions), where −1 has no gradient; entries: nothing, the parameter itself
    is the output, once for each sample or for each of its rows; rows: the same, but with rows of its own for each
    sample; leaf: nothing, the cotangent is the gradient.

    `parameter` may also be a tensor computed from parameters alone. `turned`: the weight is stored as (K, O).
    """

    parameter: Tensor
    kind: str
    x: Tensor = NOTHING
    window: Window = PIXEL
    turned: bool = False


@dataclass(frozen=True)
class Port:
    """A tensor in autograd's graph, and which of its dimensions holds channels: 1, −1 (the last), or 0 (none).

    With channels, its first dimension holds `samples`, each in as many neighbouring rows.
    """

    edge: GradientEdge
    shape: torch.Size
    channel: int
    samples: int

    @property
    def channels(self) -> int:
        return self.shape[self.channel]


@dataclass(eq=False)
class Node:
    """An operation z = op(x, …).

    `pull` turns a cotangent of z into those of the sources, each in the form of its port. `sources` are the inputs
    that need gradients.
    """

    sources: list[Port]
    output: Port
    pull: Callable[[Any], Sequence[Values]]
    uses: list[Use]


def port(tensor: Tensor, channel: int, samples: int) -> Port:
    """The port of a tensor that requires gradients."""
    return Port(get_gradient_edge(tensor), tensor.shape, -1 if channel == 1 and tensor.dim() == 2 else channel, samples)


def positions(tensor: Tensor, channel: int, samples: int) -> Tensor:
    """Reshape (n · rows, O, …) or (n · rows, …, O) to (n, positions, O)."""
    if channel == 1:
        tensor = tensor.movedim(1, -1)
    return tensor.reshape(samples, -1, tensor.shape[-1])


def natural(values: Values, port: Port) -> Tensor:
    """A cotangent in the form (S, *shape of the port)."""
    if not isinstance(values, Cotangent):
        return values
    dense = values.dense()
    rows, rest = port.shape[0] // port.samples, port.shape[1:]
    if port.channel == 1:
        spread = dense.unflatten(2, (rows, *rest[1:])).movedim(-1, 3)
    else:
        spread = dense.unflatten(2, (rows, *rest[:-1]))
    return spread.transpose(0, 1).flatten(1, 2)


def in_form(values: Tensor, port: Port) -> Values:
    """A cotangent (S, *shape) in the form that the port has."""
    if port.channel == 0:
        return values
    spread = values.unflatten(1, (port.samples, -1)).transpose(0, 1)
    if port.channel == 1:
        spread = spread.movedim(3, -1)
    flat = spread.flatten(2, -2) if spread.dim() > 3 else spread[:, :, None]
    return Cotangent(flat, flat.shape[2])


def between(start: Any, nodes: dict[object, Node]) -> tuple[list[Node], list[Any]]:
    """The nodes and leaves that autograd reaches from its function `start` without passing through a node.

    Leaves are autograd's functions that hold a `variable`. A variable may have several, if its precision has changed.
    """
    found, leaves, stack = [], [], [start]
    seen: set[object] = {None}
    while stack:
        function = stack.pop()
        if function in seen:
            continue
        seen.add(function)
        if function in nodes:
            found.append(nodes[function])
            continue
        if hasattr(function, "variable"):
            leaves.append(function)
        stack.extend(before for before, _ in function.next_functions)
    return found, leaves


def cotangents(
    logits: Tensor, nodes: dict[object, Node], seeds: Tensor, leaves: Collection[Tensor] = ()
) -> Iterator[tuple[Use, Values]]:
    """Yield every use of a parameter with the cotangent of its operation's output, last operation first.

    seeds (S, C) or (n, S, C): the combinations of logits to differentiate. The identity stands for each logit, a row of
    ones for their sum. `leaves`: parameters whose gradients (S, *shape) by what is not taken apart come as well, summed
    over the samples.
    """
    waiting: dict[Node, Values] = {}
    gradients: dict[Tensor, Tensor] = {}

    def send(target: Port, values: Values) -> None:
        """Add a cotangent of `target` to those of the nodes from which it was computed."""
        node = nodes.get(target.edge.node)
        if node is not None:
            same = node.output.channel == target.channel
            arrived = {node: values if same else in_form(natural(values, target), node.output)}
        else:
            found, reached = between(target.edge.node, nodes)
            wanted = [leaf for leaf in reached if leaf.variable in leaves]
            arrived, of_leaves = _through_autograd(target, values, found, wanted)
            for p, gradient in of_leaves:
                gradients[p] = gradients[p] + gradient if p in gradients else gradient
        for node, values in arrived.items():
            waiting[node] = _added(waiting[node], values) if node in waiting else values

    rows = seeds.expand(len(logits), -1, -1)[:, :, None].to(logits.dtype)
    send(port(logits, -1, len(logits)), Cotangent(rows, 1))
    for node in reversed(nodes.values()):
        if node not in waiting:
            continue
        values = waiting.pop(node)
        for use in node.uses:
            yield use, values
        if node.sources:
            for source, pulled in zip(node.sources, node.pull(values), strict=True):
                send(source, pulled)
    for leaf, gradient in gradients.items():
        yield Use(leaf, "leaf"), gradient


def _added(values: Values, others: Values) -> Values:
    if isinstance(values, Cotangent) and isinstance(others, Cotangent):
        return Cotangent(values.dense() + others.dense(), values.length)
    return values + others  # type: ignore[operator]  # both are tensors


def _through_autograd(
    target: Port, values: Values, nodes: list[Node], leaves: list[Any]
) -> tuple[dict[Node, Values], list[tuple[Tensor, Tensor]]]:
    """Carry a cotangent of `target` through autograd to the outputs of `nodes` and to `leaves`."""
    edges = tuple(node.output.edge for node in nodes) + tuple(GradientEdge(leaf, 0) for leaf in leaves)
    arrived = gradients(target.edge, natural(values, target), edges) if edges else []
    of_nodes = {node: in_form(g, node.output) for node, g in zip(nodes, arrived, strict=False) if g is not None}
    of_leaves = [(leaf.variable, g) for leaf, g in zip(leaves, arrived[len(nodes) :], strict=True) if g is not None]
    return of_nodes, of_leaves


def parameters_of(tensor: Tensor) -> list[Tensor]:
    """The leaves of autograd's graph from which a tensor was computed."""
    return list(dict.fromkeys(leaf.variable for leaf in between(tensor.grad_fn, {})[1]))


def through_parameters(tensor: Tensor, jacobian: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The parameters from which `tensor` was computed and their Jacobians (n, S, D), from that of `tensor`."""
    leaves = between(tensor.grad_fn, {})[1]
    edges = tuple(GradientEdge(leaf, 0) for leaf in leaves)
    n, logits = jacobian.shape[:2]
    seeds = jacobian.reshape(n * logits, *tensor.shape).split(
        max(1, CACHED // (tensor.numel() * tensor.element_size()))
    )
    found = [gradients(get_gradient_edge(tensor), part, edges) for part in seeds]
    return [
        (leaf.variable, torch.cat([g for g in parts if g is not None]).reshape(n, logits, -1))
        for leaf, parts in zip(leaves, zip(*found, strict=True), strict=True)
        if parts[0] is not None
    ]


def gradients(start: GradientEdge, seeds: Tensor, edges: tuple[GradientEdge, ...]) -> list[Tensor | None]:
    """Carry cotangents (S, *shape) back to `edges`: (S, *their shape), or None where none arrives."""

    back = partial(backward, start, edges=edges)
    with explained():
        if len(seeds) > 1:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # some operations pass their seeds one by one anyway
                    return list(_vmap(back, 0, 0, allow_none_pass_through=True)(seeds))
            except RuntimeError as error:
                if ran_out(error):
                    raise
        return [_stacked(found) for found in zip(*map(back, seeds), strict=True)]


def backward(start: GradientEdge, seed: Tensor, edges: tuple[GradientEdge, ...]) -> tuple[Tensor | None, ...]:
    """Carry one cotangent back to `edges`: like torch.autograd.grad, which imports sympy (0.4 s) to compare shapes."""
    return _engine_run_backward((start,), (seed,), True, False, edges, True, accumulate_grad=False)


def _stacked(found: Sequence[Tensor | None]) -> Tensor | None:
    some = next((g for g in found if g is not None), None)
    return None if some is None else torch.stack([torch.zeros_like(some) if g is None else g for g in found])

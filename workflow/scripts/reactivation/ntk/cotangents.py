"""Cotangents ∂f_c/∂z of operations' outputs z, for all logits at once, carried back to every use of a parameter.

A `Node` is an operation cut out of autograd's graph; capture.py makes the nodes in the forward pass. `cotangents` walks
them backwards.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, _engine_run_backward, get_gradient_edge
from torch.nn.grad import conv2d_input

from reactivation.ntk import sparse
from reactivation.ntk.convolution import PIXEL, Window
from reactivation.ntk.guards import explained

NOTHING = torch.empty(0)  # stands for a missing tensor
SPARSE = 0.3  # share of entries alive, up to which lists are faster than dense products (benchmarks/products.py)


@dataclass
class Cotangent:
    """∂f_c/∂z of an operation's output z with O channels at `length` positions, for n samples and C logits.

    values (n, C, Q, O): entry q of channel o stands at position[n, q, o] (None: at q, and Q = length). It counts only
    where alive (n, Q, O) is true (None: everywhere). Dead entries are zero for every logit.
    """

    values: Tensor
    length: int
    position: Tensor | None = None
    alive: Tensor | None = None

    def dense(self) -> Tensor:
        """The cotangent at every position, (n, C, length, O)."""
        values = self.values if self.alive is None else self.values * self.alive[:, None]
        if self.position is None:
            return values
        n, classes, _, channels = values.shape
        at = self.position[:, None].expand_as(values)
        return values.new_zeros(n, classes, self.length, channels).scatter_add_(2, at, values)

    def bytes_a_sample(self, classes: int) -> int:
        """Bytes that one sample's entries would take for `classes` logits."""
        values = self.values[0, 0]
        where = (t[0] for t in (self.position, self.alive) if t is not None)
        return classes * values.numel() * values.element_size() + sum(t.numel() * t.element_size() for t in where)

    def total(self) -> Tensor:
        """The sum over positions, (n, C, O)."""
        if self.alive is None:
            return self.values.sum(2)
        # Sample by sample, so that the product stays in the cache.
        return torch.stack([(values * alive).sum(1) for values, alive in zip(self.values, self.alive, strict=True)])

    def masked(self, mask: Tensor) -> "Cotangent":
        """The cotangent before an element-wise product with `mask` (n, length, O), such as a ReLU."""
        alive = mask if self.position is None else mask.gather(1, self.position)
        return Cotangent(self.values, self.length, self.position, alive if self.alive is None else alive & self.alive)

    def moved(self, position: Tensor, length: int) -> "Cotangent":
        """The cotangent before a selection of entries: output q of channel o is input position[n, q, o] of `length`."""
        at = position if self.position is None else position.gather(1, self.position)
        return Cotangent(self.values, length, at, self.alive)

    def __getitem__(self, channels: slice) -> "Cotangent":
        """The cotangent of some of the channels."""
        position, alive = (None if t is None else t[..., channels] for t in (self.position, self.alive))
        return Cotangent(self.values[..., channels], self.length, position, alive)

    @staticmethod
    def join(parts: Sequence["Cotangent"]) -> "Cotangent":
        """The samples of `parts`, one after the other."""
        position, alive = (
            None if getattr(parts[0], key) is None else torch.cat([getattr(part, key) for part in parts])
            for key in ("position", "alive")
        )
        return Cotangent(torch.cat([part.values for part in parts]), parts[0].length, position, alive)

    def entries(self, by: str) -> sparse.Lists | None:
        """The alive entries as lists if that makes products cheaper (few are alive, on a CPU), otherwise None."""
        if self.values.device.type != "cpu":
            return None
        alive = (self.values != 0).any(1) if self.alive is None else self.alive
        n, _, entries, channels = self.values.shape
        if int(alive.sum()) > SPARSE * n * self.length * channels:
            return None
        position = self.position
        if position is None:
            position = torch.arange(entries)[:, None].expand(n, entries, channels)
        return sparse.lists(self.values, alive, position, self.length, by)


@dataclass
class Use:
    """One use of a parameter. Its gradient is the cotangent multiplied with `x`, which for n samples is

    weight: the input (n, H, W, channels), seen through `window`; scale: (n, positions, O), element by element;
    bias: nothing; embedding: indices (n, positions), where −1 has no gradient.
    """

    parameter: Tensor
    kind: str
    x: Tensor = NOTHING
    window: Window = PIXEL

    @staticmethod
    def join(parts: Sequence["Use"]) -> "Use":
        """The samples of `parts`, one after the other."""
        return replace(parts[0], x=torch.cat([part.x for part in parts]))


def pull_scale(factor: Tensor, cotangent: Cotangent) -> Cotangent:
    """Carry a cotangent from the output of y = factor · x, channel by channel, to its input."""
    return replace(cotangent, values=cotangent.values * factor)


def pull_linear(weight: Tensor, cotangent: Cotangent) -> Cotangent:
    """Carry a cotangent from the output of y = weight · x, weight (O, K), to its input."""
    values = torch.matmul(cotangent.dense(), weight)
    return Cotangent(values, values.shape[2])


def pull_convolution(weight: Tensor, window: Window, size: tuple[int, int], cotangent: Cotangent) -> Cotangent:
    """Carry a cotangent from a convolution's output to its input of `size` (H, W).

    `weight` (O, channels / groups, h, w) is the filter.
    """
    n, classes = cotangent.values.shape[:2]
    entries = cotangent.entries("position") if window.groups == 1 else None
    if entries is None:
        z = cotangent.dense().flatten(0, 1).unflatten(1, window.output(*size)).permute(0, 3, 1, 2)
        shape = (n * classes, weight.shape[1] * window.groups, *size)
        options = (window.stride, window.padding, window.dilation, window.groups)
        x = conv2d_input(shape, weight, z, *options).permute(0, 2, 3, 1)
        return Cotangent(x.reshape(n, classes, math.prod(size), -1), math.prod(size))
    x = weight.new_zeros(n, classes, math.prod(size), weight.shape[1])
    for tap, target in zip(weight.permute(2, 3, 0, 1).flatten(0, 1).contiguous(), window.targets(*size), strict=True):
        sparse.multiply(entries, tap[None], target, x)
    return Cotangent(x, math.prod(size))


@dataclass(frozen=True)
class Port:
    """A tensor (n, …) in autograd's graph, and which of its dimensions holds channels: 1, or −1 (the last)."""

    edge: GradientEdge
    shape: torch.Size
    channel: int

    @property
    def channels(self) -> int:
        return self.shape[self.channel]


@dataclass(eq=False)
class Node:
    """An operation z = op(x); `pull` turns a cotangent of z into one of x. `source` is None if x needs no gradient."""

    source: Port | None
    output: Port
    pull: Callable[[Cotangent], Cotangent]
    uses: list[Use]


def port(tensor: Tensor, channel: int) -> Port:
    return Port(get_gradient_edge(tensor), tensor.shape, 1 if tensor.dim() == 2 else channel)


def positions(tensor: Tensor, channel: int) -> Tensor:
    """Reshape (n, O, …) or (n, …, O) to (n, positions, O)."""
    if channel == 1:
        tensor = tensor.movedim(1, -1)
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def natural(tensor: Tensor, like: Port) -> Tensor:
    """Reshape (n, positions, O) to the shape of a port."""
    if like.channel == -1:
        return tensor.reshape(like.shape)
    return tensor.unflatten(1, like.shape[2:] or (1,)).movedim(-1, 1).reshape(like.shape)


def between(start: Any, nodes: dict[object, Node]) -> tuple[list[Node], list[Tensor]]:
    """The nodes and leaves that autograd reaches from its function `start` without passing through a node."""
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
            leaves.append(function.variable)
        stack.extend(before for before, _ in function.next_functions)
    return found, leaves


def cotangents(logits: Tensor, nodes: dict[object, Node], seeds: Tensor) -> Iterator[tuple[Use, Cotangent]]:
    """Yield every use of a parameter with the cotangent of its operation's output, last operation first.

    seeds (S, C) or (n, S, C): the combinations of logits to differentiate. The identity stands for each logit, a row of
    ones for their sum.
    """
    waiting: dict[Node, Cotangent] = {}

    def send(target: Port, cotangent: Cotangent) -> None:
        """Add a cotangent of `target` to those of the nodes from which it was computed."""
        node = nodes.get(target.edge.node)
        if node is not None and node.output.channel == target.channel:
            arrived = {node: cotangent}
        else:
            arrived = _through_autograd(target, cotangent, between(target.edge.node, nodes)[0])
        for node, values in arrived.items():
            if node in waiting:
                values = Cotangent(waiting[node].dense() + values.dense(), values.length)
            waiting[node] = values

    send(port(logits, 1), Cotangent(seeds.expand(len(logits), -1, -1)[:, :, None], 1))
    for node in reversed(nodes.values()):
        if node not in waiting:
            continue
        cotangent = waiting.pop(node)
        for use in node.uses:
            yield use, cotangent
        if node.source is not None:
            send(node.source, node.pull(cotangent))


def _through_autograd(target: Port, cotangent: Cotangent, nodes: list[Node]) -> dict[Node, Cotangent]:
    """Carry a cotangent of `target` through autograd to the outputs of `nodes`, one logit at a time."""
    values = cotangent.dense()
    arrived: dict[Node, Cotangent] = {}
    edges = tuple(node.output.edge for node in nodes)
    for c in range(values.shape[1]) if nodes else ():
        seed = natural(values[:, c], target).double()
        with explained():  # an autograd.Function may have kept a parameter in its own precision
            # Like torch.autograd.grad([target.edge], edges, [seed]), which imports sympy (0.4 s) to compare shapes.
            found = _engine_run_backward((target.edge,), (seed,), True, False, edges, True, accumulate_grad=False)
        for node, gradient in zip(nodes, found, strict=True):
            if gradient is not None:
                of_c = positions(gradient, node.output.channel)
                if node not in arrived:
                    empty = values.new_zeros(len(values), values.shape[1], *of_c.shape[1:])
                    arrived[node] = Cotangent(empty, of_c.shape[1])
                arrived[node].values[:, c] = of_c
    return arrived

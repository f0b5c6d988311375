"""Derivatives of every logit with respect to an operation's output, dense or with a mask of the entries alive."""

from dataclasses import dataclass

import torch
from torch import Tensor

from reactivation.ntk import sparse

SPARSE = 0.3  # share of entries alive, up to which lists are faster than dense products (benchmarks/products.py)
NARROW = 96  # channels up to which dense products are faster for a single combination of logits


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

    def entries(self, by: str) -> sparse.Lists | None:
        """The alive entries as lists if that makes products cheaper (few are alive, on a CPU), otherwise None."""
        n, classes, entries, channels = self.values.shape
        if self.values.device.type != "cpu" or (classes == 1 and channels < NARROW):
            return None
        if self.alive is None and (self.values[0] != 0).any(0).sum() > SPARSE * self.length * channels:
            return None  # the first sample shows that few are zero
        alive = (self.values != 0).any(1) if self.alive is None else self.alive
        if int(alive.sum()) > SPARSE * n * self.length * channels:
            return None
        position = self.position
        if position is None:
            position = torch.arange(entries)[:, None].expand(n, entries, channels)
        return sparse.lists(self.values, alive, position, self.length, by)

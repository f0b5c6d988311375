"""What is kept of every sample from its passes to the products: in memory, or in a file where that would be too much.

The file is read and written, not mapped: mapped pages would count as memory of the process.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

import torch
from torch import Tensor

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.graph import NOTHING, Use


@dataclass
class InMemory:
    """A tensor with a row for each sample, added in parts of some samples."""

    parts: list[tuple[int, Tensor]] = field(default_factory=list)  # each with its first sample
    pieces = 1
    bytes_a_sample = 0  # that reading takes

    def add(self, start: int, part: Tensor) -> None:
        """Add the samples from `start` on, instead of those of an attempt for which memory did not suffice."""
        while self.parts and self.parts[-1][0] >= start:
            self.parts.pop()
        self.parts.append((start, part))

    def read(self, rows: Sequence[slice], piece: int = 0) -> Tensor:
        """All samples, in order: nothing else is asked of what is in memory, and it is kept no longer."""
        start, part = self.parts.pop()
        if start == 0:
            return part
        whole = part.new_empty(start + len(part), *part.shape[1:])
        whole[start:] = part
        while self.parts:  # one by one, so that joining them takes little more memory than they do
            start, part = self.parts.pop()
            whole[start : start + len(part)] = part
        return whole


@dataclass
class OnDisk:
    """The same in a file, cut along the last dimension into pieces of `width`, one after the other."""

    file: IO[bytes]
    samples: int
    width: int
    place: int = -1
    like: Tensor = NOTHING  # of the shape and kind of a row

    @property
    def pieces(self) -> int:
        return -(-self.like.shape[-1] // self.width)

    @property
    def bytes_a_sample(self) -> int:
        return self.like.nbytes

    def add(self, start: int, part: Tensor) -> None:
        """Add the samples from `start` on."""
        if self.place < 0:
            self.like = part.new_empty(()).expand(part.shape[1:])
            self.place = self.file.seek(0, 2)
            self.file.truncate(self.place + self.samples * self.like.nbytes)
        for at, piece in enumerate(part.detach().cpu().split(self.width, -1)):
            self._seek(at, start)
            self.file.write(_bytes(piece.contiguous()))

    def _seek(self, piece: int, sample: int) -> None:
        entry, first = self.like.nbytes // self.like.shape[-1], piece * self.width
        width = min(self.width, self.like.shape[-1] - first)
        self.file.seek(self.place + entry * (self.samples * first + sample * width))

    def read(self, rows: Sequence[slice], piece: int = 0) -> Tensor:
        """A piece of some samples, the slices of `rows` one after the other."""
        width, counts = min(self.width, self.like.shape[-1] - piece * self.width), [r.stop - r.start for r in rows]
        whole = torch.empty(sum(counts), *self.like.shape[:-1], width, dtype=self.like.dtype)
        for of, part in zip(rows, whole.split(counts), strict=True):
            self._seek(piece, of.start)
            if self.file.readinto(_bytes(part)) != part.nbytes:  # type: ignore[attr-defined]
                raise OSError("the temporary file is shorter than what was written")
        return whole.to(self.like.device)


def _bytes(tensor: Tensor) -> memoryview:
    data: Any = tensor.flatten().view(torch.uint8).numpy()
    return memoryview(data)


@dataclass
class Sent:
    """A use of a parameter and the cotangent that arrives there, of all samples."""

    use: Use
    length: int
    x: InMemory | OnDisk
    of: dict[str, InMemory | OnDisk]  # the cotangent's tensors by name

    def read(self, rows: Sequence[slice]) -> tuple[Use, Cotangent]:
        """Some samples, or from memory all of them, which keeps them no longer."""
        of = {name: part.read(rows) for name, part in self.of.items()}
        return replace(self.use, x=self.x.read(rows)), Cotangent(length=self.length, **of)

    def bytes_a_sample(self) -> int:
        """Bytes that reading a sample's input and cotangent takes."""
        return self.x.bytes_a_sample + sum(part.bytes_a_sample for part in self.of.values())


@dataclass
class Store:
    """The Jacobians of some parameters, and the uses of others with their cotangents, of so many `samples`.

    `most`: bytes that a piece of the Jacobian of all samples takes.
    """

    samples: int
    most: int
    file: IO[bytes] | None = None
    jacobians: dict[tuple[Tensor, int], InMemory | OnDisk] = field(default_factory=dict)
    uses: dict[Tensor, list[Sent]] = field(default_factory=lambda: defaultdict(list))

    def _rows(self, width: int) -> InMemory | OnDisk:
        return InMemory() if self.file is None else OnDisk(self.file, self.samples, width)

    def add_jacobian(self, parameter: Tensor, at: int, start: int, jacobian: Tensor) -> None:
        """Add the Jacobian (…, S, D) of the samples from `start` on, or the part of it that begins with output `at`."""
        if (parameter, at) not in self.jacobians:
            column = self.samples * jacobian.shape[1] * jacobian.element_size()
            self.jacobians[parameter, at] = self._rows(max(1, self.most // column))
        self.jacobians[parameter, at].add(start, jacobian)

    def add_use(self, at: int, start: int, use: Use, cotangent: Cotangent) -> None:
        """Add the samples from `start` on of the `at`-th use of a parameter."""
        known = self.uses[use.parameter]
        given = {k: t for k in ("values", "position", "alive") if (t := getattr(cotangent, k)) is not None}
        if at == len(known):
            rows = {k: self._rows(t.shape[-1]) for k, t in given.items()}
            known.append(Sent(replace(use, x=NOTHING), cotangent.length, self._rows(use.x.shape[-1]), rows))
        known[at].x.add(start, use.x)
        for name, tensor in given.items():
            known[at].of[name].add(start, tensor)

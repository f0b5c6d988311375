"""Kernels being added up, and work in chunks that fit into memory."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from reactivation.ntk.gram import long_row_products
from reactivation.ntk.guards import ran_out
from reactivation.ntk.proof import Tally

ROWS = 128  # rows of a symmetric product at a time


@dataclass
class Sums:
    """Kernels being added up, in float64: sum (n, m); trace (n, m), not yet divided by C; full (n, C, m, C).

    `rows` and `columns` say which of the samples at hand are a kernel's rows and columns. If they are the same, only
    entries on and above the diagonal count.
    """

    kernels: dict[str, Tensor]
    rows: slice
    columns: slice
    tally: Tally | None = None  # what is added is also told to it, as a share of `layer`
    layer: str = ""
    at: tuple[int, int] = (0, 0)  # where `kernels` begin in the whole kernels

    @staticmethod
    def zeros(
        kinds: Iterable[str], rows: slice, columns: slice, classes: int, device: torch.device, tally: Tally | None
    ) -> "Sums":
        n, m = rows.stop - rows.start, columns.stop - columns.start
        shapes = {"sum": (n, m), "trace": (n, m), "full": (n, classes, m, classes)}
        kernels = {kind: torch.zeros(shapes[kind], dtype=torch.float64, device=device) for kind in kinds}
        return Sums(kernels, rows, columns, tally)

    def of(self, layer: str) -> "Sums":
        """The same kernels, to which `layer` adds."""
        return replace(self, layer=layer)

    def block(self, i: slice, j: slice) -> "Sums":
        """The part of samples i with samples j. The samples at hand are then i and j, or i alone if they are equal."""
        rows = slice(0, i.stop - i.start)
        columns = rows if i == j else slice(rows.stop, rows.stop + j.stop - j.start)
        i = slice(i.start - self.rows.start, i.stop - self.rows.start)
        j = slice(j.start - self.columns.start, j.stop - self.columns.start)
        kernels = {kind: k[i, :, j] if kind == "full" else k[i, j] for kind, k in self.kernels.items()}
        return replace(
            self, kernels=kernels, rows=rows, columns=columns, at=(self.at[0] + i.start, self.at[1] + j.start)
        )

    @property
    def device(self) -> torch.device:
        return next(iter(self.kernels.values())).device

    @property
    def symmetric(self) -> bool:
        return self.rows == self.columns

    def add(self, i: slice, j: slice, parts: dict[str, Tensor]) -> None:
        """Add blocks of the kernels, samples i with samples j; if `full` is given, the others follow from it."""
        if "full" in parts:
            full = parts["full"].double()
            parts = {"full": full, "trace": full.diagonal(dim1=1, dim2=3).sum(-1), "sum": full.sum((1, 3))}
        block = self.block(i, j)
        for kind, kernel in block.kernels.items():
            part = parts[kind].to(kernel.device)
            kernel += part
            if self.tally:
                self.tally.add(self.layer, kind, part, *block.at)

    def add_jacobian(self, jacobian: Tensor) -> None:
        """Add what some columns of the Jacobian of all samples, (samples, C, …), contribute."""
        jacobian = jacobian.flatten(2)
        left, right = jacobian[self.rows], jacobian[self.columns]
        full, wanted = "full" in self.kernels, {}
        if full:
            wanted["full"] = left, right
        elif "trace" in self.kernels:
            wanted["trace"] = left, right
        if "sum" in self.kernels and not full:
            wanted["sum"] = left.sum(1, keepdim=True), right.sum(1, keepdim=True)
        step = max(1, ROWS // left.shape[1]) if full else ROWS
        quarter = -(-len(left) // (4 * step)) * step  # not every strip another shape, for which oneDNN keeps code
        for start in range(0, len(left), step):  # strips from the diagonal on: what is below does not count
            first = start // quarter * quarter if self.symmetric else 0
            i = slice(self.rows.start + start, min(self.rows.start + start + step, self.rows.stop))
            j = slice(self.columns.start + first, self.columns.stop)
            strips = {kind: (a[start : start + step], b[first:]) for kind, (a, b) in wanted.items()}
            self.add(i, j, {kind: _product(kind, a, b) for kind, (a, b) in strips.items()})

    def finished(self, classes: int) -> dict[str, np.ndarray]:
        """Return sum (n, m), trace (n, m), the mean over the C logits, and full (n·C, m·C).

        They are exactly symmetric if rows and columns are the same.
        """
        done = {}
        for kind, kernel in self.kernels.items():
            kernel = kernel.flatten(2).flatten(0, 1) if kind == "full" else kernel
            if self.symmetric:
                _mirror(kernel)
            done[kind] = (kernel.div_(classes) if kind == "trace" else kernel).cpu().numpy()
        return done


def _product(kind: str, left: Tensor, right: Tensor) -> Tensor:
    """What samples (n, C, D) and others (m, C, D) contribute to a kernel."""
    if kind != "full":
        return long_row_products(left.flatten(1), right.flatten(1))
    product = long_row_products(left.flatten(0, 1), right.flatten(0, 1))
    return product.view(*left.shape[:2], *right.shape[:2])


def _mirror(kernel: Tensor) -> None:
    """Make a matrix symmetric in place, by what is on and above its diagonal."""
    for start in range(0, len(kernel), ROWS):
        rows = slice(start, start + ROWS)
        kernel[rows, rows] = kernel[rows, rows].triu() + kernel[rows, rows].triu(1).T
        kernel[start + ROWS :, rows] = kernel[rows, start + ROWS :].T


def in_chunks(start: int, stop: int, size: int, work: Callable[[slice], None]) -> None:
    """Call work(slice) over start … stop, `size` at a time; once memory runs out, half as many from there on."""
    while start < stop:
        try:
            work(slice(start, min(stop, start + size)))
        except (MemoryError, RuntimeError) as error:
            if size == 1 or not ran_out(error):
                raise
            size //= 2
        else:
            start += size

"""Inner products of rows, the heart of every kernel: fast on a CPU, and summed so that float32 keeps its digits."""

from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKED = 16  # rows: larger products are added up block by block, and keep their digits over more columns
LONG = 1 << 18  # columns over which a float32 product of at least so many rows keeps its digits
SHORT = 1 << 12  # the same for fewer rows
FEW = 512  # rows whose products cost little even in float64


def row_products(left: Tensor, right: Tensor) -> Tensor:
    """left rightᵀ, for left (n, D) and right (m, D).

    On a CPU this is a convolution with filters as long as the rows: oneDNN computes it, not MKL, which takes twice as
    long on AMD processors.
    """
    (n, length), m = left.shape, len(right)
    if left.device.type == "cpu" and left.dtype == torch.float32 and min(n, m) >= BLOCKED and length >= 256:
        return F.conv1d(left[:, None], right[:, None])[..., 0]
    return left @ right.T


def long_row_products(left: Tensor, right: Tensor) -> Tensor:
    """left rightᵀ in float64, summed over parts of the rows in float64: float32 loses digits over very long rows."""
    if min(len(left), len(right)) >= BLOCKED:
        parts = zip(left.split(LONG, dim=1), right.split(LONG, dim=1), strict=True)
        return reduce(torch.add, (row_products(a, b).double() for a, b in parts))
    whole = left.shape[1] // SHORT * SHORT
    ends = (t[:, whole:].double() for t in (left, right))
    total = torch.mm(next(ends), next(ends).T)
    if whole:
        a, b = (t[:, :whole].unflatten(1, (-1, SHORT)).transpose(0, 1) for t in (left, right))
        total += torch.bmm(a, b.transpose(1, 2)).sum(0, dtype=torch.float64)
    return total


def few_row_products(left: Tensor, right: Tensor) -> Tensor:
    """left rightᵀ, in float64 where there are few rows: inputs that repeat, as after pooling, add their errors up."""
    if max(len(left), len(right)) <= FEW:
        return left.double() @ right.double().T
    return row_products(left, right)

"""What the NTK needs of convolutions: patches, and their inner products.

A convolution multiplies its filter with patches, the parts of its input that the filter sees. The filter's share of the
NTK follows from these patches and the cotangents of the output. contraction.py computes it; this module only supplies
`patches` and their products (`patch_gram`). A linear layer is a convolution of one pixel. `Window.kernel` is the
filter's height and width, as in PyTorch, not an NTK.
"""

import math
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk.gram import few_row_products


@dataclass(frozen=True)
class Window:
    """Which part of the input (n, H, W, channels) each output position sees. A linear layer has 1 × 1 windows."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output(self, *size: int) -> tuple[int, ...]:
        """Height and width of the output, for `size` (H, W) of the input."""
        options = zip(size, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        return tuple((length + 2 * p - d * (k - 1) - 1) // s + 1 for length, k, s, p, d in options)

    def taps(self, *size: int) -> list[tuple[slice, slice]]:
        """For each element of the filter, the rows and columns of the padded input that the outputs see through it."""
        axes = zip(self.output(*size), self.kernel, self.stride, self.dilation, strict=True)
        rows, columns = ([slice(k * d, k * d + (o - 1) * s + 1, s) for k in range(ks)] for o, ks, s, d in axes)
        return [(row, column) for row in rows for column in columns]

    def targets(self, *size: int) -> Tensor:
        """The input position that each output sees through each tap, (taps, outputs) int64; −1 for padding."""
        (top, left), area = self.padding, torch.arange(math.prod(size)).view(size)
        padded = F.pad(area, (left, left, top, top), value=-1)
        return torch.stack([padded[tap].flatten() for tap in self.taps(*size)])


PIXEL = Window()


def pad(x: Tensor, window: Window) -> Tensor:
    top, left = window.padding
    return F.pad(x, (0, 0, left, left, top, top)) if top or left else x


def patches(x: Tensor, window: Window, taps: slice = slice(None), channels: slice = slice(None)) -> Tensor:
    """What outputs see through some taps of some channels of x (n, H, W, channels): (n, outputs, taps · channels)."""
    seen = window.taps(*x.shape[1:3])[taps]
    x = pad(x[..., channels], window)
    return torch.cat([x[:, row, column].flatten(1, 2) for row, column in seen], dim=2)


def patch_gram(x: Tensor, others: Tensor, window: Window) -> Tensor:
    """Inner products of patches, all pairs of samples: (I, H, W, channels), (J, H, W, channels) -> (I, J, L, L).

    They are products of single pixels, summed over the taps: cheaper than products of patches by the number of taps.
    """
    (size, taps), (count, height, width, _) = (x.shape[:3], window.taps(*x.shape[1:3])), others.shape
    pixels = few_row_products(x.flatten(0, 2), others.flatten(0, 2)).view(*size, count, height, width)
    pixels = pixels.permute(0, 3, 1, 2, 4, 5)
    (top, left), (rows, columns) = window.padding, window.output(height, width)
    if top or left:
        pixels = F.pad(pixels, (left, left, top, top) * 2)
    across = reduce(torch.add, (pixels[:, :, :, column, :, column] for _, column in taps[: window.kernel[1]]))
    total = reduce(torch.add, (across[:, :, row, :, row] for row, _ in taps[:: window.kernel[1]]))
    return total.reshape(len(x), count, rows * columns, rows * columns)

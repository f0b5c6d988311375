"""What the NTK needs of convolutions: patches, their inner products, and a forward pass that is exact in float64.

A convolution multiplies its filter with patches, the parts of its input that the filter sees. The filter's share of the
NTK follows from these patches and the cotangents of the output. contraction.py computes it; this module only supplies
`patches` and their products (`patch_gram`). capture.py runs the forward pass by `convolve`. A linear layer is a
convolution of one pixel. `Window.kernel` is the filter's height and width, as in PyTorch, not an NTK.
"""

import math
from dataclasses import dataclass
from functools import reduce

import torch
import torch.nn.functional as F
from torch import Tensor

WINOGRAD = (  # the matrices G, Bᵀ and Aᵀ of F(4 × 4, 3 × 3)
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]],
)
BLOCKED = 16  # rows: larger products are added up block by block, and keep their digits over more columns
LONG = 1 << 18  # columns over which a float32 product of at least so many rows keeps its digits
SHORT = 1 << 14  # the same for fewer rows
WINOGRAD_BYTES = 8 << 20  # bytes of transformed filters at a time


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
    part = SHORT if min(len(left), len(right)) < BLOCKED else LONG
    parts = zip(left.split(part, dim=1), right.split(part, dim=1), strict=True)
    return reduce(torch.add, (row_products(a, b).double() for a, b in parts))


def patch_gram(x: Tensor, others: Tensor, window: Window) -> Tensor:
    """Inner products of patches, all pairs of samples: (I, H, W, channels), (J, H, W, channels) -> (I, J, L, L).

    They are products of single pixels, summed over the taps: cheaper than products of patches by the number of taps.
    """
    (size, taps), (count, height, width, _) = (x.shape[:3], window.taps(*x.shape[1:3])), others.shape
    pixels = row_products(x.flatten(0, 2), others.flatten(0, 2)).view(*size, count, height, width)
    pixels = pixels.permute(0, 3, 1, 2, 4, 5)
    (top, left), (rows, columns) = window.padding, window.output(height, width)
    if top or left:
        pixels = F.pad(pixels, (left, left, top, top) * 2)
    across = reduce(torch.add, (pixels[:, :, :, column, :, column] for _, column in taps[: window.kernel[1]]))
    total = reduce(torch.add, (across[:, :, row, :, row] for row, _ in taps[:: window.kernel[1]]))
    return total.reshape(len(x), count, rows * columns, rows * columns)


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """The convolution, exact in float64, of x (n, channels, H, W) float64 and weight (O, channels / groups, h, w).

    The result has channels last in memory.
    """
    rows, columns = window.output(*x.shape[2:])
    tiles = len(x) * rows * columns / 16
    if window.groups > 1:
        options = window.stride, window.padding, window.dilation, window.groups
        z = F.conv2d(x, weight.double(), None, *options).to(memory_format=torch.channels_last)
    elif window == Window((3, 3), padding=window.padding) and min(weight.shape[:2]) >= 16 and tiles >= 16:
        z = _winograd(x, weight, window)
    else:
        kernel, x = weight.permute(2, 3, 1, 0).flatten(0, 2).double(), x.permute(0, 2, 3, 1)
        z = _channels_last(x, len(weight), rows, columns)
        for i, of_sample in enumerate(z.permute(0, 2, 3, 1).flatten(1, 2)):
            torch.mm(patches(x[i : i + 1], window)[0], kernel, out=of_sample)
    return z if bias is None else z.add_(bias.detach().double()[:, None, None])


def _winograd(x: Tensor, weight: Tensor, window: Window) -> Tensor:
    """A 3 × 3 convolution by F(4 × 4, 3 × 3) (Lavin & Gray 2016), with a quarter of the multiplications.

    Torch has no fast convolution in float64 on a CPU: this one is 2.5 times faster, and its rounding errors are 1e-13.
    """
    n, channels, *size = x.shape
    (rows, columns), (top, left) = window.output(*size), window.padding
    down, across = -(-rows // 4), -(-columns // 4)  # tiles of 4 × 4 outputs, from 6 × 6 inputs
    x = F.pad(x, (left, 4 * across + 2 - size[1] - left, top, 4 * down + 2 - size[0] - top))
    of_kernel, of_input, of_output = (torch.kron(m, m) for m in (x.new_tensor(matrix) for matrix in WINOGRAD))
    tiles = x.unfold(2, 6, 4).unfold(3, 6, 4).permute(4, 5, 0, 2, 3, 1).reshape(36, -1)
    tiles = (of_input @ tiles).view(36, -1, channels)
    z = _channels_last(x, len(weight), 4 * down, 4 * across)
    of_tiles = z.permute(0, 2, 3, 1).view(n, down, 4, across, 4, len(weight))
    step = max(1, WINOGRAD_BYTES // (36 * 8 * max(channels, tiles.shape[1])))
    for o in range(0, len(weight), step):
        kernels = weight[o : o + step].flatten(2).permute(2, 0, 1).double().reshape(9, -1)
        kernels = (of_kernel @ kernels).view(36, -1, channels)
        products = torch.bmm(tiles, kernels.transpose(1, 2)).flatten(1)
        of_tiles[..., o : o + step] = (of_output @ products).view(4, 4, n, down, across, -1).permute(2, 3, 0, 4, 1, 5)
    # ReLU and pooling need exact zeros and ties, so values become multiples of 2⁻⁴⁰ of the largest.
    grid = z.abs().amax((2, 3), keepdim=True) * (1.5 * 2**52 / 2**40)
    z.add_(grid).sub_(grid)
    if (rows, columns) == (4 * down, 4 * across):
        return z
    return z[..., :rows, :columns].contiguous(memory_format=torch.channels_last)


def _channels_last(x: Tensor, *shape: int) -> Tensor:
    """Uninitialised memory for len(x) images of `shape`, not a view of another tensor."""
    return torch.empty((len(x), *shape), dtype=x.dtype, device=x.device, memory_format=torch.channels_last)

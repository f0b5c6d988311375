"""Convolutions that are exact in float64, for the forward pass."""

import torch
import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk.windows import Window, pad, patches

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
FEW = 9  # channels for which torch's own convolution in float64 is faster
WINOGRAD_BYTES = 8 << 20  # bytes of transformed filters at a time


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None, window: Window) -> Tensor:
    """The convolution, exact in float64, of x (n, channels, H, W) float64 and weight (O, channels / groups, h, w).

    The result has channels last in memory.
    """
    rows, columns = window.output(*x.shape[2:])
    tiles = len(x) * rows * columns / 16
    if window.groups == x.shape[1] == len(weight):
        z = _by_channel(x, weight, window)
    elif window.groups > 1 or weight.shape[1] < FEW:
        options = window.stride, window.padding, window.dilation, window.groups
        x = x.contiguous(memory_format=torch.channels_last)
        z = F.conv2d(x, weight.double(), None, *options).contiguous(memory_format=torch.channels_last)
    elif window == Window((3, 3), padding=window.padding) and min(weight.shape[:2]) >= 16 and tiles >= 16:
        z = _winograd(x, weight, window)
    else:
        kernel, x = weight.permute(2, 3, 1, 0).flatten(0, 2).double(), x.permute(0, 2, 3, 1)
        z = _channels_last(x, len(weight), rows, columns)
        for i, of_sample in enumerate(z.permute(0, 2, 3, 1).flatten(1, 2)):
            torch.mm(patches(x[i : i + 1], window)[0], kernel, out=of_sample)
    return z if bias is None else z.add_(bias.detach().double()[:, None, None])


def _by_channel(x: Tensor, weight: Tensor, window: Window) -> Tensor:
    """A depthwise convolution, tap by tap: torch would convolve channel by channel."""
    seen = pad(x.permute(0, 2, 3, 1), window)
    taps = weight.flatten(1).T.double()
    z = _channels_last(x, x.shape[1], *window.output(*x.shape[2:])).zero_()
    for (row, column), factor in zip(window.taps(*x.shape[2:]), taps, strict=True):
        z.permute(0, 2, 3, 1).addcmul_(seen[:, row, column], factor)
    return z


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

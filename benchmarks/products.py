"""What the kernel's cost model rests on: rates of dense products, and of products over lists of alive entries.

Products over lists carry the cotangent of a convolution back through the weights of one of its 3 × 3 taps. It has 256
channels, 2 × 2 pooling follows it, and it sees 8 images of 16 × 16 pixels. Only the flops of alive entries count.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from reactivation.ntk import sparse
from reactivation.ntk.gram import row_products

IMAGES, SIDE, CHANNELS = 8, 16, 256


def rate(flops: float, call: Callable[[], object]) -> float:
    """Gflop/s of the best of five calls, after a first one."""
    call()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return flops / min(seconds) / 1e9


def dense() -> dict[str, float]:
    square, rows = torch.randn(2048, 2048), torch.randn(32, 1 << 17)
    z, weight = torch.randn(80, CHANNELS, SIDE, SIDE), torch.randn(CHANNELS, CHANNELS, 3, 3)
    back = lambda: torch.nn.grad.conv2d_input(z.shape, weight, z, padding=1)  # noqa: E731
    return {
        "matrix product, 2048³": rate(2 * 2048**3, lambda: square @ square),
        "products of 32 long rows, A @ A.T": rate(2 * rows.numel() * 32, lambda: rows @ rows.T),
        "products of 32 long rows, row_products": rate(2 * rows.numel() * 32, lambda: row_products(rows, rows)),
        "convolution, from output to input": rate(2 * z.numel() * weight[0].numel(), back),
    }


def listed(classes: int, share: float) -> float:
    """Rate of products over lists, if `share` of the pooled outputs are alive, each at one of its four positions."""
    pooled = (SIDE // 2) ** 2
    values = torch.randn(IMAGES, classes, pooled, CHANNELS)
    alive = torch.rand(IMAGES, pooled, CHANNELS) < share
    corner = torch.arange(pooled).view(SIDE // 2, -1)
    corner = (2 * SIDE * (corner // (SIDE // 2)) + 2 * (corner % (SIDE // 2))).view(-1, 1)
    position = corner + torch.tensor([0, 1, SIDE, SIDE + 1])[torch.randint(4, alive.shape)]
    entries = sparse.lists(values, alive, position, SIDE**2, "position")
    weight, x = torch.randn(1, CHANNELS, CHANNELS), torch.zeros(IMAGES, classes, SIDE**2, CHANNELS)
    flops = 2 * int(alive.sum()) * classes * CHANNELS
    return rate(flops, lambda: sparse.multiply(entries, weight, torch.arange(SIDE**2), x))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for name, value in dense().items():
        print(f"{value:6.0f} Gflop/s  {name}")
    for classes in (1, 2, 5, 10, 32, 100):
        print(f"{listed(classes, 0.65):6.0f} Gflop/s  lists, {classes} outputs, 16 % alive")

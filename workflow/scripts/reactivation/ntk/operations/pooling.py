"""Max pooling: each output is one of the inputs."""

import math
from functools import partial

import torch.nn.functional as F
from torch import Tensor

from reactivation.ntk.cotangent import Cotangent
from reactivation.ntk.exact import More
from reactivation.ntk.graph import positions
from reactivation.ntk.rules import exact, takes_apart


@exact(F.max_pool2d)
def with_winners(input, *args, return_indices=False, **kwargs):
    """The pooling and which input won, as float64 decides it."""
    if return_indices or len(args) > 5 or input.dim() != 4:
        return F.max_pool2d(input, *args, return_indices=return_indices, **kwargs)
    return More(F.max_pool2d(input, *args, return_indices=True, **kwargs))


@takes_apart(F.max_pool2d)
def max_pool2d(capture, input, *args, return_indices=False, **kwargs):
    if input.dim() != 4 or return_indices or len(args) > 5 or not input.requires_grad:
        return NotImplemented
    if capture.channel(input) != 1 or len(input) != capture.samples:
        return NotImplemented
    z, winner = capture.values()
    winner, length = positions(winner, 1, capture.samples).contiguous(), math.prod(input.shape[2:])
    return capture.node(z, partial(_pull, winner, length), [(input, 1)], (), 1)


def _pull(winner: Tensor, length: int, cotangent: Cotangent) -> list[Cotangent]:
    return [cotangent.moved(winner, length)]

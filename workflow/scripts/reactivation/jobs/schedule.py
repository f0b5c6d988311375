"""How a segment's work is divided: at which steps weights are kept and kernels computed; how many images a test takes at once.

And whether it is a linearised twin's.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactivation.data import specs

EVALUATION_BATCH = 250  # no slower than 1000, in a quarter of the memory


def is_linearized(spec: "specs.Segment") -> bool:
    """Whether a segment's spec is of a linearised twin; a network's says nothing of dynamics."""
    return spec["training"].get("dynamics") == "linearized"


def checkpoint_steps(steps_per_epoch: int, epochs: int, every: int, log_spaced: bool) -> set[int]:
    """Optimizer steps of a segment after which weights are kept: every `every` epochs, the last, and 1, 2, 4, 8, …"""
    last = steps_per_epoch * epochs
    steps = {*range(steps_per_epoch * every, last, steps_per_epoch * every), last}
    if log_spaced:
        steps |= {2**k for k in range(last.bit_length()) if 2**k < last}
    return steps

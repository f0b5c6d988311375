"""How a segment's work is divided: the steps at which weights are kept, and how many images a test takes at once.

It also says whether a segment is a linearised twin's.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reactivation.data import specs

EVALUATION_BATCH = 250  # images: no slower than 1000, with a quarter of the memory


def is_linearized(spec: "specs.Segment") -> bool:
    """Whether a segment's spec is that of a linearised twin. The spec of a network has no `dynamics`."""
    return spec["training"].get("dynamics") == "linearized"


def checkpoint_steps(steps_per_epoch: int, epochs: int, every: int, log_spaced: bool) -> set[int]:
    """Optimizer steps after which weights are kept: every `every` epochs, the last and, if `log_spaced`, 1, 2, 4, …"""
    last = steps_per_epoch * epochs
    steps = {*range(steps_per_epoch * every, last, steps_per_epoch * every), last}
    if log_spaced:
        steps |= {2**k for k in range(last.bit_length()) if 2**k < last}
    return steps


def enough_steps(checkpoints: Iterable[int], steps_per_epoch: int, first: int) -> int | None:
    """The checkpoint at which a training may stop that is only compared: the `first`th, and one after an epoch.

    None if that is the last: nothing is saved.
    """
    *steps, _ = sorted(checkpoints)
    return next((step for step in steps[first - 1 :] if step > steps_per_epoch), None)

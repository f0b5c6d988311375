"""How far a metric falls at a switch, and how far it comes back."""

import numpy as np


def drop(before: float, values: np.ndarray) -> float:
    """How far a metric falls after a switch: (before − lowest)/before.

    `before` is its value at the switch, `values` are those after: negative where all are higher, NaN where `before` is 0 or NaN.
    """
    return float((before - values.min()) / before) if before > 0 else np.nan


def recovery(before: float, values: np.ndarray) -> float:
    """How much of that it has regained at the end of the task: (last − lowest)/before; more than `drop` if it overshoots."""
    return float((values[-1] - values.min()) / before) if before > 0 else np.nan

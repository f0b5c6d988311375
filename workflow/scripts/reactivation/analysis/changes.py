"""How far a metric falls at a switch, and how far it comes back."""

import numpy as np


def drop(before: float, values: np.ndarray) -> float:
    """How far a metric falls after a switch: (before − lowest)/before.

    `before` is its value at the switch, `values` are those after it. The result is negative if all of these are higher,
    and NaN unless `before` is positive.
    """
    return float((before - values.min()) / before) if before > 0 else np.nan


def recovery(before: float, values: np.ndarray) -> float:
    """How much of its fall a metric has regained by the task's end: (last − lowest)/before.

    More than `drop` if the metric overshoots.
    """
    return float((values[-1] - values.min()) / before) if before > 0 else np.nan

"""How the kernel of untrained networks converges with their width, in plain NumPy, as in metrics.py."""

from itertools import pairwise

import numpy as np


def distances(kernels: np.ndarray) -> np.ndarray:
    """‖Θ_w − Θ_w'‖_F / ‖mean Θ_W‖_F (widths − 1, m, m): every network of width w with every one of the next, w'.

    `kernels` (widths, m, n, n): of m independent initialisations of each width, ascending; W is the widest. If w'/w is
    the same for all w, the distance falls like w^(-1/2) in wide networks whose kernel has a limit. The kernel of one
    network fluctuates by O(w^(-1/2)), and the bias of the mean, O(1/w), is small in comparison (Jacot et al. 2018; Dyer
    & Gur-Ari 2020; Hanin & Nica 2020).
    """
    scale = np.linalg.norm(kernels[-1].mean(0))
    pairs = [[np.linalg.norm(one - wider, axis=(1, 2)) for one in of_width] for of_width, wider in pairwise(kernels)]
    return np.array(pairs) / scale


def slope(widths: np.ndarray, values: np.ndarray) -> tuple[float, float, float]:
    """d log value / d log width by least squares: the slope, and slope ± two standard errors.

    `values` (widths, m, m), positive, come from `distances`; their geometric means over all pairs are fitted. The
    standard error is the jackknife's (Efron & Stein 1981), which leaves out one initialisation of each width at a time:
    pairs that share a network are not independent.
    """
    x, m = np.log(widths) - np.log(widths).mean(), values.shape[1]
    slopes = np.einsum("w,wij->ij", x, np.log(values)) / (x @ x)  # one for each pair of initialisations
    left_out = [np.delete(np.delete(slopes, i, 0), i, 1).mean() for i in range(m)]
    error = 2 * np.sqrt((m - 1) * np.var(left_out))
    return float(slopes.mean()), float(slopes.mean() - error), float(slopes.mean() + error)

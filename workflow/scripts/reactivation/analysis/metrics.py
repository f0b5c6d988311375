"""From kernels to numbers, in plain NumPy: every function takes and returns arrays and works without this workflow.

K, L: kernels (n, n), symmetric and positive semi-definite. Figures and equations are those of *Reactivation:
Empirical NTK Dynamics Under Task Shifts* (2025) unless another source is named.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

PER_KERNEL: dict[str, Callable[[np.ndarray], float]] = {}
"""Metrics of one kernel, by name. Tables of runs have each of them at every checkpoint, and figures can draw them."""

AT_ONCE = 2**26  # bytes of permuted labels


def per_kernel(function: Callable[[np.ndarray], float]) -> Callable[[np.ndarray], float]:
    """Enter a function into PER_KERNEL; return it unchanged."""
    PER_KERNEL[function.__name__] = function
    return function


def eigenvalues(K: np.ndarray) -> np.ndarray:
    """Eigenvalues (n,), largest first; negative ones are rounding errors.

    Those of the last kernel are kept, because several metrics need them.
    """
    K = np.asarray(K, dtype=np.float64)
    return _eigenvalues(K.tobytes(), len(K))


@lru_cache(maxsize=1)
def _eigenvalues(kernel: bytes, n: int) -> np.ndarray:
    values = np.linalg.eigvalsh(np.frombuffer(kernel).reshape(n, n))[::-1]
    values.flags.writeable = False
    return values


@per_kernel
def spectral_norm(K: np.ndarray) -> float:
    """Largest eigenvalue: the leading mode's error decays by a factor of 1 − ηλ a step (eq. 6–7)."""
    return float(eigenvalues(K)[0])


@per_kernel
def trace(K: np.ndarray) -> float:
    """Sum of the eigenvalues, Σ_i ‖∇f(x_i)‖²."""
    return float(np.trace(K))


@per_kernel
def effective_rank(K: np.ndarray) -> float:
    """exp of the entropy of the normalised eigenvalues, from 1 to n (Roy & Vetterli 2007)."""
    p = np.clip(eigenvalues(K), 0, None)
    p = p[p > 0] / p.sum()
    return float(np.exp(-np.sum(p * np.log(p))))


def normalised(K: np.ndarray) -> np.ndarray:
    """HKH/‖HKH‖_F with H = I − 11ᵀ/n: centred in feature space, of norm 1. NaN for a constant kernel.

    A block (n, m) of a kernel, between different images, is centred on both sides in the same way.
    """
    K = np.asarray(K, dtype=np.float64)
    centred = K - K.mean(0) - K.mean(1)[:, None] + K.mean()
    norm = np.linalg.norm(centred)
    # A constant kernel is zero when centred: rounding must not pass for structure.
    constant = norm <= 1e-13 * np.linalg.norm(K)
    return np.full_like(centred, np.nan) if constant else centred / norm


def centered_kernel_alignment(K: np.ndarray, L: np.ndarray) -> float:
    """CKA(K, L) = ⟨HKH, HLH⟩ / (‖HKH‖ ‖HLH‖), from 0 to 1 (Cortes et al. 2012; Kornblith et al. 2019)."""
    return alignment_of_normalised(normalised(K), normalised(L))


def alignment_of_normalised(K: np.ndarray, L: np.ndarray) -> float:
    """CKA of two kernels that `normalised` returned, or unbiased CKA of two that `normalised_unbiased` returned."""
    return float(np.sum(K * L))


def kernel_distance(K: np.ndarray, L: np.ndarray) -> float:
    """S(K, L) = 1 − CKA(K, L) (eq. 1; Fort et al. 2020), from 0 to 1.

    Computed as ½‖K̂ − L̂‖² of the normalised kernels: subtracting from 1 would lose every digit below 1e-16, and, with
    float32 kernels, the small distances of wide networks. Blocks (n, m) between images of two tasks are not positive
    semi-definite: their distance goes from 0 to 2.
    """
    return distance_of_normalised(normalised(K), normalised(L))


def distance_of_normalised(K: np.ndarray, L: np.ndarray) -> float:
    """`kernel_distance` of two kernels or blocks that `normalised` returned: for many pairs of few kernels.

    Likewise `kernel_distance_unbiased` of what `normalised_unbiased` returned.
    """
    return float(0.5 * np.sum((K - L) ** 2))


def kernel_alignment(K: np.ndarray, Y: np.ndarray) -> float:
    """A = CKA(K, YYᵀ) (eq. 3) with Y (n, C) the one-hot labels. NaN if all labels are equal.

    Y (n, 1), the labels as numbers, is eq. 3 to the letter. It takes classes 0 and 9 for farther apart than 0 and 1.
    """
    return centered_kernel_alignment(K, kernel_of_labels(Y))


def kernel_of_labels(Y: np.ndarray) -> np.ndarray:
    """YYᵀ (n, n), the kernel of labels Y as `kernel_alignment` takes them."""
    Y = np.asarray(Y, dtype=np.float64)
    if Y.ndim != 2:
        raise ValueError(f"Y must be one-hot labels of shape (n, C), or numbers of shape (n, 1), not {Y.shape}")
    return Y @ Y.T


def permuted_alignments(kernels: np.ndarray, Y: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """CKA(K, PYYᵀPᵀ), the alignment with permuted labels, of kernels (T, n, n): what alignment is by chance.

    `orders` (permutations, n): each has the positions 0 … n − 1 in an order of its own. Returns (T, permutations).
    """
    L = normalised(kernel_of_labels(Y))
    of_kernels = np.empty((len(kernels), L.size))
    for K, row in zip(kernels, of_kernels, strict=True):
        row[:] = normalised(K).ravel()
    found = np.empty((len(kernels), len(orders)))
    most = max(1, AT_ONCE // L.nbytes)
    for start in range(0, len(orders), most):
        chosen = slice(start, start + most)
        permuted = L[orders[chosen, :, None], orders[chosen, None, :]]
        found[:, chosen] = of_kernels @ permuted.reshape(len(permuted), -1).T
    return found


def normalised_unbiased(K: np.ndarray) -> np.ndarray:
    """K̃ = A/‖A‖_F with A the U-centred kernel (Székely & Rizzo 2014), in which the diagonal of K has no part.

    A_ij = K_ij − Σ_l K_il/(n − 2) − Σ_k K_kj/(n − 2) + Σ_kl K_kl/((n − 1)(n − 2)), where all sums leave out the
    diagonal, and A_ii = 0. ⟨A, B⟩/(n(n − 3)) is the unbiased HSIC_1 of Song et al. (2012). NaN for fewer than four
    images, and for a kernel that is constant off its diagonal, as the identity is.
    """
    A = np.array(K, dtype=np.float64)
    n, size = len(A), np.linalg.norm(A)
    if n < 4:
        return np.full_like(A, np.nan)
    np.fill_diagonal(A, 0)
    A += A.sum() / ((n - 1) * (n - 2)) - A.sum(0) / (n - 2) - A.sum(1)[:, None] / (n - 2)
    np.fill_diagonal(A, 0)
    norm = np.linalg.norm(A)
    # As in `normalised`. Rounding beside a large diagonal must not pass for structure either.
    return np.full_like(A, np.nan) if norm <= 1e-13 * size else A / norm


def kernel_distance_unbiased(K: np.ndarray, L: np.ndarray) -> float:
    """S_u(K, L) = 1 − ⟨K̃, L̃⟩, from 0 to 2, computed as ½‖K̃ − L̃‖²: the distance by unbiased CKA (Nguyen et al. 2021).

    Kernels that share nothing are 1 apart on average, whatever their rank and n; `kernel_distance` puts them closer.
    """
    return distance_of_normalised(normalised_unbiased(K), normalised_unbiased(L))


def kernel_alignment_unbiased(K: np.ndarray, Y: np.ndarray) -> float:
    """A_u = ⟨K̃, L̃⟩ with L = YYᵀ, from −1 to 1: the alignment by unbiased CKA, 0 on average for permuted labels."""
    return alignment_of_normalised(normalised_unbiased(K), normalised_unbiased(kernel_of_labels(Y)))


def kernel_velocity(kernels: np.ndarray, epochs: np.ndarray, dt: float) -> np.ndarray:
    """v(t) = S(Θ_t, Θ_{t+dt}) / dt per epoch (eq. 2), for kernels (T, n, n) at `epochs` (T,), dt in epochs.

    Returns (T,), NaN where there is no kernel at t + dt. Unlike S between neighbouring checkpoints, it does not depend
    on how densely these lie.
    """
    return velocity_of_normalised([normalised(K) for K in kernels], epochs, dt)


def velocity_of_normalised(kernels: Sequence[np.ndarray], epochs: np.ndarray, dt: float) -> np.ndarray:
    """`kernel_velocity` of kernels or blocks that `normalised` or `normalised_unbiased` returned."""
    velocity = np.full(len(epochs), np.nan)
    for i, later in enumerate(_at(epochs, np.asarray(epochs) + dt)):
        if later is not None:
            velocity[i] = distance_of_normalised(kernels[i], kernels[later]) / dt
    return velocity


def _at(epochs: np.ndarray, wanted: np.ndarray) -> list[int | None]:
    """For each epoch wanted, its position in `epochs`, where it is equal up to rounding, or None."""
    order = np.argsort(epochs, kind="stable")
    ordered = np.asarray(epochs)[order]
    place = np.minimum(np.searchsorted(ordered, wanted - 1e-6), len(ordered) - 1)
    return [int(order[p]) if abs(ordered[p] - w) <= 1e-6 else None for p, w in zip(place, wanted, strict=True)]


def cross_task_overlap(K: np.ndarray, first: np.ndarray, second: np.ndarray, rank: int) -> float:
    """How far the leading gradient directions of two tasks coincide, from 0 (orthogonal) to 1 (the same).

    Mean squared cosine of the principal angles between the spans of the `rank` leading right singular vectors of
    the two tasks' Jacobians: ‖O‖²_F / r with O = V_1ᵀV_2 the NTK overlap matrix of Doan et al. (2021). From kernels
    alone: O = Λ_1^(-½) U_1ᵀ K_12 U_2 Λ_2^(-½). `first`, `second`: positions of the tasks' images in K. r is `rank`, or
    less if a task's kernel has a lower rank.
    """
    V1, V2 = (_leading(K[np.ix_(block, block)], rank) for block in (first, second))
    r = min(V1.shape[1], V2.shape[1])
    O = V1[:, :r].T @ K[np.ix_(first, second)] @ V2[:, :r]  # noqa: E741
    return float(np.sum(O**2) / r)


def _leading(K: np.ndarray, rank: int) -> np.ndarray:
    """U Λ^(-½) (n, r) of the leading eigenvectors, without those whose eigenvalue is zero up to rounding."""
    values, vectors = np.linalg.eigh(K)
    values, vectors = values[::-1][:rank], vectors[:, ::-1][:, :rank]
    solid = values > 1e-10 * values[0]
    return vectors[:, solid] / np.sqrt(values[solid])


@per_kernel
def block_norm(K: np.ndarray) -> float:
    """‖K‖_F / √(n m), the root mean square of the entries, of a kernel or of a block (n, m) of any size."""
    return float(np.sqrt(np.mean(np.square(K, dtype=np.float64))))


def leading_eigenvectors(K: np.ndarray, rank: int) -> np.ndarray:
    """U (n, r), the leading eigenvectors in columns, largest eigenvalue first. As in `eigenvalues`, K is not centred.

    r is `rank`, but at most the number of eigenvalues above 1e-10 λ_1, because the vectors of others are arbitrary, and
    at most n − 1, because the span of all n cannot rotate. A zero kernel has r = 0.
    """
    values, vectors = np.linalg.eigh(np.asarray(K, dtype=np.float64))
    solid = int(np.sum(values > 1e-10 * values[-1]))
    return vectors[:, ::-1][:, : min(rank, solid, len(values) - 1)]


def eigenvector_rotation(U: np.ndarray, V: np.ndarray) -> float:
    """1 − ‖UᵀV‖²_F / r, from 0 (the same span) to 1 (orthogonal): how far leading eigenvectors have turned.

    The mean squared sine of the principal angles between the spans of the first r columns of U (n, ·) and V (n, ·), r
    the smaller number of columns; NaN if r is 0. As in `kernel_distance`, nothing is subtracted from 1: it is computed
    as ‖V − UUᵀV‖²_F / r. Rotations within the span do not count. A small gap below λ_r makes the span
    ill-defined.
    """
    r = min(U.shape[1], V.shape[1])
    U, V = U[:, :r], V[:, :r]
    return float(np.sum((V - U @ (U.T @ V)) ** 2) / r) if r else np.nan


def eigenvector_alignment(U: np.ndarray, Y: np.ndarray) -> float:
    """‖P U‖²_F / min(r, c), from 0 to 1: how far leading eigenvectors U (n, r) are functions of the labels.

    P projects onto the span of the c nonzero columns of Y (n, C): one-hot labels, zero for images that do not count.
    This is the mean squared cosine of the principal angles between the two spans; random vectors have max(r, c) / n.
    For one label, as a function of r, it is the label's energy in the leading eigenvectors (Kopitkov & Indelman 2020;
    Oymak et al. 2019). NaN if r or c is 0.
    """
    Y = np.asarray(Y, dtype=np.float64)
    Q = Y[:, Y.any(0)]
    Q = Q / np.linalg.norm(Q, axis=0)
    least = min(U.shape[1], Q.shape[1])
    return float(np.sum((Q.T @ U) ** 2) / least) if least else np.nan


def forgetting(accuracy: np.ndarray, ended: np.ndarray) -> np.ndarray:
    """Accuracy lost on one task: its best at the end of that task or of a later one, minus its present accuracy.

    `accuracy` (T,) is that on the task's test set over time; `ended` (T,) is True at the last epoch of that task and of
    each later one. Returns (T,), NaN until the task has ended, negative where later training improves on it. This is
    f_j^k of Chaudhry et al. (2018), at every epoch and not only at the ends of tasks.
    """
    best, lost = np.nan, np.full(len(accuracy), np.nan)
    for t, value in enumerate(accuracy):
        lost[t] = best - value
        if ended[t]:
            best = np.fmax(best, value)
    return lost

"""Metrics against their definitions, in float64."""

import itertools

import numpy as np
import pytest

from reactivation.analysis import metrics
from reactivation.catalogue import METRICS


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def kernel(rng, n=12, features=30):
    J = rng.normal(size=(n, features))
    return J @ J.T


def naive_cka(K, L):
    n = len(K)
    H = np.eye(n) - np.ones((n, n)) / n
    inner = lambda A, B: np.trace(H @ A @ H @ B)  # noqa: E731
    return inner(K, L) / np.sqrt(inner(K, K) * inner(L, L))


def test_cka_is_its_definition_and_ignores_scale_and_offset(rng):
    K, L = kernel(rng), kernel(rng)
    assert metrics.centered_kernel_alignment(K, L) == pytest.approx(naive_cka(K, L), rel=1e-12)
    assert metrics.centered_kernel_alignment(K, 3 * K + 5) == pytest.approx(1, rel=1e-12)


def test_distance_is_one_minus_cka(rng):
    K, L = kernel(rng), kernel(rng)
    assert metrics.kernel_distance(K, L) == pytest.approx(1 - naive_cka(K, L), rel=1e-10)
    assert metrics.kernel_distance(K, K) == 0


def test_small_distances_keep_their_digits(rng):
    """Along a perturbation of size ε, S falls as ε²; subtraction from 1 would leave noise at ε = 1e-8."""
    K, D = kernel(rng), kernel(rng)
    scaled = [metrics.kernel_distance(K, K + eps * D) / eps**2 for eps in (1e-4, 1e-6, 1e-8)]
    assert scaled[1] == pytest.approx(scaled[0], rel=1e-3)
    assert scaled[2] == pytest.approx(scaled[0], rel=1e-3)


def test_alignment_is_one_for_the_kernel_of_the_labels():
    Y = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    assert metrics.kernel_alignment(Y @ Y.T, Y) == pytest.approx(1)
    assert np.isnan(metrics.kernel_alignment(Y @ Y.T, np.ones((6, 1))))


def test_labels_may_be_numbers(rng):
    K, y = kernel(rng), np.arange(12) % 5
    assert metrics.kernel_alignment(K, y[:, None]) == pytest.approx(naive_cka(K, np.outer(y, y)), rel=1e-12)
    assert metrics.kernel_alignment(np.outer(y, y), y[:, None]) == pytest.approx(1)
    assert metrics.kernel_alignment_unbiased(np.outer(y, y), y[:, None]) == pytest.approx(1)


def hsic_1(K, L):
    """Song et al. (2012), eq. 5."""
    n, one = len(K), np.ones(len(K))
    K, L = K - np.diag(np.diag(K)), L - np.diag(np.diag(L))
    between = one @ K @ one * (one @ L @ one) / (n - 1) / (n - 2) - 2 / (n - 2) * (one @ K @ L @ one)
    return (np.trace(K @ L) + between) / (n * (n - 3))


def u_statistic(K, L):
    """The mean of an unbiased estimate over all quadruples of different images."""
    quadruples = itertools.permutations(range(len(K)), 4)
    return np.mean([K[i, j] * (L[i, j] + L[q, r] - 2 * L[i, q]) for i, j, q, r in quadruples])


@pytest.mark.parametrize("n, hsic", [(12, hsic_1), (6, hsic_1), (6, u_statistic)])
def test_unbiased_cka_is_that_of_an_unbiased_hsic(rng, n, hsic):
    K, L = kernel(rng, n), kernel(rng, n)
    expected = hsic(K, L) / np.sqrt(hsic(K, K) * hsic(L, L))
    assert metrics.kernel_distance_unbiased(K, L) == pytest.approx(1 - expected, rel=1e-10)
    assert metrics.kernel_distance_unbiased(K + np.diag(rng.normal(size=n)), 3 * L + 5) == pytest.approx(1 - expected)
    assert metrics.kernel_distance_unbiased(K, K) == 0 and metrics.kernel_distance_unbiased(K, -K) == pytest.approx(2)
    Y = np.eye(3)[np.arange(n) % 3]
    expected = hsic(K, Y @ Y.T) / np.sqrt(hsic(K, K) * hsic(Y @ Y.T, Y @ Y.T))
    assert metrics.kernel_alignment_unbiased(K, Y) == pytest.approx(expected, rel=1e-10)


def test_small_unbiased_distances_keep_their_digits(rng):
    K, D = kernel(rng), kernel(rng)
    scaled = [metrics.kernel_distance_unbiased(K, K + eps * D) / eps**2 for eps in (1e-4, 1e-6, 1e-8)]
    assert scaled == pytest.approx([scaled[0]] * 3, rel=1e-3)


def test_the_identity_has_no_unbiased_distance(rng):
    """Nor has what is constant off the diagonal, up to rounding; nor three images."""
    turn = np.linalg.qr(rng.normal(size=(12, 12)))[0]
    for nothing in (np.eye(12), turn @ turn.T, np.diag(np.arange(12)), np.full((12, 12), 0.1) + np.eye(12)):
        assert np.isnan(metrics.kernel_distance_unbiased(nothing, kernel(rng)))
    assert np.isnan(metrics.kernel_distance_unbiased(kernel(rng, 3), kernel(rng, 3)))
    assert np.isnan(metrics.kernel_alignment_unbiased(kernel(rng), np.ones((12, 1))))
    assert np.isfinite(metrics.kernel_distance_unbiased(kernel(rng, 4), kernel(rng, 4)))


@pytest.mark.parametrize("features, biased", [(8, 0.20), (500, 0.94)])
def test_kernels_that_share_nothing_are_alike_by_biased_cka_and_not_by_unbiased(rng, features, biased):
    """The numbers that docs/method.md has."""
    kernels = [kernel(rng, 32, features) for _ in range(60)]
    pairs = np.triu_indices(60, 1)

    def mean_cka(normalise):
        of_each = np.array([normalise(K).ravel() for K in kernels])
        return (of_each @ of_each.T)[pairs].mean()

    assert mean_cka(metrics.normalised) == pytest.approx(biased, abs=0.01)
    assert mean_cka(metrics.normalised_unbiased) == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize("classes, n", [(10, 30), (5, 20), (2, 8)])
def test_the_identitys_alignment_depends_on_the_number_of_classes_and_images(classes, n):
    Y = np.eye(classes)[np.arange(n) % classes]
    assert metrics.kernel_alignment(np.eye(n), Y) == pytest.approx(np.sqrt((classes - 1) / (n - 1)), rel=1e-12)
    Y = Y[: n - 1]  # no longer balanced
    assert metrics.kernel_alignment(np.eye(n - 1), Y) == pytest.approx(naive_cka(np.eye(n - 1), Y @ Y.T), rel=1e-12)


def test_alignment_with_permuted_labels_is_taken_for_each_order(rng, monkeypatch):
    kernels, Y = np.stack([kernel(rng), kernel(rng), np.ones((12, 12))]), np.eye(3)[np.arange(12) % 3]
    orders = np.array([rng.permutation(12) for _ in range(7)])
    found = metrics.permuted_alignments(kernels, Y, orders)
    expected = [[naive_cka(K, Y[order] @ Y[order].T) for order in orders] for K in kernels[:2]]
    np.testing.assert_allclose(found[:2], expected, rtol=1e-12)
    assert np.isnan(found[2]).all() and found.shape == (3, 7)
    monkeypatch.setattr(metrics, "AT_ONCE", 2 * 12 * 12 * 8)
    np.testing.assert_allclose(metrics.permuted_alignments(kernels, Y, orders), found, rtol=1e-13)
    assert metrics.permuted_alignments(kernels[:0], Y, orders).shape == (0, 7)


def test_unbiased_alignment_with_permuted_labels_is_zero_on_average(rng):
    """Over all ways in which three of eight images can be of the first class."""
    K = kernel(rng, 8)
    ones = [np.isin(np.arange(8), chosen).astype(int) for chosen in itertools.combinations(range(8), 3)]
    values = [metrics.kernel_alignment_unbiased(K, np.eye(2)[of_image]) for of_image in ones]
    assert np.mean(values) == pytest.approx(0, abs=1e-15) and np.ptp(values) > 0.1


def test_velocity_finds_the_kernel_dt_later_among_uneven_checkpoints(rng):
    epochs = np.array([0, 0.25, 1, 2, 2.1, 3, 4])
    kernels = np.stack([kernel(rng) for _ in epochs])
    velocity = metrics.kernel_velocity(kernels, epochs, 2)
    assert velocity[0] == pytest.approx(metrics.kernel_distance(kernels[0], kernels[3]) / 2)
    assert velocity[2] == pytest.approx(metrics.kernel_distance(kernels[2], kernels[5]) / 2)
    assert np.isnan(velocity[[1, 4, 5, 6]]).all()


def test_spectrum(rng):
    vectors, _ = np.linalg.qr(rng.normal(size=(5, 5)))
    K = vectors @ np.diag([5.0, 3, 1, 0.5, 0]) @ vectors.T
    assert metrics.eigenvalues(K) == pytest.approx([5, 3, 1, 0.5, 0], abs=1e-12)
    assert metrics.spectral_norm(K) == pytest.approx(5)
    assert metrics.trace(K) == pytest.approx(9.5)


def test_effective_rank_counts_equal_directions():
    assert metrics.effective_rank(np.diag([2.0, 2, 2, 0, 0])) == pytest.approx(3)
    assert metrics.effective_rank(np.ones((4, 4))) == pytest.approx(1)


def test_overlap_is_that_of_the_jacobians_singular_vectors(rng):
    J = rng.normal(size=(10, 40))
    first, second = np.arange(5), np.arange(5, 10)
    V1 = np.linalg.svd(J[first], full_matrices=False)[2][:3].T
    V2 = np.linalg.svd(J[second], full_matrices=False)[2][:3].T
    expected = np.sum((V1.T @ V2) ** 2) / 3
    assert metrics.cross_task_overlap(J @ J.T, first, second, 3) == pytest.approx(expected, rel=1e-10)


def test_overlap_from_none_to_whole():
    J = np.eye(6)
    parts = np.arange(3), np.arange(3, 6)
    assert metrics.cross_task_overlap(J @ J.T, *parts, 3) == pytest.approx(0, abs=1e-12)
    twice = np.concatenate([J[:3], 2 * J[:3]])
    assert metrics.cross_task_overlap(twice @ twice.T, *parts, 3) == pytest.approx(1)


def test_overlap_at_a_rank_that_only_one_task_has():
    """One task has two directions, the other three: the mean is over two."""
    J = np.eye(6)[[0, 1, 0, 0, 1, 2]] * np.array([3, 2, 1, 3, 2, 1])[:, None]
    parts = np.array([0, 1, 2]), np.array([3, 4, 5])
    assert metrics.cross_task_overlap(J @ J.T, *parts, 3) == pytest.approx(1)


def test_of_blocks_between_two_tasks_both_sides_are_centred(rng):
    """S of the block is one minus the cosine of H K_12 H with H L_12 H; its norm is the root mean square of entries."""
    K, L = (kernel(rng)[:5, 5:] for _ in range(2))
    H1, H2 = (np.eye(n) - 1 / n for n in (5, 7))
    A, B = H1 @ K @ H2, H1 @ L @ H2
    cosine = np.sum(A * B) / np.linalg.norm(A) / np.linalg.norm(B)
    assert metrics.kernel_distance(K, L) == pytest.approx(1 - cosine, rel=1e-10)
    assert metrics.kernel_distance(K, -K) == pytest.approx(2)
    assert metrics.block_norm(K) == pytest.approx(np.linalg.norm(K) / np.sqrt(35))
    K = kernel(rng)
    blocks = [K[:5, :5], K[:5, 5:], K[5:, :5], K[5:, 5:]]
    assert metrics.block_norm(K) ** 2 * 144 == pytest.approx(sum(metrics.block_norm(k) ** 2 * k.size for k in blocks))


def random_subspaces(rng, n, *ranks):
    return [np.linalg.qr(rng.normal(size=(n, r)))[0] for r in ranks]


def test_rotation_is_that_of_spans(rng):
    """0 for the same span in any basis, 1 for orthogonal spans, else one minus the mean squared cosine."""
    U, V, turn = random_subspaces(rng, 12, 3, 3, 3)[0:2] + random_subspaces(rng, 3, 3)
    cosines = np.linalg.svd(U.T @ V, compute_uv=False)
    assert metrics.eigenvector_rotation(U, V) == pytest.approx(1 - np.mean(cosines**2), rel=1e-10)
    assert metrics.eigenvector_rotation(U, V) == pytest.approx(metrics.eigenvector_rotation(V, U))
    assert metrics.eigenvector_rotation(U, U @ turn) == pytest.approx(0, abs=1e-25)
    identity = np.eye(12)
    assert metrics.eigenvector_rotation(identity[:, :3], identity[:, 3:6]) == 1
    assert metrics.eigenvector_rotation(U, V[:, :2]) == pytest.approx(metrics.eigenvector_rotation(U[:, :2], V[:, :2]))
    assert np.isnan(metrics.eigenvector_rotation(U[:, :0], V))


def test_rotation_of_kernels_ignores_scale_and_keeps_small_digits(rng):
    K, D = kernel(rng), kernel(rng)
    U = metrics.leading_eigenvectors(K, 3)
    assert metrics.eigenvector_rotation(U, metrics.leading_eigenvectors(7 * K, 3)) == pytest.approx(0, abs=1e-25)
    scaled = [metrics.eigenvector_rotation(U, metrics.leading_eigenvectors(K + e * D, 3)) / e**2 for e in (1e-4, 1e-9)]
    assert scaled[1] == pytest.approx(scaled[0], rel=1e-2)
    order = rng.permutation(12)
    permuted = [metrics.leading_eigenvectors(A[np.ix_(order, order)], 3) for A in (K, D)]
    expected = metrics.eigenvector_rotation(U, metrics.leading_eigenvectors(D, 3))
    assert metrics.eigenvector_rotation(*permuted) == pytest.approx(expected)


def test_leading_eigenvectors_are_those_of_the_largest_eigenvalues_that_count(rng):
    vectors, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    K = vectors @ np.diag([5.0, 3, 1, 1e-14, 0, 0]) @ vectors.T
    U = metrics.leading_eigenvectors(K, 2)
    np.testing.assert_allclose(np.abs(U.T @ vectors), np.eye(2, 6), atol=1e-12)
    assert metrics.leading_eigenvectors(K, 5).shape == (6, 3)  # the others are arbitrary
    assert metrics.leading_eigenvectors(np.eye(4), 9).shape == (4, 3)  # all of them span everything: nothing can turn
    assert metrics.leading_eigenvectors(np.zeros((4, 4)), 2).shape == (4, 0)


def test_eigenvectors_align_with_labels_as_far_as_they_are_functions_of_them(rng):
    Y = np.eye(4)[[0, 0, 0, 1, 1, 2, 2, 2, 3, 3]]
    first = Y * np.array([1, 1, 0, 0])  # the first task's classes
    projector = first @ np.linalg.pinv(first)
    (U,) = random_subspaces(rng, 10, 3)
    expected = np.sum((projector @ U) ** 2) / 2
    assert metrics.eigenvector_alignment(U, first) == pytest.approx(expected, rel=1e-10)
    of_labels = np.linalg.qr(first[:, :2] @ rng.normal(size=(2, 2)))[0]
    assert metrics.eigenvector_alignment(of_labels, first) == pytest.approx(1)
    assert metrics.eigenvector_alignment(of_labels, Y - first) == pytest.approx(0, abs=1e-25)
    assert metrics.eigenvector_alignment(of_labels[:, :1], Y) == pytest.approx(1)
    assert np.isnan(metrics.eigenvector_alignment(U, np.zeros((10, 4))))
    (many,) = random_subspaces(rng, 400, 5)
    labels = np.eye(20)[np.arange(400) % 20]
    assert metrics.eigenvector_alignment(many, labels) == pytest.approx(20 / 400, rel=0.5)  # at random


def test_eigenvalues_are_of_the_kernel_at_hand_and_not_of_the_last_one(rng):
    K, L = kernel(rng), kernel(rng)
    for A in (K, L, K.copy(), K.T, K[:6, :6]):
        np.testing.assert_array_equal(metrics.eigenvalues(A), np.linalg.eigvalsh(A)[::-1])
    changed = K.copy()
    before = metrics.spectral_norm(changed)
    changed *= 2
    assert metrics.spectral_norm(changed) == pytest.approx(2 * before)


def test_labels_that_are_not_one_hot_are_refused(rng):
    with pytest.raises(ValueError, match=r"one-hot .* \(n, C\), or numbers of shape \(n, 1\), not \(12,\)"):
        metrics.kernel_alignment(kernel(rng), np.arange(12))


def test_float32_kernels_are_compared_in_float64(rng):
    K = kernel(rng).astype(np.float32)
    L = K * (1 + 1e-5 * rng.normal(size=K.shape).astype(np.float32))
    exact = metrics.kernel_distance(K.astype(np.float64), L.astype(np.float64))
    assert metrics.kernel_distance(K, L) == metrics.kernel_distance(K.tolist(), L.tolist()) == exact


def test_forgetting_starts_after_the_tasks_own_end():
    accuracy = np.array([0.5, 0.9, 0.3, 0.4, 0.6, 0.1])
    ended = np.array([False, True, False, True, False, True])
    lost = metrics.forgetting(accuracy, ended)
    assert np.isnan(lost[:2]).all()
    assert lost[2:] == pytest.approx([0.6, 0.5, 0.3, 0.8])


def test_metrics_of_one_kernel_have_their_names_in_configs():
    listed = [name for name in METRICS if name in metrics.PER_KERNEL]
    assert listed == list(metrics.PER_KERNEL)
    assert all(METRICS[name].of == "kernel" and METRICS[name].per_layer for name in listed)

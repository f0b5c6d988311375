"""The kernel's convergence with the width, and its slope."""

import functools

import numpy as np
import pytest
import torch

from reactivation.analysis.width_convergence import distances, slope
from reactivation.ntk.kernel import empirical_ntk
from reactivation.training import networks


# --------------------------------------------------------------------------------------------------- numbers
def test_every_network_is_compared_with_every_one_of_the_next_width():
    K = np.random.default_rng(0).normal(size=(3, 4, 5, 5))
    found = distances(K)
    assert found.shape == (2, 4, 4)
    scale = np.linalg.norm(K[2].mean(0))
    for w, i, j in np.ndindex(found.shape):
        assert found[w, i, j] == pytest.approx(np.linalg.norm(K[w, i] - K[w + 1, j]) / scale, rel=1e-12)
    np.testing.assert_allclose(distances(7 * K), found)


def test_the_slope_of_a_power_is_its_exponent():
    widths = np.array([16, 32, 64, 128])
    values = np.broadcast_to(3 * widths[:, None, None] ** -0.7, (4, 5, 5))
    np.testing.assert_allclose(slope(widths, values), (-0.7, -0.7, -0.7))


def test_the_interval_is_two_standard_errors_of_slopes_over_further_initialisations():
    """Kernels fluctuate by 1/√w: the jackknife finds from one draw how far the slopes of many draws deviate."""
    rng, widths = np.random.default_rng(0), 2 ** np.arange(4, 9)
    found = []
    for _ in range(200):
        K = 10 + rng.normal(size=(5, 12, 3, 3)) / np.sqrt(widths)[:, None, None, None]
        found.append(slope(widths[:-1], distances(K)))
    slopes, low, high = np.array(found).T
    assert slopes.mean() == pytest.approx(-0.5, abs=0.01)
    assert np.mean((high - low) / 4) == pytest.approx(slopes.std(), rel=0.2)


MLP = {"name": "mlp", "depth": 2, "activation": "relu"}, (64, 128, 256, 512, 1024)
CNN = {"name": "cnn"}, (16, 32, 64, 128)


@functools.cache
def kernels_of(name, parametrization="ntk", initialisations=12):
    """Widths, and kernels of random images of 8×8 pixels, in float64: {kind: (widths, initialisations, n, n)}."""
    torch.manual_seed(0)
    spec, widths = {"mlp": MLP, "cnn": CNN}[name]
    x, found = torch.randn(6, 3, 8, 8, dtype=torch.float64), []
    for width in widths:
        for _ in range(initialisations):
            model = networks.build(spec | {"parametrization": parametrization, "width": width}, 8, 5).double().eval()
            found.append(empirical_ntk(model, x))
    shape = len(widths), initialisations, 6, 6
    return np.array(widths), {kind: np.reshape([of[kind] for of in found], shape) for kind in ("sum", "trace")}


@pytest.mark.parametrize("kind", ["sum", "trace"])
@pytest.mark.parametrize("network", ["mlp", "cnn"])
def test_kernels_converge_like_one_over_the_root_of_the_width(network, kind):
    widths, kernels = kernels_of(network)
    values = distances(kernels[kind])
    fitted, low, high = slope(widths[:-1], values)
    assert abs(fitted + 0.5) < 0.15 and low < -0.5 < high
    assert values[-1].mean() < 0.7 * values[0].mean()


def test_without_the_parametrization_they_do_not():
    """The kernel of `standard` grows with the width, so that one width is always far from the next."""
    K = kernels_of("mlp", "standard", initialisations=4)[1]["trace"]
    each = np.linalg.norm(K[:-1] - K[1:], axis=(2, 3)) / np.linalg.norm(K[1:], axis=(2, 3))
    assert each[-1].mean() > 0.4 and np.linalg.norm(K[-1].mean(0)) > 8 * np.linalg.norm(K[0].mean(0))

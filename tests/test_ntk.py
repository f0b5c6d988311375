"""The kernel against the simplest possible reference, in float64."""

import numpy as np
import pytest
import torch
from reactivation.models import cnn
from reactivation.ntk import empirical_ntk
from torch import nn


def gradient(model, image, weights):
    parameters = list(model.parameters())
    grads = torch.autograd.grad(model(image[None])[0] @ weights, parameters)
    return torch.cat([g.flatten() for g in grads])


def reference(model, x):
    """One backward pass per image and output, and dot products."""
    classes = model(x).shape[1]
    per_output = [torch.stack([gradient(model, image, row) for image in x]) for row in torch.eye(classes).double()]
    trace = sum(J @ J.T for J in per_output) / classes
    J = sum(per_output)
    return {"sum": (J @ J.T).numpy(), "trace": trace.numpy()}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return cnn(5, 16, 3).double().eval(), torch.randn(6, 3, 16, 16, dtype=torch.float64)


def test_kernels_are_those_of_a_loop_of_backward_passes(network):
    model, x = network
    kernels = empirical_ntk(model, x)
    for kind, expected in reference(model, x).items():
        np.testing.assert_allclose(kernels[kind], expected, rtol=1e-6, atol=1e-6 * expected.max())


@pytest.mark.parametrize("chunk", [1, 4, 6])
def test_chunks_do_not_matter(network, chunk):
    model, x = network
    for kind, kernel in empirical_ntk(model, x, chunk=chunk).items():
        np.testing.assert_allclose(kernel, empirical_ntk(model, x)[kind], rtol=1e-6)


def test_float32_is_close_to_float64_symmetric_and_positive(network):
    model, x = network
    exact = empirical_ntk(model, x)
    for kind, kernel in empirical_ntk(model.float(), x.float()).items():
        assert kernel.dtype == np.float64
        assert (kernel == kernel.T).all()
        assert np.abs(kernel - exact[kind]).max() <= 1e-5 * np.abs(exact[kind]).max()
        assert np.linalg.eigvalsh(kernel)[0] > -1e-5 * kernel.max()


def test_one_kind_alone_is_the_same(network):
    model, x = network
    both = empirical_ntk(model, x)
    for kind in both:
        np.testing.assert_allclose(empirical_ntk(model, x, kernels=[kind])[kind], both[kind], rtol=1e-9)


def test_a_small_step_moves_the_logits_by_the_kernel(network):
    """Gradient descent on ℓ = Σ f(x_j): Δf summed over outputs is −η Σ_j Θ_sum(x_i, x_j), to first order in η."""
    model, x = network
    before = model(x).sum(1)
    kernel = empirical_ntk(model, x, kernels=["sum"])["sum"]
    rate = 1e-7
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    before.sum().backward()
    optimizer.step()
    change = (model(x).sum(1) - before).detach().numpy()
    np.testing.assert_allclose(change, -rate * kernel.sum(1), rtol=1e-3)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d(4), nn.Dropout(0.5)])
def test_layers_that_couple_or_blur_samples_are_refused_in_training_mode(layer):
    model = nn.Sequential(nn.Linear(4, 4), layer, nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"1 \((BatchNorm1d|Dropout)\) is in training mode: call model.eval"):
        empirical_ntk(model, torch.randn(3, 4))
    assert empirical_ntk(model.eval(), torch.randn(3, 4))["sum"].shape == (3, 3)

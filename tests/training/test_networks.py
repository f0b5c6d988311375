"""The networks and their parametrizations: functions, kernels and learning rates, in float64, against theory."""

import copy
import logging
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from architectures import ARCHITECTURES, PARAMETRIZATIONS, fresh, spec
from reactivation.ntk import guards, kernel
from reactivation.ntk.guards import in_default
from reactivation.ntk.kernel import empirical_ntk
from reactivation.training.networks import build, group_norm, layer_names
from reactivation.training.optimizer import learning_rate_factors
from sample_networks import reference

# Widths, and how many networks are averaged. The CNN's kernels are as close to theory at half the widths.
WIDTHS = {"cnn": {16: 16, 64: 8, 256: 4}, "mlp": {32: 16, 128: 8, 512: 4}, "rnn": {32: 16, 128: 8, 512: 4}}


def images(n=4, size=8):
    return torch.randn(n, 3, size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def same(model, other):
    return all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))


# -------------------------------------------------------------------------------------------------- networks
@pytest.mark.parametrize("size", [8, 13, 20])
@pytest.mark.parametrize("network", ARCHITECTURES)
def test_logits_for_every_size_of_image(network, size):
    model = fresh(network, image_size=size, classes=5)
    assert model(images(3, size)).shape == (3, 5)


def test_the_mlp_is_products_and_activations():
    model, x = fresh("mlp, gelu"), images()
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [(6, 192), (6, 6), (6, 6), (3, 6)]
    h = x.flatten(1)
    for layer in layers[:-1]:
        h = F.gelu(h @ layer.weight.T + layer.bias)
    torch.testing.assert_close(model(x), h @ layers[-1].weight.T + layers[-1].bias)


def test_the_cnn_is_the_papers_where_relu_comes_before_pooling():
    """Logits and gradients agree to the bit."""
    model, x = fresh("cnn"), images(4)
    layers = list(model)
    for i in (0, 3, 6):
        layers[i + 1], layers[i + 2] = layers[i + 2], layers[i + 1]
    papers = nn.Sequential(*layers)
    assert [type(layer) for layer in layers[:3]] == [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert torch.equal(model(x), papers(x))
    gradients = [torch.autograd.grad(of(x).square().sum(), list(of.parameters())) for of in (model, papers)]
    assert all(torch.equal(p, q) for p, q in zip(*gradients, strict=True))


def test_the_rnn_is_torchs_over_rows_of_pixels():
    model, x = fresh("rnn"), images()
    torchs = nn.RNN(24, 6, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        for name, p in (("weight_ih", model.input_to_hidden.weight), ("bias_ih", model.input_to_hidden.bias)):
            getattr(torchs, f"{name}_l0").copy_(p)
        torchs.weight_hh_l0.copy_(model.hidden_to_hidden.weight)
        torchs.bias_hh_l0.zero_()
    rows = torch.stack([x[:, :, t].flatten(1) for t in range(8)], dim=1)
    torch.testing.assert_close(model(x), model.head(torchs(rows)[1][0]))


def test_resnet18_is_torchvisions_but_for_the_stem():
    from reactivation.data.sources import import_torchvision_datasets

    import_torchvision_datasets()
    from torchvision.models import resnet18

    model = fresh("resnet18, batch norm", width=64).train()
    with in_default(torch.float64):
        usual = resnet18(num_classes=3).train()
        usual.conv1, usual.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours, theirs = model.state_dict(), usual.state_dict()
    # Both have the same tensors in the same order: in either, a block's shortcut comes last.
    assert [tuple(v.shape) for v in ours.values()] == [tuple(v.shape) for v in theirs.values()]
    usual.load_state_dict(dict(zip(theirs, ours.values(), strict=True)))
    x = images(2, 16)
    torch.testing.assert_close(model(x), usual(x))


def test_groups_of_at_least_16_channels_and_32_groups_at_most():
    groups = {channels: group_norm(channels).num_groups for channels in (1, 6, 8, 16, 48, 64, 128, 512, 1024)}
    assert groups == {1: 1, 6: 1, 8: 1, 16: 1, 48: 1, 64: 4, 128: 8, 512: 32, 1024: 32}


# ------------------------------------------------------------------------------------------ parametrizations
@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("network", ARCHITECTURES)
def test_the_same_seed_gives_the_same_weights(network, parametrization):
    assert same(fresh(network, parametrization), fresh(network, parametrization))
    assert not same(fresh(network, parametrization), fresh(network, parametrization, seed=1))


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
@pytest.mark.parametrize("network", ARCHITECTURES)
def test_kernels_are_those_of_a_loop_of_backward_passes(network, parametrization, caplog):
    """Nothing is differentiated sample by sample, which would give a warning."""
    guards._warn_once.cache_clear()
    model, x = fresh(network, parametrization, width=3).eval(), images(3)
    with caplog.at_level(logging.WARNING):
        kernels = empirical_ntk(model, x, kernels=kernel.KINDS)
    assert not caplog.records
    for kind, expected in reference(model, x).items():
        np.testing.assert_allclose(kernels[kind], expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_weights_of_standard_are_kaimings_and_biases_zero(network):
    model = fresh(network, "standard", width=32)
    for layer in model.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            normal = layer.weight * math.sqrt(math.prod(layer.weight.shape[1:]) / 2)
            assert normal.std().item() == pytest.approx(1, abs=4 / math.sqrt(2 * normal.numel()))
            assert normal.mean().item() == pytest.approx(0, abs=4 / math.sqrt(normal.numel()))
            assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_ntk_is_the_same_function_as_standard(network):
    x = images()
    standard, scaled = fresh(network, "standard"), fresh(network, "ntk")
    torch.testing.assert_close(scaled(x), standard(x), rtol=1e-12, atol=1e-12)
    for p, q in zip(scaled.parameters(), standard.parameters(), strict=True):
        factor = math.sqrt(2 / math.prod(p.shape[1:])) if p.dim() > 1 else 1
        torch.testing.assert_close(factor * p, q, rtol=1e-12, atol=0)


def test_the_factors_of_ntk_survive_copies_and_checkpoints():
    x, model = images(), fresh("cnn", "ntk")
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    torch.testing.assert_close(
        copy.deepcopy(model).to(memory_format=torch.channels_last)(x), expected, rtol=1e-12, atol=1e-12
    )
    other = fresh("cnn", "ntk", seed=1)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(x), expected)


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_mup_at_the_base_width_is_standard(network):
    assert same(fresh(network, "mup", base_width=6), fresh(network, "standard"))
    for optimizer in ("sgd", "adam"):
        assert set(learning_rate_factors(spec(network, "mup", base_width=6), optimizer).values()) == {1}


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_mup_shrinks_the_output_weights_and_nothing_else(network):
    mup, standard = fresh(network, "mup", width=12, base_width=3), fresh(network, "standard", width=12)
    pairs = list(zip(mup.parameters(), standard.parameters(), strict=True))
    assert [(p == q).all().item() for p, q in pairs] == [True] * (len(pairs) - 2) + [False, True]
    torch.testing.assert_close(2 * pairs[-2][0], pairs[-2][1])


# ------------------------------------------------------------------------------- kernels for large widths, by theory
def mean_trace(network, parametrization, width, seeds):
    """The trace of the `trace` kernel at initialisation, each parameter's share times its learning rate's factor.

    It is the mean over the logits of their squared gradients, summed over images, which is all that is needed here.
    """
    factors = {}
    if parametrization == "mup":
        factors = learning_rate_factors(spec(network, parametrization, width, base_width=32), "sgd")
    total = 0.0
    for seed in range(seeds):
        model = fresh(network, parametrization, width, seed, base_width=32).eval()
        names, parameters = zip(*model.named_parameters(), strict=True)
        for image in images(3).split(1):
            logits = model(image)[0]
            for logit in logits:
                gradients = torch.autograd.grad(logit, parameters, retain_graph=True)
                shares = (factors.get(name, 1) * g.square().sum() for name, g in zip(names, gradients, strict=True))
                total += sum(shares).item() / len(logits) / seeds
    return total


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_the_mean_trace_is_that_of_a_kernel(parametrization):
    """At the base width, where all of mup's factors are 1."""
    model = fresh("cnn", parametrization, width=32, base_width=32).eval()
    kernels = empirical_ntk(model, images(3), kernels=["trace"])
    assert mean_trace("cnn", parametrization, 32, seeds=1) == pytest.approx(np.trace(kernels["trace"]), rel=1e-12)


@pytest.mark.parametrize("network", ["cnn", "mlp", "rnn"])
@pytest.mark.parametrize("parametrization, power", [("pytorch", 1), ("standard", 1), ("ntk", 0), ("mup", 0)])
def test_kernels_at_initialisation_grow_with_the_width_as_theory_says(network, parametrization, power):
    """They grow linearly in fan-in parametrizations, and not at all with `ntk`'s factors or `mup`'s learning rates."""
    averaged = WIDTHS[network].items()
    narrow, middle, wide = (mean_trace(network, parametrization, width, seeds) for width, seeds in averaged)
    if power:
        assert (wide - middle) / (middle - narrow) == pytest.approx(4, rel=0.2)  # a + b · width
    else:
        assert wide == pytest.approx(middle, rel=0.1)


@pytest.mark.parametrize("network", ARCHITECTURES)
def test_the_layers_of_a_network_have_names_in_its_order(network):
    names = layer_names(fresh(network))
    assert names[-1] == "head" and not any(name.isdigit() for name in names)
    if network == "cnn":
        assert names == ["conv1", "conv2", "conv3", "head"]
    if network.startswith("resnet18"):
        assert names == ["stem", "stage1", "stage2", "stage3", "stage4", "head"]


# ------------------------------------------------------------------------------- the course project's convolutions
def project(parametrization, width=6, image_size=16):
    torch.manual_seed(0)
    base = {"base_width": 3} if parametrization == "mup" else {}
    of = {"name": "cnn_bn", "width": width, "channels": 4, "parametrization": parametrization} | base
    with in_default(torch.float64):
        return of, build(of, image_size, 3).eval()


@pytest.mark.parametrize("size", [16, 19, 32])
def test_the_course_projects_network_by_hand(size):
    _, model = project("pytorch", image_size=size)
    x = y = images(3, size)
    for i in range(1, 5):
        conv, norm = (model.get_submodule(f"{name}{i}") for name in ("conv", "norm"))
        y = F.conv2d(y, conv.weight, conv.bias)
        assert conv.weight.shape[2:] == ((5, 5) if i == 1 else (3, 3))
        y = ((y - norm.running_mean[:, None, None]) / (norm.running_var[:, None, None] + 1e-5).sqrt()).clamp(min=0)
        if i == 2:
            y = F.max_pool2d(y, 2)
    assert y.shape[1:] == (4, *[(size - 6) // 2 - 4] * 2)
    y = y.flatten(1)
    for layer in (model.hidden1, model.hidden2, model.head):
        y = y @ layer.weight.T + layer.bias
        y = y if layer is model.head else y.clamp(min=0)
    torch.testing.assert_close(model(x), y)
    assert layer_names(model)[-3:] == ["hidden1", "hidden2", "head"]


@pytest.mark.parametrize("parametrization", PARAMETRIZATIONS)
def test_the_course_projects_network_has_a_kernel_and_rates_in_each_parametrization(parametrization):
    of, model = project(parametrization)
    x = images(3, 16)
    rows = [torch.autograd.grad(model(one[None]).sum(), list(model.parameters())) for one in x]
    J = torch.stack([torch.cat([part.flatten() for part in row]) for row in rows]).numpy()
    np.testing.assert_allclose(empirical_ntk(model, x, kernels=["sum"])["sum"], J @ J.T, rtol=1e-6)
    if parametrization == "mup":
        factors = learning_rate_factors(of, "sgd")
        assert factors["conv4.weight"] == 1  # neither its inputs nor its outputs grow with the width
        assert [factors[f"{name}.weight"] for name in ("hidden1", "hidden2", "head")] == [2, 1, 0.5]

"""What people write in a forward pass: views, caches outside of the network, casts, hooks, odd sizes."""

import copy
import functools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kernel_cases import assert_close, in_double
from reactivation.ntk import empirical_ntk
from sample_networks import Functional, reference


def layers(**more):
    return {"a": nn.Linear(6, 6), "b": nn.Linear(6, 6), "h": nn.Linear(6, 3), "wide": nn.Linear(12, 3), **more}


def added_rectified_and_joined(m, x):
    y = m["a"](x)
    z = F.relu_(m["b"](y) + y)
    return m["wide"](torch.cat([z, y], 1))


def nothing_beside(m, x):
    return torch.cat([m["h"](x), x @ m["none"].weight.T], 1) + m["up"](m["none"](x))


def hooked(m, x):
    z = m["a"](x)
    z.retain_grad()
    z.register_hook(lambda g: 2 * g)
    return m["h"](z)


def along_a_graph(m, x):
    return m["h"](torch.sparse.mm(torch.eye(len(x), dtype=x.dtype).to_sparse(), m["a"](x)).tanh())


@functools.lru_cache
def table(count):
    return torch.linspace(0, 1, count)


IDIOMS = {
    "a view after a convolution": lambda m, x: m["h"](
        F.max_pool2d(F.relu(m["conv"](x[:, None, None].expand(-1, -1, 6, -1))), 2).view(len(x), -1)[:, :6]
    ),
    "added, rectified in place and joined": added_rectified_and_joined,
    "largest distances": lambda m, x: m["h"](torch.cdist(m["a"](x), m["b"].weight, p=float("inf"))),
    "a spectral norm by hand": lambda m, x: m["h"](x @ (m["a"].weight / torch.linalg.matrix_norm(m["a"].weight, 2))),
    "logits in float32": lambda m, x: m["h"](m["a"](x).tanh()).float(),
    "steps in float32": lambda m, x: m["h"](m["a"](x).float().tanh().type_as(x)),
    "sparse products": along_a_graph,
    "nothing beside": nothing_beside,
    "hooks on activations": hooked,
}


def network(run):
    torch.manual_seed(0)
    more = {"conv": nn.Conv2d(1, 4, 3), "none": nn.Linear(6, 0), "up": nn.Linear(0, 3)}
    return Functional(run, **layers(**more)), torch.randn(5, 6)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", IDIOMS)
def test_what_people_write_has_its_kernel(name):
    model, x = network(IDIOMS[name])
    plain = network(lambda m, x: m["h"](m["a"](x)))[0] if name == "hooks on activations" else copy.deepcopy(model)
    if "float32" in name:
        plain.run = lambda m, x: m["h"](m["a"](x).tanh())
    expected = reference(*in_double(plain, x))
    assert_close(empirical_ntk(model, x), expected, 1e-6)
    assert_close(empirical_ntk(*in_double(model, x)), expected, 1e-12)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_cache_outside_of_the_network_stays_the_networks_own():
    table.cache_clear()
    model, x = network(lambda m, x: m["h"](m["a"](x + table(6)).tanh()))
    kernels = empirical_ntk(model, x)
    assert table(6).dtype == torch.float32
    model(x)
    assert_close(kernels, reference(*in_double(model, x)), 1e-6)


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_samples_that_are_coupled_in_the_middle_are_refused():
    def run(m, x):
        return m["h"](m["a"](torch.cat([x[:1], x[1:2] + x[2:3], x[2:]]) if len(x) > 3 else x).tanh())

    with pytest.raises(ValueError, match="could not be proved"):
        empirical_ntk(*network(run))


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_refused_network_leaves_the_random_numbers_as_they_were():
    model, x = network(lambda m, x: m["h"](m["a"](x) + torch.rand(())))
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with pytest.raises(ValueError, match="random"):
        empirical_ntk(model, x)
    assert torch.equal(torch.get_rng_state(), before)

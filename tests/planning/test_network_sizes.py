"""Sizes of networks against those that torch counts."""

import inspect
from typing import get_args

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from reactivation.errors import InputError
from reactivation.planning import network_sizes
from reactivation.study.checks import SMALLEST
from reactivation.study.schema_experiments import SECTIONS
from reactivation.study.schema_models import Model
from reactivation.training.networks import MODELS, build

VARIANTS = [
    {"name": "mlp", "depth": 1, "activation": "relu"},
    {"name": "mlp", "depth": 3, "activation": "tanh"},
    {"name": "resnet18", "norm": "group"},
]
# These variants, and every network that a config may name, with its defaults.
NETWORKS = VARIANTS + [
    form(name=form.model_fields["name"].annotation.__args__[0], width=5).model_dump(exclude={"base_width"})
    for form in SECTIONS["model"]
]


def test_no_network_is_missing():
    assert set(network_sizes.LAYERS) == set(MODELS) == {model["name"] for model in NETWORKS}


def test_a_network_that_is_missing_is_said_to_be():
    with pytest.raises(InputError, match="no layers of transformer: add them"):
        network_sizes.network({"name": "transformer", "width": 5}, 32, 10)


@pytest.mark.parametrize("image_size", [8, 13, 32])
@pytest.mark.parametrize("model", NETWORKS, ids=str)
def test_bytes_operations_and_outputs_are_those_of_the_real_network(model, image_size):
    model = model | {"width": 5, "parametrization": "pytorch"}
    image_size += SMALLEST.get(model["name"], 8) - 8
    of = network_sizes.network(model, image_size, classes=7)
    outputs = []
    with torch.device("meta"):
        built = build(model, image_size, 7)
        images = torch.empty(2, 3, image_size, image_size)  # two: batch normalization needs more than one value
    for module in built.modules():
        if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
            module.register_forward_hook(lambda _, __, output: outputs.append(output.numel() // 2))
    with FlopCounterMode(display=False) as forward:
        logits = built(images)
    with FlopCounterMode(display=False) as backward:
        logits.sum().backward()
    assert of.bytes == sum(t.numel() * t.element_size() for t in built.state_dict().values())
    assert of.forward == forward.get_total_flops() // 2
    assert of.both == (forward.get_total_flops() + backward.get_total_flops()) // 2
    assert of.outputs == sum(outputs)


@pytest.mark.parametrize("form", SECTIONS["model"], ids=lambda form: form.__name__)
def test_a_networks_own_keys_are_the_parameters_of_its_functions(form):
    """A key of the schema that a function did not take would be left out without a word."""
    (name,) = get_args(form.model_fields["name"].annotation)
    own = form.model_fields.keys() - Model.model_fields.keys() - {"name"}
    for functions in (MODELS, network_sizes.LAYERS):
        assert inspect.signature(functions[name]).parameters.keys() - {"width", "image_size", "classes"} == own

"""The optimizers, and the learning rate of each parameter."""

import inspect
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from reactivation.training.networks import growing

if TYPE_CHECKING:
    from reactivation.data import specs

Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)


def parameter_groups(
    model: nn.Module, spec: "specs.Model", optimizer: str, lr: float, weight_decay: float
) -> list[dict[str, Any]]:
    """The parameters of `model`, built from `spec`, grouped by learning rate as torch's optimizers want them.

    lr · weight_decay is the same for all groups, as in the package `mup`. Otherwise the decay in a step of SGD would
    depend on the width.
    """
    factors = learning_rate_factors(spec, optimizer) if spec["parametrization"] == "mup" else defaultdict(lambda: 1.0)
    groups = defaultdict(list)
    for name, parameter in model.named_parameters():
        groups[factors[name]].append(parameter)
    return [{"params": of, "lr": lr * by, "weight_decay": weight_decay / by} for by, of in groups.items()]


def learning_rate_factors(spec: "specs.Model", optimizer: str) -> dict[str, float]:
    """The factors by which `mup` multiplies the parameters' learning rates, by name.

    Table 3 of Yang et al. (2022, Tensor Programs V, arXiv 2203.03466), relative to a base width: r = width/base_width.
    What grows with the width tells the type of a parameter:

                                           sgd    adam
    fan_out: input weights, vectors *       r      1
    both:    hidden weights                 1     1/r
    fan_in:  output weights                1/r    1/r
    neither: the output's bias              1      1      * biases, weights and biases of normalizations

    The authors' package `mup` has the equivalent Table 8: it multiplies outputs by 1/r, and has other rates for their
    weights. Both train the same way, except that output weights decay differently by Adam with weight decay.
    """
    r = spec["width"] / spec["base_width"]
    power = {"sgd": lambda fan_out, fan_in: fan_out - fan_in, "adam": lambda fan_out, fan_in: -fan_in}[optimizer]
    return {name: r ** power(*grows) for name, grows in growing(spec).items()}


def new_optimizer(model: nn.Module, spec: "specs.Model", training: "specs.Training") -> torch.optim.Optimizer:
    """SGD, or Adam (Kingma and Ba 2015) with PyTorch's β and ε; weight decay adds to the gradient in both."""
    groups = parameter_groups(
        model, spec, training["optimizer"], lr=training["lr"], weight_decay=training["weight_decay"]
    )
    if training["optimizer"] == "adam":
        return without_compiler(torch.optim.Adam)(groups)
    return without_compiler(torch.optim.SGD)(groups, momentum=training["momentum"])


def without_compiler(optimizer: type[Optimizer]) -> type[Optimizer]:
    """The same optimizer, without importing torch's compiler, torch._dynamo: 1 s in every job, and no job compiles.

    Torch imports it only to exempt some methods from it, and to interrupt its graph around a step. An exempt method is
    kept under a name that torch/_compile.py reads; here that is the method itself.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        method = inspect.unwrap(getattr(optimizer, name))
        method.__dynamo_disable = method
    return type(optimizer.__name__, (optimizer,), {"step": torch.no_grad()(inspect.unwrap(optimizer.step))})

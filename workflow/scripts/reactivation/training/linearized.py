"""Linearised twins: a network's first-order expansion around its weights at the start of a task.

If the kernel is static, as theories of wide networks assume, both are the same function throughout training (Lee et al.
2019, arXiv 1902.06720; for sequences of tasks, Doan et al. 2021 and Bennani et al. 2020, arXiv 2006.11942).
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from reactivation.errors import InputError
from reactivation.jobs.schedule import is_linearized
from reactivation.training.evaluation import Function

if TYPE_CHECKING:
    from reactivation.data import specs


def linearized(model: nn.Module) -> Function:
    """Return the function f(x; θ₀) + ∂f(x; θ₀)/∂θ (θ − θ₀).

    θ₀ are the weights that `model` has now, θ those that it has when the function is called. Its gradient in θ is that
    of the expansion: J(θ₀) is constant. InputError if batch normalization mixes images.
    """
    if any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        raise InputError("linearized needs a network without batch normalization, which mixes images in training")
    # torch has no directional derivative of group normalization if channels are last in memory.
    grouped = any(isinstance(layer, nn.GroupNorm) for layer in model.modules())
    layout: dict[str, Any] = {"memory_format": torch.contiguous_format if grouped else torch.preserve_format}
    origin = {name: parameter.detach().clone(**layout) for name, parameter in model.named_parameters()}

    def expansion(images: Tensor) -> Tensor:
        # This is torch.func.jvp without its transforms, which take half of a step's time in a small network.
        with forward_ad.dual_level():
            weights = {
                name: forward_ad.make_dual(origin[name], parameter.to(**layout) - origin[name])
                for name, parameter in model.named_parameters()
            }
            start, change = forward_ad.unpack_dual(functional_call(model, weights, (images.to(**layout),)))
            return start + change

    return expansion


def function_of(model: nn.Module, spec: "specs.Segment") -> Function:
    """The function that the segment of `spec` trains: `model`, or its expansion around the weights that it has now."""
    return linearized(model) if is_linearized(spec) else model

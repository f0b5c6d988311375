"""Linearised twins: a network's first-order expansion around its weights at the start of a task, and how far the two part.

Where the kernel is static, as theories of wide networks take it to be, the two are the same function throughout training (Lee et
al. 2019, arXiv 1902.06720; for sequences of tasks, Doan et al. 2021 and Bennani et al. 2020, arXiv 2006.11942).
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from .errors import InputError
from .schedule import EVALUATION_BATCH, is_linearized
from .training import Function, Images


def linearized(model: nn.Module) -> Function:
    """f(x; θ₀) + ∂f(x; θ₀)/∂θ (θ − θ₀), with θ₀ the weights that `model` has now and θ those that it has when this is called.

    The gradient in θ is that of the expansion: J(θ₀) is constant. InputError if batch normalization mixes images.
    """
    if any(isinstance(layer, _BatchNorm) for layer in model.modules()):
        raise InputError("linearized needs a network whose images do not mix in training: without batch normalization")
    # torch has no directional derivative of group normalization where channels are last in memory.
    grouped = any(isinstance(layer, nn.GroupNorm) for layer in model.modules())
    layout: dict[str, Any] = {"memory_format": torch.contiguous_format if grouped else torch.preserve_format}
    origin = {name: parameter.detach().clone(**layout) for name, parameter in model.named_parameters()}

    def expansion(images: Tensor) -> Tensor:
        # What torch.func.jvp does, without the time that its transforms take: half a step of a small network.
        with forward_ad.dual_level():
            weights = {
                name: forward_ad.make_dual(origin[name], parameter.to(**layout) - origin[name])
                for name, parameter in model.named_parameters()
            }
            start, change = forward_ad.unpack_dual(functional_call(model, weights, (images.to(**layout),)))
            return start + change

    return expansion


def function_of(model: nn.Module, spec: dict[str, Any]) -> Function:
    """What the segment of `spec` trains: the network `model`, or its expansion around the weights that it has now."""
    return linearized(model) if is_linearized(spec) else model


@torch.no_grad()
def logits(function: Function, images: Images) -> Tensor:
    """Of all images: (n, classes) float32."""
    batches = (slice(start, start + EVALUATION_BATCH) for start in range(0, len(images), EVALUATION_BATCH))
    return torch.cat([function(images.batch(batch)[0]).float() for batch in batches])


def function_rows(
    model: nn.Module,
    start: dict[str, Tensor],
    checkpoints: Iterable[tuple[dict[str, Any], dict[str, Any]]],
    parts: dict[str, Images],
) -> list[dict[str, Any]]:
    """How far the network and its expansion around the weights `start` are apart, on each part's images, class by class.

    `checkpoints`: pairs of the network's and of its twin's, of the same steps. One row per checkpoint, part and class: `images`;
    `distance`, the mean of (f − f_lin)² over images and logits; `change`, that of (f − f_start)². float64 sums of float32 logits.
    """
    model.load_state_dict(start)
    model.eval()
    twin = linearized(model)
    before = {part: logits(model, images) for part, images in parts.items()}
    rows = []
    for network, linear in checkpoints:
        model.load_state_dict(linear["model"])
        expanded = {part: logits(twin, images) for part, images in parts.items()}
        model.load_state_dict(network["model"])
        for part, images in parts.items():
            now = logits(model, images).double()
            squares = [((now - other.double()) ** 2).mean(1) for other in (expanded[part], before[part])]
            for label in images.labels.unique().tolist():
                of = images.labels == label
                distance, change = (float(square[of].mean()) for square in squares)
                rows.append(
                    {
                        "step": network["step"],
                        "epoch": network["epoch"],
                        "part": part,
                        "class": label,
                        "images": int(of.sum()),
                        "distance": distance,
                        "change": change,
                    }
                )
    return rows

"""The empirical neural tangent kernel Θ(x_i, x_j) = ∇f(x_i)ᵀ ∇f(x_j) of a network's logits."""

from collections.abc import Collection

import numpy as np
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

COLUMNS = 1 << 16  # of a Jacobian, multiplied in one float32 product; sums over products are float64


def empirical_ntk(
    model: nn.Module, x: torch.Tensor, *, kernels: Collection[str] = ("sum", "trace"), chunk: int = 32
) -> dict[str, np.ndarray]:
    """Kernels of `model` on images `x` (n, …), each (n, n) float64 and exactly symmetric.

    `sum`: of the gradient of the summed logits, unnormalised. `trace`: the mean over the C outputs of the kernels
    of each. Gradients are taken one output at a time, `chunk` images at once: memory is that of n gradients (2 n
    for `sum` beside `trace`), never of n·C.
    """
    refuse_coupled_samples(model)
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    buffers = dict(model.named_buffers())

    def logit(parameters, image, weights):
        return functional_call(model, (parameters, buffers), (image[None],))[0] @ weights

    gradients = vmap(grad(logit), in_dims=(None, 0, None), chunk_size=chunk)
    with torch.no_grad():
        classes = model(x[:1]).shape[1]
    of_x = {"dtype": x.dtype, "device": x.device}
    outputs = torch.eye(classes, **of_x) if "trace" in kernels else torch.ones(1, classes, **of_x)
    trace = torch.zeros(len(x), len(x), dtype=torch.float64, device=x.device)
    summed: dict[str, torch.Tensor] = {}
    for weights in outputs:
        for name, g in gradients(parameters, x, weights).items():
            g = g.flatten(1)
            if "trace" in kernels:
                trace += gram(g)
            if "sum" in kernels:
                summed[name] = g if name not in summed else summed[name] + g
    result = {"trace": trace / classes} if "trace" in kernels else {}
    if "sum" in kernels:
        result["sum"] = sum(gram(g) for g in summed.values())
    return {kind: result[kind].cpu().numpy() for kind in kernels}


def gram(g: torch.Tensor) -> torch.Tensor:
    """g gᵀ of g (n, p), exactly symmetric, float64."""
    total = sum((block @ block.T).double() for block in g.split(COLUMNS, dim=1))
    return (total + total.T) / 2


def refuse_coupled_samples(model: nn.Module) -> None:
    """In training mode batch norm mixes the samples: f(x_i) has no gradient of its own. Dropout is noise."""
    for name, module in model.named_modules():
        coupling = isinstance(module, nn.modules.batchnorm._BatchNorm | nn.modules.dropout._DropoutNd)
        if coupling and module.training:
            raise ValueError(f"{name} ({type(module).__name__}) is in training mode: call model.eval() first")

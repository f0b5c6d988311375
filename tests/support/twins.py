"""Networks to linearise, and a step away from their weights."""

import torch

from reactivation.training.networks import build


def network(width=6, seed=0, **spec):
    torch.manual_seed(seed)
    return build({"width": width, "parametrization": "pytorch", **spec}, 8, 4).eval()


def move(model, scale, seed=1):
    """Add `scale` times a fixed random direction to the weights."""
    drawn = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += scale * torch.randn(p.shape, generator=drawn, dtype=p.dtype)

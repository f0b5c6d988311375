"""Tests: how well a network, or its expansion, does on the test images, class by class."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from reactivation.data.images import Images
from reactivation.jobs.schedule import EVALUATION_BATCH

if TYPE_CHECKING:
    from reactivation.data import specs

Function = Callable[[torch.Tensor], torch.Tensor]  # images to logits


def logits_of(function: Function, images: torch.Tensor, precision: str) -> torch.Tensor:
    """Logits (n, classes) float32, from products in `precision`."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return function(images).float()


@torch.no_grad()  # not inference_mode, which has no directional derivatives
def evaluate(
    function: Function,
    test: Images,
    classes: list[int],
    precision: str,
    step: int,
    epoch: float,
    between: Callable[[], None] = lambda: None,
) -> list[dict]:
    """One row per class: number of test images, share classified right, mean cross-entropy.

    The network of `function` must be in eval mode. `between()` is called after each batch.
    """
    size = max(classes) + 1
    sums = torch.zeros(3, size, dtype=torch.float64, device=test.labels.device)
    for start in range(0, len(test), EVALUATION_BATCH):
        images, labels = test.batch(slice(start, start + EVALUATION_BATCH))
        logits = logits_of(function, images, precision)
        loss = F.cross_entropy(logits, labels, reduction="none")
        right = (logits.argmax(1) == labels).double()
        sums.index_add_(1, labels, torch.stack([torch.ones_like(right), right, loss.double()]))
        between()
    count, right, loss = sums.cpu().numpy()
    return [
        {
            "step": step,
            "epoch": epoch,
            "class": c,
            "images": int(count[c]),
            "test_accuracy": float(right[c] / count[c]),
            "test_loss": float(loss[c] / count[c]),
        }
        for c in classes
    ]


def accuracy(rows: list[dict], task: "specs.Task") -> float:
    """Share of the test images classified right, from the rows of `evaluate`, with classes weighted as in `task`."""
    weight = dict(zip(task["classes"], task["weights"], strict=True))
    images = {row["class"]: row["images"] * weight.get(row["class"], 0) for row in rows}
    return sum(images[row["class"]] * row["test_accuracy"] for row in rows) / sum(images.values())

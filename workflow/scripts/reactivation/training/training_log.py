"""The log of a training: a row for each epoch, and lines for a person who follows it."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from reactivation.training.evaluation import accuracy
from reactivation.training.resume import Trained

if TYPE_CHECKING:
    from reactivation.data import specs


TELL_EVERY = 10  # seconds between two lines within an epoch, at least: a GPU waits while the loss is read


def log_row(
    spec: "specs.Segment", evaluation: list[dict], loss: float, images: int, seconds: float
) -> dict[str, float]:
    """The log's row of an epoch, with the columns `log_columns`; `evaluation`: the rows of its test."""
    at = {key: evaluation[0][key] for key in ("step", "epoch")}
    accuracies = {f"test_accuracy_task{k}": accuracy(evaluation, of) for k, of in enumerate(spec["tasks"], start=1)}
    speed = {"seconds": round(seconds, 3), "images_per_second": round(images / seconds, 1)}
    return {**at, "learning_rate": spec["training"]["lr"], "train_loss": loss, **accuracies, **speed}


def log_columns(task: int) -> list[str]:
    """The columns of the log of a run's `task`-th segment."""
    accuracies = [f"test_accuracy_task{k}" for k in range(1, task + 1)]
    return ["step", "epoch", "learning_rate", "train_loss", *accuracies, "seconds", "images_per_second"]


def mean_loss(losses: list[torch.Tensor], images: int, batch_size: int) -> float:
    """The mean loss over an epoch's images, from the means over its batches, of which the last may be smaller."""
    sizes = torch.full((len(losses),), float(batch_size), dtype=torch.float64)
    sizes[-1] = images - batch_size * (len(losses) - 1)
    return float(torch.stack(losses).double().cpu() @ sizes / images)


def teller(now: Trained, epochs: int, images: int, batch_size: int) -> Callable[..., None]:
    """Return a function that prints how far training has come, for a person who follows the log.

    Call it after each step with the epoch's seconds so far: it prints only if it has not done so for TELL_EVERY. At an
    epoch's end, pass the epoch's row of the log too: then it always prints.
    """
    told = time.perf_counter()
    began, before = told - now.seconds, now.step - len(now.losses)
    steps_per_epoch = -(-images // batch_size)

    def tell(seconds: float, row: dict[str, Any] | None = None) -> None:
        nonlocal told
        at = time.perf_counter()
        if row is None and at - told < TELL_EVERY:
            return
        told, scores = at, ""
        left = (at - began) / (now.step - before) * (epochs * steps_per_epoch - now.step)
        if row is None:
            loss = float(torch.stack(now.losses).mean())
            speed = min(len(now.losses) * batch_size, images) / seconds
        else:
            loss, speed = row["train_loss"], row["images_per_second"]
            accuracies = (f"{value:.3f}" for key, value in row.items() if key.startswith("test_accuracy"))
            scores = f"  test accuracy by task {' '.join(accuracies)}"
        epoch = round(now.step / steps_per_epoch, 2)
        print(
            f"epoch {epoch:g}/{epochs}  loss {loss:.4f}  {speed:,.0f} images/s  "
            f"{timedelta(seconds=int(left))} left{scores}",
            flush=True,
        )

    return tell

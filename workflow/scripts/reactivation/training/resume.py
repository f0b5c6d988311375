"""What a training needs to go on where a killed job left it, to the same bits on a CPU."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from reactivation.jobs.state import Saved


@dataclass
class Trained:
    """How far training has come: all of its state but the network's and the optimizer's."""

    shuffle: torch.Tensor  # where the generator of batches stood before the epoch in progress
    log: list[dict] = field(default_factory=list)  # one row per epoch, for people
    evaluation: list[dict] = field(default_factory=list)  # one row per test and class, as `evaluate` returns them
    step: int = 0  # of this segment
    losses: list[torch.Tensor] = field(default_factory=list)  # of the epoch's steps so far
    seconds: float = 0.0  # that the epoch has taken so far
    diverged: int | None = None  # the first step whose loss, or after which a weight, is not finite


class Sitting:
    """One job's part of a training that an earlier job may have begun: where it stands, and when its state is saved.

    Without `saved`, nothing is saved or restored.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, shuffle: torch.Generator, saved: Saved | None
    ):
        self.model, self.optimizer, self.shuffle, self.saved = model, optimizer, shuffle, saved
        found = saved and saved.found
        self.now = restored(found, model, optimizer) if found else Trained(shuffle.get_state())
        shuffle.set_state(self.now.shuffle)
        self.began = time.perf_counter() - self.now.seconds  # the epoch in progress

    def epochs_left(self, epochs: int, steps_per_epoch: int) -> Iterator[int]:
        """The epoch in progress, from 1, and those after it."""
        # The epoch in progress may have all its steps and lack only its test.
        for epoch in range(max(1, -(-self.now.step // steps_per_epoch)), epochs + 1):
            self.now.shuffle = self.shuffle.get_state()
            yield epoch
            self.now.losses, self.began = [], time.perf_counter()

    def batches_left(self, images: int, batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
        """Indices of the images of each batch that the epoch in progress still has, in its random order."""
        order = torch.randperm(images, generator=self.shuffle).to(device)
        yield from order.split(batch_size)[len(self.now.losses) :]

    def tick(self) -> None:
        """Save the state, where that is due and training has not diverged."""
        if self.saved and self.saved.due() and sound(self.now, self.model):
            self.now.seconds = self.seconds()
            self.saved.write(state(self.now, self.model, self.optimizer))

    def seconds(self) -> float:
        """How long the epoch in progress has trained."""
        return time.perf_counter() - self.began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What takes place meanwhile does not count as time of the epoch."""
        at = time.perf_counter()
        yield
        self.began += time.perf_counter() - at


def sound(now: Trained, model: nn.Module) -> bool:
    """Whether losses and weights are finite so far; otherwise notes the step at which they ceased to be.

    Asked now and then only: a GPU would wait for the answer after each step.
    """
    if now.losses and not (finite := torch.stack(now.losses).isfinite()).all():
        now.diverged = now.step - len(now.losses) + int(finite.int().argmin()) + 1
    elif not all(p.isfinite().all() for p in model.state_dict().values()):
        now.diverged = now.step
    return now.diverged is None


def state(now: Trained, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """All that training goes on from."""
    return vars(now) | {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": _random_states()}


def restored(found: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> Trained:
    """Puts network, optimizer and random generators into the state `found`."""
    model.load_state_dict(found.pop("model"))
    optimizer.load_state_dict(found.pop("optimizer"))
    device = next(model.parameters()).device
    cpu, *gpus = found.pop("random")
    torch.set_rng_state(cpu)
    if gpus and device.type == "cuda":
        torch.cuda.set_rng_state(gpus[0], device)
    found["losses"] = [loss.to(device) for loss in found["losses"]]
    print(f"going on after step {found['step']}, which was saved", flush=True)
    return Trained(**found)


def _random_states() -> list[torch.Tensor]:
    """Of torch's generators, which networks with dropout draw from."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]

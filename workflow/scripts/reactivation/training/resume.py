"""How a training goes on where a killed job left it, bit-identically on a CPU."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from reactivation.jobs.state import Saved
from reactivation.training.epoch import Epoch


@dataclass
class Trained:
    """How far training has come: all of its state except the network's and the optimizer's."""

    shuffle: torch.Tensor  # state of the batches' generator before the epoch in progress
    log: list[dict] = field(default_factory=list)  # one row per epoch, for people
    evaluation: list[dict] = field(default_factory=list)  # one row per test and class, as `evaluate` returns them
    step: int = 0  # steps of this segment so far
    losses: list[torch.Tensor] = field(default_factory=list)  # one per step of the epoch so far
    seconds: float = 0.0  # spent in this epoch
    diverged: int | None = None  # first step whose loss, or weights after it, are not finite


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
        self.began = time.perf_counter() - self.now.seconds  # start of the epoch in progress

    def epochs_left(self, epochs: int, steps_per_epoch: int) -> Iterator[int]:
        """Yield the epoch in progress, counted from 1, and those after it."""
        # The epoch in progress may have all its steps and lack only its test.
        for epoch in range(max(1, -(-self.now.step // steps_per_epoch)), epochs + 1):
            self.now.shuffle = self.shuffle.get_state()
            yield epoch
            self.now.losses, self.began = [], time.perf_counter()

    def batches_left(self, epoch: Epoch, batch_size: int, device: torch.device) -> Iterator[torch.Tensor]:
        """Yield the indices of the images of each batch left in the epoch in progress, in its random order."""
        order = epoch.order(self.shuffle).to(device)
        yield from order.split(batch_size)[len(self.now.losses) :]

    def tick(self) -> None:
        """Save the state if that is due and training has not diverged."""
        if self.saved and self.saved.due() and sound(self.now, self.model):
            self.now.seconds = self.seconds()
            self.saved.write(state(self.now, self.model, self.optimizer))

    def seconds(self) -> float:
        """Seconds that the epoch in progress has trained."""
        return time.perf_counter() - self.began

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Do not count the time spent inside as the epoch's."""
        at = time.perf_counter()
        yield
        self.began += time.perf_counter() - at


def sound(now: Trained, model: nn.Module) -> bool:
    """Whether losses and weights are finite so far; if not, record in `now` the step at which they ceased to be.

    Called only now and then: after each step, a GPU would have to wait for the answer.
    """
    if now.losses and not (finite := torch.stack(now.losses).isfinite()).all():
        now.diverged = now.step - len(now.losses) + int(finite.int().argmin()) + 1
    elif not all(p.isfinite().all() for p in model.state_dict().values()):
        now.diverged = now.step
    return now.diverged is None


def state(now: Trained, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Everything from which training can go on."""
    return vars(now) | {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "random": _random_states()}


def restored(found: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> Trained:
    """Put network, optimizer and random generators into the state `found`; return the rest of the state."""
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
    """States of torch's generators, from which networks with dropout draw."""
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else [])]

"""Training one segment: one task, from an initialisation or from the parent segment's final weights."""

import copy
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .errors import InputError, one_line
from .models import parameter_groups
from .schedule import EVALUATION_BATCH, checkpoint_steps
from .seeds import stream
from .state import Saved

TELL_EVERY = 10  # seconds at least between two lines on an epoch: for its loss, a GPU waits
Optimizer = TypeVar("Optimizer", bound=torch.optim.Optimizer)
Function = Callable[[torch.Tensor], torch.Tensor]  # images to logits


@dataclass
class Images:
    """Images that stay on the device as bytes, a quarter of their size as floats, and are normalised batch by batch."""

    pixels: torch.Tensor  # (N, H, W, 3) uint8
    labels: torch.Tensor  # (N,) int64
    scale: torch.Tensor  # (3,): what a byte is multiplied by, 1 / (255 std)
    shift: torch.Tensor  # (3,): what is then added, -mean / std

    @classmethod
    def on(cls, device: torch.device, pixels: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray):
        """`mean` and `std` (3,) of the channels, in [0, 1]."""
        scale, shift = 1 / (255 * std), -mean / std
        tensors = map(torch.from_numpy, (pixels, labels, scale.astype(np.float32), shift.astype(np.float32)))
        return cls(*(tensor.to(device) for tensor in tensors))

    def batch(self, indices: torch.Tensor | slice) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images (n, 3, H, W) float32, channels last in memory, and their labels."""
        pixels = torch.addcmul(self.shift, self.pixels[indices].float(), self.scale)
        return pixels.permute(0, 3, 1, 2), self.labels[indices]

    def __len__(self) -> int:
        return len(self.labels)


def set_up_device(name: str, threads: int) -> torch.device:
    """The device that `auto`, `cpu` or `cuda` means here; on CPU with `threads` threads and deterministic operations.

    Products of float32 are exact: see `allow_tf32`.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("device is cuda, but torch sees no GPU here: set device: cpu or auto")
    device = torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
    torch.set_num_threads(threads)
    allow_tf32(False)
    # Not use_deterministic_algorithms, which is the same but for importing torch's compiler, for 0.7 s.
    torch.set_deterministic_debug_mode("error" if device.type == "cpu" else "default")
    return device


def allow_tf32(allowed: bool) -> None:
    """Whether a GPU may round the factors of products of float32 to 11 significant bits; torch's convolutions may, by default."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed


def keep_freed_memory() -> None:
    """Let the C library keep memory that is freed, for the next step.

    It would hand the activations of each step back to the system, which clears every page before it gives it again: up to
    half of a step's time on a CPU. The price is that the process holds its peak until it ends. Libraries other than glibc have
    no such switch.
    """
    import ctypes

    if mallopt := getattr(ctypes.CDLL(None), "mallopt", None):
        trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD, M_MMAP_MAX of malloc.h
        mallopt(trim_threshold, 2**31 - 1)
        mallopt(mmap_max, 0)


def device_name(device: torch.device) -> str:
    """What a result says of the device it was computed on."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def new_optimizer(model: nn.Module, spec: dict[str, Any]) -> torch.optim.Optimizer:
    """SGD, or Adam (Kingma and Ba 2015) with PyTorch's β and ε; weight decay adds to the gradient in both."""
    training = spec["training"]
    groups = parameter_groups(
        model, spec["model"], training["optimizer"], lr=training["lr"], weight_decay=training["weight_decay"]
    )
    if training["optimizer"] == "adam":
        return without_compiler(torch.optim.Adam)(groups)
    return without_compiler(torch.optim.SGD)(groups, momentum=training["momentum"])


def without_compiler(optimizer: type[Optimizer]) -> type[Optimizer]:
    """The same optimizer, without importing torch's compiler, torch._dynamo: 1 s in every job, and no job compiles.

    Torch imports it only to tell it to leave some methods alone, and to interrupt its graph around a step. What came of
    the former it keeps under a name that torch/_compile.py reads: here, the method as it is.
    """
    for name in ("add_param_group", "zero_grad", "state_dict", "load_state_dict"):
        method = inspect.unwrap(getattr(optimizer, name))
        method.__dynamo_disable = method
    return type(optimizer.__name__, (optimizer,), {"step": torch.no_grad()(inspect.unwrap(optimizer.step))})


def refuse_lone_image(model: nn.Module, train: Images, batch_size: int) -> None:
    """InputError if an epoch's last batch is one image and the network normalizes single pixels over the batch."""
    if len(train) % batch_size != 1 % batch_size:
        return
    try:
        copy.deepcopy(model).train()(train.batch(slice(0, 1))[0])
    except ValueError as error:
        raise InputError(
            f"{len(train)} images in batches of {batch_size} leave one alone, which the network cannot train on "
            f"({one_line(error)}): choose another batch_size, or norm: group"
        ) from error


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


def train_segment(
    model: nn.Module,
    train: Images,
    test: Images,
    spec: dict[str, Any],
    start: tuple[int, float],
    save: Callable[[nn.Module, int, float], None],
    saved: Saved | None = None,
    function: Function | None = None,
) -> Trained:
    """Train `model` in place on the last task of `spec`, a segment's spec, on the cross-entropy, until it diverges.

    `start`: optimizer steps and epochs before this segment. `save(model, step, epoch)` keeps a checkpoint; steps
    and epochs count from the run's initialisation. With `saved`, the state is saved now and then, and training goes on from
    what is found there, on a CPU to the same bits. `function`: from images to logits by the weights of `model`, if it is not
    `model` itself. Tests are at the end of each epoch and at each checkpoint.
    """
    function = function or model
    first_step, first_epoch = start
    task, classes = len(spec["tasks"]), spec["images"]["classes"]
    epochs, batch_size, precision = spec["epochs"][-1], spec["training"]["batch_size"], spec["training"]["precision"]
    refuse_lone_image(model, train, batch_size)
    steps_per_epoch = -(-len(train) // batch_size)
    due = checkpoint_steps(steps_per_epoch, epochs, **spec["checkpoints"])
    shuffle = torch.Generator().manual_seed(stream(spec["seed"], "batches", task))
    optimizer = new_optimizer(model, spec)  # for each task
    found = saved and saved.found
    now = restored(found, model, optimizer) if found else Trained(shuffle.get_state())
    shuffle.set_state(now.shuffle)
    epoch_began = time.perf_counter() - now.seconds
    tell = teller(now, epochs, len(train), batch_size)

    def tick() -> None:
        if saved and saved.due() and sound(now, model):
            now.seconds = time.perf_counter() - epoch_began
            saved.write(state(now, model, optimizer))

    def try_out(epoch: float) -> list[dict]:
        model.eval()
        at: dict[str, Any] = {"step": first_step + now.step, "epoch": epoch}
        now.evaluation += evaluate(function, test, classes, precision, **at, between=tick)
        return now.evaluation[-len(classes) :]

    def untested() -> bool:
        return not now.evaluation or now.evaluation[-1]["step"] < first_step + now.step

    if task == 1 and not now.evaluation:
        save(model, 0, 0.0)
        try_out(0.0)
    # The epoch in progress may lack no step but its evaluation.
    first = max(1, -(-now.step // steps_per_epoch))
    for epoch in range(first, epochs + 1):
        now.shuffle = shuffle.get_state()
        order = torch.randperm(len(train), generator=shuffle).to(train.labels.device)
        model.train()
        for indices in order.split(batch_size)[len(now.losses) :]:
            # Before the next step, not after its own: a state that is saved meanwhile lacks nothing but this.
            if now.losses and now.step in due and untested():
                began = time.perf_counter()
                try_out(first_epoch + now.step / steps_per_epoch)
                epoch_began += time.perf_counter() - began
                model.train()
            now.losses.append(step_on(function, optimizer, *train.batch(indices), precision))
            now.step += 1
            if now.step in due and sound(now, model):
                save(model, first_step + now.step, first_epoch + now.step / steps_per_epoch)
            tick()
            if now.diverged is not None:
                return now
            tell(time.perf_counter() - epoch_began)
        if not sound(now, model):
            return now
        seconds = time.perf_counter() - epoch_began
        rows, loss = try_out(first_epoch + epoch), mean_loss(now.losses, len(train), batch_size)
        now.log.append(log_row(spec, rows, loss, len(train), seconds))
        tell(seconds, now.log[-1])
        now.losses, epoch_began = [], time.perf_counter()
    return now


def logits_of(function: Function, images: torch.Tensor, precision: str) -> torch.Tensor:
    """Logits (n, classes) float32, from products in `precision`."""
    with torch.autocast(images.device.type, torch.bfloat16, enabled=precision == "bf16"):
        return function(images).float()


def step_on(
    function: Function, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, precision: str
) -> torch.Tensor:
    """One optimizer step on a batch; returns the loss before it."""
    loss = F.cross_entropy(logits_of(function, images, precision), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def log_row(spec: dict[str, Any], evaluation: list[dict], loss: float, images: int, seconds: float) -> dict[str, float]:
    """Of an epoch, from its test: what `log_columns` names."""
    at = {key: evaluation[0][key] for key in ("step", "epoch")}
    accuracies = {f"test_accuracy_task{k}": accuracy(evaluation, of) for k, of in enumerate(spec["tasks"], start=1)}
    speed = {"seconds": round(seconds, 3), "images_per_second": round(images / seconds, 1)}
    return {**at, "learning_rate": spec["training"]["lr"], "train_loss": loss, **accuracies, **speed}


def log_columns(task: int) -> list[str]:
    """Of the log of a run's `task`-th segment."""
    accuracies = [f"test_accuracy_task{k}" for k in range(1, task + 1)]
    return ["step", "epoch", "learning_rate", "train_loss", *accuracies, "seconds", "images_per_second"]


def sound(now: Trained, model: nn.Module) -> bool:
    """Whether losses and weights are finite so far; otherwise notes the step at which they ceased to be.

    Asked now and then only: a GPU would wait for the answer after each step.
    """
    if now.losses and not (finite := torch.stack(now.losses).isfinite()).all():
        now.diverged = now.step - len(now.losses) + int(finite.int().argmin()) + 1
    elif not all(p.isfinite().all() for p in model.state_dict().values()):
        now.diverged = now.step
    return now.diverged is None


def mean_loss(losses: list[torch.Tensor], images: int, batch_size: int) -> float:
    """Over the images of an epoch, from the means over its batches, of which the last may be smaller."""
    sizes = torch.full((len(losses),), float(batch_size), dtype=torch.float64)
    sizes[-1] = images - batch_size * (len(losses) - 1)
    return float(torch.stack(losses).double().cpu() @ sizes / images)


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


@torch.no_grad()  # not inference_mode, in which there are no directional derivatives
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

    `function`: of a network in eval mode. `between()` is called after each batch.
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


def accuracy(rows: list[dict], task: dict[str, Any]) -> float:
    """Share of the test images classified right, from the rows of `evaluate`, with classes as often as in `task`."""
    weight = dict(zip(task["classes"], task["weights"], strict=True))
    images = {row["class"]: row["images"] * weight.get(row["class"], 0) for row in rows}
    return sum(images[row["class"]] * row["test_accuracy"] for row in rows) / sum(images.values())


def teller(now: Trained, epochs: int, images: int, batch_size: int) -> Callable[..., None]:
    """A function that prints how far training is, for a person who follows the log, what matters most first.

    It is called after each step with the epoch's seconds so far, and prints only where nothing has been for TELL_EVERY; at an
    epoch's end with its row of the log, too.
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
            f"epoch {epoch:g}/{epochs}  loss {loss:.4f}  {speed:,.0f} images/s  {timedelta(seconds=int(left))} left{scores}",
            flush=True,
        )

    return tell

"""The training loop: one task, from an initialisation or from the final weights of the segment before.

The loop is `train_segment`, top to bottom. Going on after a kill is in resume.py, tests are in evaluation.py.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional as F

from reactivation.data.images import Images
from reactivation.errors import InputError, one_line
from reactivation.jobs.schedule import checkpoint_steps, enough_steps
from reactivation.jobs.state import Saved
from reactivation.seeds import stream
from reactivation.training.epoch import Epoch
from reactivation.training.evaluation import Function, evaluate, logits_of
from reactivation.training.optimizer import new_optimizer
from reactivation.training.resume import Sitting, Trained, sound
from reactivation.training.training_log import log_row, mean_loss, teller

if TYPE_CHECKING:
    from reactivation.data import specs


def train_segment(
    model: nn.Module,
    train: Images,
    test: Images,
    spec: "specs.Segment",
    start: tuple[int, float],
    save: Callable[[nn.Module, int, float], None],
    saved: Saved | None = None,
    function: Function | None = None,
    first: int | None = None,
    of_epoch: Epoch | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Trained:
    """Minimise cross-entropy on the last task of `spec`, to its last epoch or until training diverges.

    `model` is trained in place. `start`: optimizer steps and epochs before this segment. `save(model, step, epoch)`
    keeps a checkpoint; steps and epochs count from the run's initialisation. With `saved`, the state is saved now and
    then, and training goes on from the state found there, bit-identically on a CPU. `function` maps images to logits by
    the weights of `model`, and is `model` itself if not given. Tests take place at initialisation, at the end of each
    epoch and at each checkpoint. With `first`, training stops early, when there are as many checkpoints to compare.
    `of_epoch`: which images of `train` an epoch takes, if not all. `optimizer`: a new one, or one whose state goes on.
    """
    function, of_epoch = function or model, of_epoch or Epoch(len(train))
    task, epochs, training = len(spec["tasks"]), spec["epochs"][-1], spec["training"]
    batch_size, precision = training["batch_size"], training["precision"]
    refuse_lone_image(model, train, len(of_epoch), batch_size)
    steps_per_epoch = -(-len(of_epoch) // batch_size)
    checkpoints = checkpoint_steps(steps_per_epoch, epochs, **spec["checkpoints"])
    at = partial(moment, start, steps_per_epoch)
    stop = enough_steps(checkpoints, steps_per_epoch, first) if first else None  # None too if that is the last

    optimizer = optimizer or new_optimizer(model, spec["model"], training)
    shuffle = torch.Generator().manual_seed(stream(spec["seed"], "batches", task))
    sitting = Sitting(model, optimizer, shuffle, saved)
    now, tell = sitting.now, teller(sitting.now, epochs, len(of_epoch), batch_size)
    evaluate_at = partial(evaluate, function, test, spec["images"]["classes"], precision, between=sitting.tick)
    take_test = partial(record_test, model, now, evaluate_at)

    if task == 1 and not now.evaluation:
        save(model, *at(0))
        take_test(at(0))
    for _ in sitting.epochs_left(epochs, steps_per_epoch):
        model.train()
        for indices in sitting.batches_left(of_epoch, batch_size, train.labels.device):
            # Checkpoints are tested before the next step, so a state saved at a checkpoint lacks only its test.
            if now.losses and now.step in checkpoints and not tested(now, at(now.step)):
                with sitting.paused():
                    take_test(at(now.step))
                    model.train()
            now.losses.append(step_on(function, optimizer, *train.batch(indices), precision))
            now.step += 1
            if now.step in checkpoints and sound(now, model):
                save(model, *at(now.step))
            sitting.tick()
            if now.diverged is not None or now.step == stop:
                return now
            tell(sitting.seconds())
        if not sound(now, model):
            return now
        seconds, rows = sitting.seconds(), take_test(at(now.step))
        now.log.append(log_row(spec, rows, mean_loss(now.losses, len(of_epoch), batch_size), len(of_epoch), seconds))
        tell(seconds, now.log[-1])
    return now


def moment(start: tuple[int, float], steps_per_epoch: int, step: int) -> tuple[int, float]:
    """Steps and epochs of the run after `step` steps of a segment that starts at `start`."""
    return start[0] + step, start[1] + step / steps_per_epoch


def record_test(
    model: nn.Module, now: Trained, evaluate_at: Callable[[int, float], list[dict]], at: tuple[int, float]
) -> list[dict]:
    """Test the weights that `model` has now, at the step and epoch `at`; return the rows that this adds to `now`."""
    model.eval()
    rows = evaluate_at(*at)
    now.evaluation += rows
    return rows


def tested(now: Trained, at: tuple[int, float]) -> bool:
    """Whether the last test was at the step and epoch `at`."""
    return bool(now.evaluation) and now.evaluation[-1]["step"] == at[0]


def step_on(
    function: Function, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor, precision: str
) -> torch.Tensor:
    """One optimizer step on a batch; returns the loss before it."""
    loss = F.cross_entropy(logits_of(function, images, precision), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return loss.detach()


def refuse_lone_image(model: nn.Module, train: Images, images: int, batch_size: int) -> None:
    """Raise InputError if an epoch's last batch is one image and the network normalizes single pixels over batches.

    `images`: how many of `train` an epoch takes.
    """
    if images % batch_size != 1 % batch_size:
        return
    try:
        copy.deepcopy(model).train()(train.batch(slice(0, 1))[0])
    except ValueError as error:
        raise InputError(
            f"{images} images in batches of {batch_size} leave one alone, which the network cannot train on "
            f"({one_line(error)}): choose another batch_size, or a network without batch normalization"
        ) from error

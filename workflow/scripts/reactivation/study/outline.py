"""What an experiment's runs will have, before they are there: what the config says of a training, a file of its kernels."""

import itertools
import operator
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from reactivation.errors import InputError
from reactivation.study.grid import Variants
from reactivation.study.scenarios import tasks
from reactivation.study.schema_experiments import Experiment, Imported
from reactivation.study.values import Kernel


@dataclass(frozen=True)
class Outline:
    """Of the runs of one combination of a grid; of files, of one run."""

    kernels: list[str]
    epochs: list[float]  # of each task
    parts: list[int]  # the tasks that have a part of the probe of their own
    held_out: bool  # whether the probe has held-out images
    tested: bool  # whether there are test metrics, and similarities of tasks
    dynamics: str = "network"  # what is trained, or was


Outlines = list[tuple[dict[str, Any], Outline]]  # beside the values of axes


def outlines(combinations: Variants, seeds: list[int], data_root: str) -> Outlines:
    """Of every combination of an experiment's grid; InputError where a file of kernels is not as it should be."""
    return [
        (axes, outline)
        for axes, form in combinations
        for outline in (
            [_of_training(form)]
            if isinstance(form, Experiment)
            else [of_file(kernel_file(form, axes, seed, data_root)) for seed in run_seeds(form, seeds)]
        )
    ]


def _of_training(form: Experiment) -> Outline:
    sequence = tasks(form.scenario)
    # Of the probe, a task has the classes that it is the first to bring.
    classes = [set(task.classes) for task in sequence]
    earlier = itertools.accumulate(classes, operator.or_, initial=set[int]())
    return Outline(
        kernels=list(form.kernels),
        epochs=[task.epochs or form.training.epochs for task in sequence],
        parts=[k for k, (its, known) in enumerate(zip(classes, earlier, strict=False), start=1) if its - known],
        held_out=form.probe.held_out > 0,
        tested=True,
        dynamics=form.training.dynamics,
    )


def of_file(path: str) -> Outline:
    """Of the run whose kernels are in the file; InputError where it is not as it should be."""
    if Path(path).resolve().is_relative_to(Path("results").resolve()):
        raise InputError(
            f"{path} is in results/, which the workflow makes and prunes: copy it elsewhere, such as to data/"
        )
    from reactivation.storage.imported import structure

    return Outline(**structure(path, get_args(Kernel)), tested=False)


def placeholders(form: Imported) -> list[str]:
    """What stands in braces in the path."""
    return re.findall(r"\{(.*?)\}", form.kernels.path)


def kernel_file(form: Imported, axes: dict[str, Any], seed: int, data_root: str) -> str:
    """The file of one run."""
    values = axes | {"seed": seed}
    path = re.sub(r"\{(.*?)\}", lambda found: str(values[found[1]]), form.kernels.path)
    return str(Path(data_root).expanduser() / Path(path).expanduser())


def run_seeds(form: Experiment | Imported, seeds: list[int]) -> list[int]:
    """The seeds of an experiment's runs: the first alone where all would read the same file."""
    return seeds[:1] if isinstance(form, Imported) and "seed" not in placeholders(form) else seeds

"""What the runs of an experiment will have, known in advance: from the config, or from files of kernels."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from reactivation.errors import InputError
from reactivation.storage.files import is_own_path
from reactivation.study.grid import Variants
from reactivation.study.scenarios import brought, tasks, universe
from reactivation.study.schema_experiments import Experiment, Imported
from reactivation.study.values import Kernel


@dataclass(frozen=True)
class Outline:
    """What the runs of one combination of a grid have; for files of kernels, what one run has."""

    kernels: list[str]
    epochs: list[float]  # epochs of each task
    parts: list[int]  # numbers of the tasks that have a part of the probe
    held_out: bool  # whether the probe has held-out images
    tested: bool  # whether there are test metrics, and similarities of tasks
    steps: bool = True  # whether it is known after how many steps each checkpoint was
    dynamics: str = "network"  # network or linearized


Outlines = list[tuple[dict[str, Any], Outline]]  # with the values of axes


def outlines(combinations: Variants, seeds: list[int], data_root: str) -> Outlines:
    """The outlines of every combination of an experiment's grid. InputError if a file of kernels is invalid."""
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
    probed = set(probe_classes(form))
    return Outline(
        kernels=list(form.kernels),
        epochs=[task.epochs or form.training.epochs for task in sequence],
        parts=[k for k, classes in enumerate(brought(sequence), start=1) if probed.intersection(classes)],
        held_out=form.probe.held_out > 0,
        tested=True,
        dynamics=form.training.dynamics,
    )


def probe_classes(form: Experiment) -> list[int]:
    """The classes of the probe's images, sorted."""
    if form.probe.tasks is None:
        return universe(form.scenario)
    return sorted({c for k, task in enumerate(tasks(form.scenario), 1) if k in form.probe.tasks for c in task.classes})


def of_file(path: str) -> Outline:
    """The outline of the run whose kernels are in the file `path`. InputError if the file is invalid."""
    if Path(path).resolve().is_relative_to(Path("results").resolve()):
        raise InputError(
            f"{path} is in results/, which the workflow makes and prunes: copy it elsewhere, such as to data/"
        )
    from reactivation.storage.imported import structure

    return Outline(**structure(path, get_args(Kernel)), tested=False)


def placeholders(form: Imported) -> list[str]:
    """The names in braces in the path."""
    return re.findall(r"\{(.*?)\}", form.kernels.path)


def kernel_file(form: Imported, axes: dict[str, Any], seed: int, data_root: str) -> str:
    """The path of one run's file of kernels."""
    return str(Path(data_root).expanduser() / Path(_given_path(form, axes, seed)).expanduser())


def listed_file(form: Imported, axes: dict[str, Any], seed: int, data_root: str) -> str:
    """`kernel_file` as tables list it: without folders that only this machine or user has, as tables are published.

    Below an absolute `data_root`, it is the path from there; of a path that is itself absolute, the name remains.
    """
    path = _given_path(form, axes, seed)
    if is_own_path(path):
        return Path(path).name
    return path if is_own_path(data_root) else kernel_file(form, axes, seed, data_root)


def _given_path(form: Imported, axes: dict[str, Any], seed: int) -> str:
    """The key `path` with one run's values in place of the names in braces."""
    values = axes | {"seed": seed}
    return re.sub(r"\{(.*?)\}", lambda found: str(values[found[1]]), form.kernels.path)


def run_seeds(form: Experiment | Imported, seeds: list[int]) -> list[int]:
    """The seeds of an experiment's runs: only the first if all would read the same file."""
    return seeds[:1] if isinstance(form, Imported) and "seed" not in placeholders(form) else seeds

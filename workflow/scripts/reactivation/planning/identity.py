"""What of an experiment determines its results, as parts of specs. A key that has no effect is in none."""

from typing import TYPE_CHECKING, Any

from reactivation.study.arithmetic import evaluate
from reactivation.study.outline import probe_classes
from reactivation.study.scenarios import Task, brought, tasks, universe
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import Experiment
from reactivation.study.schema_scenarios import AnyScenario

if TYPE_CHECKING:
    from reactivation.data import specs


def dataset_spec(dataset: Dataset) -> "specs.Dataset":
    """What determines a data set's file. The place of torchvision's copy, and whether it may be fetched, do not."""
    spec = dataset.model_dump()
    if spec.get("normalise") is None:
        spec.pop("normalise", None)
    if spec["source"] == "torchvision":
        return {key: value for key, value in spec.items() if key not in ("root", "download")}
    return spec


def images_spec(scenario: AnyScenario) -> "specs.Images":
    """Which images of the data set are in use."""
    images: specs.Images = {
        "classes": universe(scenario),
        "limit_per_class": scenario.limit_per_class,
        "seed": scenario.data_seed,
    }
    if scenario.held_out:
        images["held_out"] = scenario.held_out
    return images


def probe_spec(variant: Experiment, dataset: "specs.Dataset", images: "specs.Images", draw: int) -> "specs.Probe":
    """The probe, or the further one with the number `draw`."""
    classes, probe = probe_classes(variant), variant.probe
    spec: specs.Probe = {
        "dataset": dataset,
        "images": images | {"classes": classes},
        "size": probe.size,
        "held_out": probe.held_out,
        "seed": probe.seed,
    }
    if probe.balance == "tasks":
        spec["groups"] = _groups(variant, classes)
    if draw:
        spec["draw"] = draw
    return spec


def _groups(variant: Experiment, classes: list[int]) -> list[list[int]]:
    """Those of `classes` that each task is the first to have, and last those that no task has."""
    groups = [sorted(set(of_task).intersection(classes)) for of_task in brought(tasks(variant.scenario))]
    rest = sorted(set(classes).difference(*groups))
    return [group for group in (*groups, rest) if group]


def task_specs(sequence: list[Task], scenario: AnyScenario) -> "list[specs.Task]":
    """The tasks; the first has nothing to replay."""
    found: list[specs.Task] = [
        {"classes": list(task.classes), "weights": list(task.weights), "replay": scenario.replay if k else 0}
        for k, task in enumerate(sequence)
    ]
    for of in found:
        if of["replay"] and scenario.replay_drawn == "each_epoch":
            of["replay_drawn"] = scenario.replay_drawn
    return found


def model_spec(variant: Experiment) -> Any:
    """The network."""
    model = variant.model.model_dump()
    if model["parametrization"] != "mup":
        del model["base_width"]
    return model


def training_spec(variant: Experiment) -> Any:
    """How the network, or its linearised twin, is trained. The epochs of each task are elsewhere."""
    training = variant.training.model_dump(exclude={"epochs"})
    if training["dynamics"] == "network":
        del training["dynamics"]
    stateless = training["optimizer"] == "sgd" and not training["momentum"]
    if training["optimizer_state"] == "new" or stateless:
        del training["optimizer_state"]
    if isinstance(training["lr"], str):
        training["lr"] = evaluate(training["lr"], width=variant.model.width)
    return training

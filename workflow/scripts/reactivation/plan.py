"""From a study to its runs, their segments and everything else that has to be computed.

A pure function of the config. Each thing is named by the hash of the canonical JSON of all that determines it,
so that runs which share a beginning share its segments, and studies share whatever is the same.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .config import same, variants
from .schema import Curves, Dataset, Experiment, Study

Spec = dict[str, Any]  # plain numbers, strings, lists and dicts only: Snakemake compares and stores them


@dataclass(frozen=True)
class Indices:
    """Images chosen from a data set: those of tasks (a split), or a probe."""

    spec: Spec
    dataset: str


@dataclass(frozen=True)
class Segment:
    """The training of one task, from the final weights of `parent` or from an initialisation."""

    spec: Spec
    dataset: str
    split: str
    parent: str | None


@dataclass(frozen=True)
class Kernels:
    """The kernels of every checkpoint of one segment: results/segments/<segment>/ntk-<hash>.h5."""

    kinds: list[str]
    segment: str
    probe: str


@dataclass(frozen=True)
class Run:
    """The chain of segments of one scenario, one configuration, one seed."""

    spec: Spec
    segments: tuple[str, ...]
    kernels: tuple[str, ...]


@dataclass(frozen=True)
class Figure:
    spec: Spec
    runs: tuple[str, ...]


@dataclass
class Plan:
    """All that a study needs, by name; the names are those of files under results/."""

    datasets: dict[str, Spec] = field(default_factory=dict)
    splits: dict[str, Indices] = field(default_factory=dict)
    probes: dict[str, Indices] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    kernels: dict[str, Kernels] = field(default_factory=dict)  # key: "<segment>/ntk-<hash>"
    runs: dict[str, Run] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)


def digest(spec: Spec) -> str:
    """Ten hexadecimal digits that stand for `spec`."""
    canonical = json.dumps(spec, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def short(value: Any) -> str:
    """A value as part of a file name: 64, 0.05, 1e-4."""
    if isinstance(value, float):
        mantissa, _, exponent = f"{value:.12g}".partition("e")
        if not exponent and 0 < abs(value) < 0.01:
            mantissa, _, exponent = f"{value:.11e}".partition("e")
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(exponent)}" if exponent else mantissa
    text = ".".join(map(short, value)) if isinstance(value, list) else "default" if value is None else str(value)
    return text if len(text) <= 24 else digest({"value": value})


def make_plan(study: Study) -> Plan:
    """Everything that `study` needs."""
    plan = Plan()
    by_experiment: dict[str, list[tuple[Spec, str]]] = {}
    for name, experiment in study.experiments.items():
        by_experiment[name] = [
            (axes, _add_run(plan, study, name, axes, variant, seed))
            for axes, variant in variants(experiment)
            for seed in study.seeds
        ]
    for name, figure in study.figures.items():
        runs = [run for axes, run in by_experiment[figure.experiment] if _drawn(axes, figure)]
        plan.figures[name] = Figure(figure_spec(figure, study.experiments[figure.experiment]), tuple(runs))
    return plan


def figure_spec(figure: Curves, experiment: Experiment) -> Spec:
    """The figure with its panels' defaults in place, so that drawing has nothing to guess."""
    spec = figure.model_dump()
    for panel in spec["panels"]:
        metric = panel["metric"]
        if metric == "kernel_velocity" and panel["dt"] is None:
            panel["dt"] = experiment.metrics.velocity_dt[0]
        panel["block"] = panel["block"] or (["task1-task2"] if metric == "cross_task_overlap" else ["all"])
        panel["scale"] = panel["scale"] or ("log" if metric == "kernel_velocity" else "linear")
    return spec


def _drawn(axes: Spec, figure: Curves) -> bool:
    return all(same(value, axes[key]) for key, value in figure.where.items())


def _add_run(plan: Plan, study: Study, experiment: str, axes: Spec, variant: Experiment, seed: int) -> str:
    """Add one run and all it needs to `plan`; returns its name."""
    dataset_spec = dataset_identity(study.datasets[variant.dataset])
    dataset = dataset_file(variant.dataset, study.datasets[variant.dataset])
    plan.datasets[dataset] = dataset_spec
    tasks = task_classes(variant)
    images = {
        "classes": sorted(set().union(*tasks)),
        "limit_per_class": variant.scenario.limit_per_class,
        "seed": variant.scenario.data_seed,
    }
    probe_spec = {"dataset": dataset_spec, "images": images, **variant.probe.model_dump()}
    probe = f"{variant.dataset}-{variant.probe.size}images-{digest(probe_spec)}"
    plan.probes[probe] = Indices(probe_spec, dataset)
    chain: list[str] = []
    kernels: list[str] = []
    for k in range(1, len(tasks) + 1):
        split_spec = {"dataset": dataset_spec, "images": images, "tasks": tasks[:k]}
        split = f"{variant.dataset}-{len(tasks[k - 1])}classes-task{k}-{digest(split_spec)}"
        plan.splits[split] = Indices(split_spec, dataset)
        chain.append(_add_segment(plan, variant, seed, dataset, split, split_spec, chain))
        kinds = sorted(variant.kernels)
        kernels.append(f"{chain[-1]}/ntk-{digest({'probe': probe_spec, 'kernels': kinds})}")
        plan.kernels[kernels[-1]] = Kernels(kinds, chain[-1], probe)
    name = "-".join([experiment, *(f"{key}{short(value)}" for key, value in axes.items()), f"s{seed}"])
    spec = {
        "experiment": experiment,
        "axes": {key: value if isinstance(value, int | float) else short(value) for key, value in axes.items()},
        "seed": seed,
        "tasks": tasks,
        "kernels": variant.kernels,
        **variant.metrics.model_dump(),
    }
    plan.runs[name] = Run(spec, tuple(chain), tuple(kernels))
    return name


def _add_segment(
    plan: Plan, variant: Experiment, seed: int, dataset: str, split: str, split_spec: Spec, chain: list[str]
) -> str:
    """Add the segment that follows those in `chain`; returns its name."""
    training = variant.training.model_dump()
    epochs = training.pop("epochs")
    spec = {
        **split_spec,
        "epochs": [epochs] * len(split_spec["tasks"]),
        "model": variant.model.model_dump(),
        "training": training,
        "checkpoints": variant.checkpoints.model_dump(),
        "seed": seed,
    }
    model = variant.model
    slug = f"{variant.dataset}-{model.name}-w{model.width}-lr{short(variant.training.lr)}-s{seed}-task{len(chain) + 1}"
    name = f"{slug}-{digest(spec)}"
    plan.segments[name] = Segment(spec, dataset, split, chain[-1] if chain else None)
    return name


def dataset_identity(dataset: Dataset) -> Spec:
    """What determines a data set's images: where torchvision's copy lies and whether it may be fetched do not."""
    spec = dataset.model_dump()
    if spec["source"] == "torchvision":
        return {key: value for key, value in spec.items() if key not in ("root", "download")}
    return spec


def dataset_file(name: str, dataset: Dataset) -> str:
    """Name of a data set's file under results/data/, without its ending."""
    return f"{name}-{digest(dataset_identity(dataset))}"


def sources(study: Study) -> dict[str, Spec]:
    """For each data set's file, where its source lies (None: it is drawn) and whether it may be downloaded there."""
    root = Path(study.data_root).expanduser()
    return {
        dataset_file(name, dataset): {
            "root": str(root / Path(dataset.root).expanduser()) if hasattr(dataset, "root") else None,
            "download": getattr(dataset, "download", False),
        }
        for name, dataset in study.datasets.items()
    }


def task_classes(variant: Experiment) -> list[list[int]]:
    """The classes of each task of a `class_split`."""
    scenario = variant.scenario
    per_task, tasks = scenario.classes_per_task, scenario.tasks
    order = scenario.class_order or list(range(per_task * tasks))
    return [order[k * per_task : (k + 1) * per_task] for k in range(tasks)]

"""From a study to its runs, their segments and everything else that must be computed.

The plan is a pure function of the config, and of the layout of files that it names as kernels from elsewhere.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactivation.planning import names
from reactivation.planning.collisions import add, check_case
from reactivation.planning.identity import (
    dataset_spec,
    images_spec,
    model_spec,
    probe_spec,
    task_specs,
    training_spec,
)
from reactivation.study.grid import (
    DRAW,
    cell,
    chosen,
    counterpart,
    draws_pooled,
    filled_panel,
    variants,
    view,
    with_dynamics,
)
from reactivation.study.outline import kernel_file, listed_file, of_file, run_seeds
from reactivation.study.overlays import others_files, others_spec
from reactivation.study.scenarios import Task, similarity, tasks
from reactivation.study.schema import Study
from reactivation.study.schema_claims import FrequenciesBarelyMatter, LazyNetworksReactivate
from reactivation.study.schema_experiments import Experiment, Imported
from reactivation.study.schema_figures import AnyPanel, Curves
from reactivation.study.schema_figures import Convergence as ConvergencePanel
from reactivation.study.schema_figures import Figure as FigureConfig
from reactivation.study.schema_models import Model

if TYPE_CHECKING:
    from reactivation.data import specs

Axes = dict[str, Any]  # the value of each axis of the grid
Runs = dict[str, list[tuple[Axes, str]]]  # by experiment: the axes and the name of each run


@dataclass(frozen=True)
class Split:
    """The images of each task so far: results/splits/<name>.npz."""

    spec: "specs.Split"
    dataset: str


@dataclass(frozen=True)
class Probe:
    """The images on which kernels are evaluated: results/probes/<name>.npz."""

    spec: "specs.Probe"
    dataset: str


@dataclass(frozen=True)
class Segment:
    """The training of one task, from the final weights of `parent` or from an initialisation."""

    spec: "specs.Segment"
    dataset: str
    split: str
    parent: str | None


@dataclass(frozen=True)
class Kernels:
    """The kernels of every checkpoint of one segment: results/segments/<segment>/ntk-<hash>.h5."""

    kinds: list[str]
    layers: bool  # whether each layer's share is computed too
    segment: str
    probe: str


@dataclass(frozen=True)
class Functions:
    """The distance of a linearised twin from its network at every checkpoint of one segment.

    Its file is results/segments/<segment>/function-<hash>.csv.
    """

    segment: str
    network: str  # the network's segment
    probe: str


@dataclass(frozen=True)
class Run:
    """The chain of segments of one scenario, one configuration, one seed; or the file of its kernels, from elsewhere.

    Linearised twins form no chain: each starts from the network's segment of the task before.
    """

    spec: "specs.Run"
    segments: tuple[str, ...]
    kernels: tuple[str, ...]
    given: str | None = None
    listed: str | None = None  # what files.csv calls it
    networks: tuple[str, ...] = ()  # for linearised twins: the segments of their network
    functions: tuple[str, ...] = ()  # for linearised twins: the comparisons with their network

    @property
    def trained(self) -> tuple[str, ...]:
        """All segments that the run needs."""
        return (*self.networks, *self.segments)

    @property
    def within(self) -> tuple[str, ...]:
        """The segments that have accuracies within tasks: those of networks, if there are several tasks."""
        return self.segments if self.kernels and len(self.segments) > 1 else ()


@dataclass(frozen=True)
class Convergence:
    """The kernels of untrained networks of several widths, compared: results/<study>/convergence/<name>.csv."""

    spec: "specs.Convergence"
    dataset: str
    probe: str


@dataclass(frozen=True)
class Figure:
    """A figure of runs and of untrained networks.

    `beside`: the figure whose scales it takes, if any; `others`: tables of others' numbers that it draws.
    """

    spec: "specs.Figure"
    runs: tuple[str, ...]
    convergences: tuple[str, ...]
    beside: str | None
    others: tuple[str, ...] = ()


@dataclass
class Plan:
    """All that a study needs, by name; the names are those of files under results/."""

    datasets: "dict[str, specs.Dataset]" = field(default_factory=dict)
    splits: dict[str, Split] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    kernels: dict[str, Kernels] = field(default_factory=dict)  # key: "<segment>/ntk-<hash>"
    functions: dict[str, Functions] = field(default_factory=dict)  # key: "<segment>/function-<hash>"
    runs: dict[str, Run] = field(default_factory=dict)
    convergences: dict[str, Convergence] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    claims: "specs.Claims | dict" = field(default_factory=dict)

    @property
    def within(self) -> list[str]:
        """The segments that have accuracies within tasks in some run."""
        return list(dict.fromkeys(segment for run in self.runs.values() for segment in run.within))


def make_plan(study: Study) -> Plan:
    """Everything that `study` needs. InputError if two different things would have one name."""
    plan = Plan()
    by_experiment: Runs = {}
    for name, experiment in study.experiments.items():
        by_experiment[name] = [
            (axes, _add(plan, study, name, axes, variant, seed))
            for axes, variant in variants(experiment)
            for seed in run_seeds(experiment, study.seeds)
        ]
    for name, figure in study.figures.items():
        panels = [_panel_spec(plan, study, figure, panel, by_experiment) for panel in figure.panels]
        spec: specs.Figure = {
            "panels": panels,
            "columns": figure.columns,
            "title": figure.title,
            "beside": figure.beside,
        }
        tables = dict.fromkeys(run for panel in panels for run in panel["runs"])
        runs, others = ([table for table in tables if table in of] for of in (plan.runs, plan.convergences))
        plan.figures[name] = Figure(
            spec, tuple(runs), tuple(others), figure.beside, tuple(others_files(figure, study.data_root))
        )
    plan.claims = _claims_spec(plan, study, by_experiment)
    for what, of in (("experiment", study.experiments), ("run", plan.runs), ("figure", plan.figures)):
        check_case(of, what)
    return plan


def _claims_spec(plan: Plan, study: Study, by_experiment: Runs) -> "specs.Claims":
    """Settings of all claims and, for each claim that is `tested`, its thresholds, runs and kernels, the main first."""

    def runs(experiment: str, where: Axes) -> dict[str, dict[str, int]]:
        where = with_dynamics(where, study.experiments[experiment])
        specs = {run: plan.runs[run].spec for axes, run in by_experiment[experiment] if chosen(axes, where)}
        return {run: {"seed": of["seed"], "tasks": len(of["epochs"])} for run, of in specs.items()}

    claims = study.claims
    spec: Any = claims.model_dump(include={"kernel", "min_seeds", "confidence"}) | {"tested": []}
    for name, key, claim in claims.tested():
        one = {"name": name} | claim.model_dump() | {"runs": runs(claim.experiment, claim.where)}
        one |= {"key": key} if [of for of, _, _ in claims.tested()].count(name) > 1 else {}
        needed = list(one["runs"])
        if isinstance(claim, FrequenciesBarelyMatter | LazyNetworksReactivate) and claim.beside:
            one |= {"beside": runs(claim.beside, claim.where_beside), "beside_experiment": claim.beside}
            needed += one["beside"]
        kernels = dict.fromkeys([claims.kernel, claims.kernel_beside or "trace"])
        one["kernels"] = [of for of in kernels if all(of in plan.runs[run].spec["kernels"] for run in needed)]
        spec["tested"].append(one)
    return spec


def _panel_spec(plan: Plan, study: Study, figure: FigureConfig, panel: AnyPanel, by_experiment: Runs) -> "specs.Panel":
    """What a panel draws, with the names of its runs."""
    name, color, where = view(figure, panel, study.experiments)
    spec: specs.Panel = filled_panel(panel, study.experiments[name])
    spec |= {"color": color, "own": panel.where}
    spec["axes"] = list(study.experiments[name].grid)
    draws = draws_pooled(study.experiments[name], [color, spec.get("x"), *where])
    if draws > 1 and panel.kind != "convergence":
        spec["draws"] = draws
    spec["runs"] = [run for axes, run in by_experiment[name] if chosen(axes, where)]
    if isinstance(panel, Curves) and panel.others:
        of_runs = [axes for axes, _ in by_experiment[name] if chosen(axes, where)]
        spec["others"] = others_spec(figure, panel, study.experiments, of_runs, study.data_root)
    if isinstance(panel, ConvergencePanel):
        spec |= {"axes": [], "runs": [_add_convergence(plan, panel, spec["runs"][0])]}
    if figure.beside is not None:
        spec["beside"] = counterpart(panel, figure, study.figures[figure.beside], study.experiments)
    return spec


def _add_convergence(plan: Plan, panel: ConvergencePanel, run: str) -> str:
    """Add untrained networks like that of `run`, on its probe, to `plan`. Return the name of their table."""
    kernels = plan.kernels[plan.runs[run].kernels[0]]
    probe, model = plan.probes[kernels.probe], plan.segments[kernels.segment].spec["model"]
    spec: specs.Convergence = {
        "experiment": plan.runs[run].spec["experiment"],
        "probe": probe.spec,
        "model": {key: value for key, value in model.items() if key not in Model.model_fields}
        | {"parametrization": "ntk"},
        "kernels": [panel.kernel],
        "widths": panel.widths,
        "initialisations": panel.initialisations,
    }
    name = names.convergence_name(spec)
    add(plan.convergences, name, Convergence(spec, probe.dataset, kernels.probe), "convergence")
    return name


def _add(plan: Plan, study: Study, experiment: str, axes: Axes, variant: Experiment | Imported, seed: int) -> str:
    """Add one run, and all that it needs, to `plan`. Return its name."""
    if isinstance(variant, Imported):
        return _add_given(plan, study, experiment, axes, variant, seed)
    return _add_run(plan, study, experiment, axes, variant, seed)


def _add_run(plan: Plan, study: Study, experiment: str, axes: Axes, variant: Experiment, seed: int) -> str:
    dataset, images, probe = _add_images(plan, study, variant, axes.get(DRAW, 0))
    sequence, linearized = tasks(variant.scenario), variant.training.dynamics == "linearized"
    network = variant.model_copy(update={"training": variant.training.model_copy(update={"dynamics": "network"})})
    chain: list[str] = []
    twins: list[str] = []
    measured: list[str] = []
    for k in range(1, len(sequence) + 1):
        split = _add_split(plan, variant, dataset, images, sequence[:k], seed)
        if linearized:  # it starts where the chain ends so far
            twins.append(_add_segment(plan, variant, seed, split, sequence[:k], chain))
        chain.append(_add_segment(plan, network, seed, split, sequence[:k], chain))
        measured.append(
            _add_functions(plan, twins[-1], chain[-1], probe)
            if linearized
            else _add_kernels(plan, variant, chain[-1], probe)
        )
    name = names.run_name(experiment, axes, seed)
    about: specs.Run = {
        "experiment": experiment,
        "axes": {key: cell(value) for key, value in axes.items()},
        "seed": seed,
        "tasks": task_specs(sequence, variant.scenario),
        "epochs": epochs_of(sequence, variant),
        "similarity": [None, *map(similarity, sequence, sequence[1:])],
        "kernels": [] if linearized else list(variant.kernels),
        "velocity_dt": variant.metrics.velocity_dt,
        "overlap_rank": variant.metrics.overlap_rank,
        "eigenvectors": variant.metrics.eigenvectors,
    }
    if variant.metrics.alignment_labels != "one_hot":
        about["alignment_labels"] = variant.metrics.alignment_labels
    run = Run(about, tuple(chain), tuple(measured))
    if linearized:
        run = Run(about, tuple(twins), (), networks=tuple(chain), functions=tuple(measured))
    add(plan.runs, name, run, "run")
    return name


def _add_images(plan: Plan, study: Study, variant: Experiment, draw: int) -> "tuple[str, specs.Images, str]":
    """Add the data set and the probe. Return the data set's name, the images of it in use, and the probe's name."""
    spec = dataset_spec(study.datasets[variant.dataset])
    dataset = names.dataset_name(variant.dataset, spec)
    add(plan.datasets, dataset, spec, "data set")
    images = images_spec(variant.scenario)
    of_probe = probe_spec(variant, spec, images, draw)
    probe = names.probe_name(variant.dataset, of_probe)
    add(plan.probes, probe, Probe(of_probe, dataset), "probe")
    return dataset, images, probe


def _add_split(
    plan: Plan, variant: Experiment, dataset: str, images: "specs.Images", sequence: list[Task], seed: int
) -> str:
    """Add the split of the last task of `sequence`. Return its name."""
    spec: specs.Split = {
        "dataset": plan.datasets[dataset],
        "images": images,
        "tasks": task_specs(sequence, variant.scenario),
    }
    if any((task["replay"] and "replay_drawn" not in task) or min(task["weights"]) < 1 for task in spec["tasks"]):
        spec["seed"] = seed  # images are drawn by it; otherwise all runs share the split
    split = names.split_name(variant.dataset, spec)
    add(plan.splits, split, Split(spec, dataset), "split")
    return split


def epochs_of(sequence: list[Task], variant: Experiment) -> list[int]:
    """Epochs of each task."""
    return [task.epochs or variant.training.epochs for task in sequence]


def _add_kernels(plan: Plan, variant: Experiment, segment: str, probe: str) -> str:
    kinds: list[str] = sorted(variant.kernels)
    name = names.kernels_name(segment, plan.probes[probe].spec, kinds, variant.layers)
    add(plan.kernels, name, Kernels(kinds, variant.layers, segment, probe), "file of kernel")
    return name


def _add_functions(plan: Plan, twin: str, network: str, probe: str) -> str:
    name = names.function_name(twin, plan.probes[probe].spec)
    add(plan.functions, name, Functions(twin, network, probe), "table of function")
    return name


def _add_given(plan: Plan, study: Study, experiment: str, axes: Axes, variant: Imported, seed: int) -> str:
    """Add a run whose kernels are in a file. Return its name."""
    path = kernel_file(variant, axes, seed, study.data_root)
    of = of_file(path)
    name = names.run_name(experiment, axes, seed)
    spec: specs.Run = {
        "experiment": experiment,
        "axes": axes,
        "seed": seed,
        "epochs": of.epochs,
        "similarity": [None] * len(of.epochs),
        "kernels": of.kernels,
        "velocity_dt": variant.metrics.velocity_dt,
        "overlap_rank": variant.metrics.overlap_rank,
        "eigenvectors": variant.metrics.eigenvectors,
    }
    if variant.metrics.alignment_labels != "one_hot":
        spec["alignment_labels"] = variant.metrics.alignment_labels
    listed = listed_file(variant, axes, seed, study.data_root)
    add(plan.runs, name, Run(spec, (), (), path, listed), "run")
    return name


def _add_segment(plan: Plan, variant: Experiment, seed: int, split: str, sequence: list[Task], chain: list[str]) -> str:
    """Add the segment that follows those in `chain`. Return its name."""
    images = plan.splits[split]
    spec: specs.Segment = {
        "dataset": images.spec["dataset"],
        "images": images.spec["images"],
        "tasks": images.spec["tasks"],
        "epochs": epochs_of(sequence, variant),
        "model": model_spec(variant),
        "training": training_spec(variant),
        "checkpoints": {"every": variant.checkpoints.every, "log_spaced": variant.checkpoints.log_spaced},
        "seed": seed,
    }
    name = names.segment_name(variant.dataset, spec)
    add(plan.segments, name, Segment(spec, images.dataset, split, chain[-1] if chain else None), "segment")
    return name


def sources(study: Study) -> dict[str, dict[str, Any]]:
    """For each data set, the place of its source (None if it is drawn) and whether it may be downloaded there."""
    root = Path(study.data_root).expanduser()
    return {
        names.dataset_name(name, dataset_spec(dataset)): {
            "root": str(root / Path(dataset.root).expanduser()) if hasattr(dataset, "root") else None,
            "download": getattr(dataset, "download", False),
        }
        for name, dataset in study.datasets.items()
    }

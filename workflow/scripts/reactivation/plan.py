"""From a study to its runs, their segments and everything else that has to be computed.

A pure function of the config, and of the structure of files that it names as kernels from elsewhere. Each thing is named by the hash of the canonical JSON of all that determines it,
so that runs which share a beginning share its segments, and studies share whatever is the same.
"""

import hashlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .expressions import evaluate
from .grid import chosen, counterpart, resolved, variants, view, with_dynamics
from .outlines import kernel_file, of_file, run_seeds
from .scenarios import Task, similarity, tasks, universe
from .schema import Dataset, Experiment, Imported, Study
from .schema import Figure as FigureConfig
from .schema_claims import FrequenciesBarelyMatter, LazyNetworksReactivate
from .schema_figures import AnyPanel
from .schema_figures import Convergence as ConvergencePanel

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
    layers: bool  # whether with each layer's share
    segment: str
    probe: str


@dataclass(frozen=True)
class Functions:
    """How far a linearised twin and its network are apart, at every checkpoint: results/segments/<segment>/function-<hash>.csv."""

    segment: str
    network: str  # the network's segment
    probe: str


@dataclass(frozen=True)
class Run:
    """The chain of segments of one scenario, one configuration, one seed; or the file of its kernels, from elsewhere.

    Of linearised twins there is no chain: each goes on from the network's segment of the task before.
    """

    spec: Spec
    segments: tuple[str, ...]
    kernels: tuple[str, ...]
    given: str | None = None
    networks: tuple[str, ...] = ()  # of linearised twins: the segments of their network, and what compares the two
    functions: tuple[str, ...] = ()

    @property
    def trained(self) -> tuple[str, ...]:
        """All segments that the run needs."""
        return (*self.networks, *self.segments)


@dataclass(frozen=True)
class Convergence:
    """The kernels of untrained networks of several widths, compared: results/<study>/convergence/<name>.csv."""

    spec: Spec
    dataset: str
    probe: str


@dataclass(frozen=True)
class Figure:
    """A figure of some runs, and of untrained networks; `beside`: the figure whose scales it takes, if any."""

    spec: Spec
    runs: tuple[str, ...]
    convergences: tuple[str, ...]
    beside: str | None


@dataclass
class Plan:
    """All that a study needs, by name; the names are those of files under results/."""

    datasets: dict[str, Spec] = field(default_factory=dict)
    splits: dict[str, Indices] = field(default_factory=dict)
    probes: dict[str, Indices] = field(default_factory=dict)
    segments: dict[str, Segment] = field(default_factory=dict)
    kernels: dict[str, Kernels] = field(default_factory=dict)  # key: "<segment>/ntk-<hash>"
    functions: dict[str, Functions] = field(default_factory=dict)  # key: "<segment>/function-<hash>"
    runs: dict[str, Run] = field(default_factory=dict)
    convergences: dict[str, Convergence] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    claims: Spec = field(default_factory=dict)


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
    safe = re.sub(r"[^A-Za-z0-9.+-]+", "_", text)
    if safe != text:  # such as 0.1/width, which is not 0.1*width
        safe = f"{safe}_{digest({'value': text})[:4]}"
    return safe if len(safe) <= 24 else digest({"value": text})


def make_plan(study: Study) -> Plan:
    """Everything that `study` needs."""
    plan = Plan()
    by_experiment: dict[str, list[tuple[Spec, str]]] = {}
    for name, experiment in study.experiments.items():
        by_experiment[name] = [
            (axes, _add(plan, study, name, axes, variant, seed))
            for axes, variant in variants(experiment)
            for seed in run_seeds(experiment, study.seeds)
        ]
    for name, figure in study.figures.items():
        panels = [_panel_spec(plan, study, figure, panel, by_experiment) for panel in figure.panels]
        spec = {"panels": panels, **figure.model_dump(include={"columns", "title", "beside"})}
        tables = dict.fromkeys(run for panel in panels for run in panel["runs"])
        runs, others = ([table for table in tables if table in of] for of in (plan.runs, plan.convergences))
        plan.figures[name] = Figure(spec, tuple(runs), tuple(others), figure.beside)
    plan.claims = _claims_spec(plan, study, by_experiment)
    return plan


def _claims_spec(plan: Plan, study: Study, by_experiment: dict) -> Spec:
    """What holds for all claims and, of each that is `tested`, its thresholds and its runs: their seeds, numbers of tasks."""

    def runs(experiment: str, where: dict[str, Any]) -> Spec:
        where = with_dynamics(where, study.experiments[experiment])
        specs = {run: plan.runs[run].spec for axes, run in by_experiment[experiment] if chosen(axes, where)}
        return {run: {"seed": of["seed"], "tasks": len(of["epochs"])} for run, of in specs.items()}

    spec = study.claims.model_dump(include={"kernel", "min_seeds", "confidence"})
    spec["tested"] = {}
    for name, claim in study.claims.tested().items():
        spec["tested"][name] = claim.model_dump() | {"runs": runs(claim.experiment, claim.where)}
        if isinstance(claim, FrequenciesBarelyMatter | LazyNetworksReactivate) and claim.beside:
            spec["tested"][name]["beside"] = runs(claim.beside, claim.where_beside)
    return spec


def _panel_spec(plan: Plan, study: Study, figure: FigureConfig, panel: AnyPanel, by_experiment: dict) -> Spec:
    """What a panel draws, with the names of its runs."""
    name, color, where = view(figure, panel, study.experiments)
    spec = resolved(panel, study.experiments[name]) | {"color": color, "own": panel.where}
    spec["axes"] = list(study.experiments[name].grid)
    spec["runs"] = [run for axes, run in by_experiment[name] if chosen(axes, where)]
    if isinstance(panel, ConvergencePanel):
        spec |= {"axes": [], "runs": [_add_convergence(plan, panel, spec["runs"][0])]}
    if figure.beside is not None:
        spec["beside"] = counterpart(panel, figure, study.figures[figure.beside], study.experiments)
    return spec


def _add_convergence(plan: Plan, panel: ConvergencePanel, run: str) -> str:
    """Add untrained networks like that of `run`, on its probe, to `plan`; returns the name of their table."""
    kernels = plan.kernels[plan.runs[run].kernels[0]]
    probe, model = plan.probes[kernels.probe], plan.segments[kernels.segment].spec["model"]
    spec = {
        "experiment": plan.runs[run].spec["experiment"],
        "probe": probe.spec,
        "model": {key: value for key, value in model.items() if key not in ("width", "base_width")}
        | {"parametrization": "ntk"},
        "kernels": [panel.kernel],
        **panel.model_dump(include={"widths", "initialisations"}),
    }
    name = f"{spec['experiment']}-{digest(spec)}"
    plan.convergences[name] = Convergence(spec, probe.dataset, kernels.probe)
    return name


def _add(plan: Plan, study: Study, experiment: str, axes: Spec, variant: Experiment | Imported, seed: int) -> str:
    """Add one run and all it needs to `plan`; returns its name."""
    if isinstance(variant, Imported):
        return _add_given(plan, study, experiment, axes, variant, seed)
    return _add_run(plan, study, experiment, axes, variant, seed)


def _add_run(plan: Plan, study: Study, experiment: str, axes: Spec, variant: Experiment, seed: int) -> str:
    dataset, images, probe = _add_images(plan, study, variant)
    sequence, linearized = tasks(variant.scenario), variant.training.dynamics == "linearized"
    network = variant.model_copy(update={"training": variant.training.model_copy(update={"dynamics": "network"})})
    chain: list[str] = []
    twins: list[str] = []
    measured: list[str] = []
    for k in range(1, len(sequence) + 1):
        split, spec = _add_split(plan, variant, dataset, images, sequence[:k], seed)
        if linearized:  # from where the chain has come to
            twins.append(_add_segment(plan, variant, seed, dataset, split, spec, chain))
        chain.append(_add_segment(plan, network, seed, dataset, split, spec, chain))
        measured.append(
            _add_functions(plan, twins[-1], chain[-1], probe)
            if linearized
            else _add_kernels(plan, variant, chain[-1], probe)
        )
    name = _run_name(experiment, axes, seed)
    about = {
        "experiment": experiment,
        "axes": {key: _cell(value) for key, value in axes.items()},
        "seed": seed,
        "tasks": task_specs(sequence, variant.scenario.replay),
        "epochs": spec["epochs"],
        "similarity": [None, *map(similarity, sequence, sequence[1:])],
        "kernels": [] if linearized else variant.kernels,
        **variant.metrics.model_dump(),
    }
    if linearized:
        plan.runs[name] = Run(about, tuple(twins), (), networks=tuple(chain), functions=tuple(measured))
    else:
        plan.runs[name] = Run(about, tuple(chain), tuple(measured))
    return name


def _add_images(plan: Plan, study: Study, variant: Experiment) -> tuple[str, Spec, str]:
    """Add the data set and the probe; returns the data set's name, which of its images are used, and the probe's name."""
    spec = dataset_identity(study.datasets[variant.dataset])
    dataset = dataset_file(variant.dataset, study.datasets[variant.dataset])
    plan.datasets[dataset] = spec
    images = {
        "classes": universe(variant.scenario),
        "limit_per_class": variant.scenario.limit_per_class,
        "seed": variant.scenario.data_seed,
    }
    probe_spec = {"dataset": spec, "images": images, **variant.probe.model_dump()}
    probe = f"{variant.dataset}-{variant.probe.size + variant.probe.held_out}images-{digest(probe_spec)}"
    plan.probes[probe] = Indices(probe_spec, dataset)
    return dataset, images, probe


def _add_split(
    plan: Plan, variant: Experiment, dataset: str, images: Spec, sequence: list[Task], seed: int
) -> tuple[str, Spec]:
    """Add the split of the last task of `sequence`; returns its name, and what of the tasks so far determines weights."""
    spec: Spec = {
        "dataset": plan.datasets[dataset],
        "images": images,
        "tasks": task_specs(sequence, variant.scenario.replay),
    }
    if any(task["replay"] or min(task["weights"]) < 1 for task in spec["tasks"]):
        spec["seed"] = seed  # of what is drawn; else all runs share the split
    split = f"{variant.dataset}-{len(sequence[-1].classes)}classes-task{len(sequence)}-{digest(spec)}"
    plan.splits[split] = Indices(spec, dataset)
    return split, {**spec, "epochs": [task.epochs or variant.training.epochs for task in sequence]}


def _add_kernels(plan: Plan, variant: Experiment, segment: str, probe: str) -> str:
    kinds: list[str] = sorted(variant.kernels)
    with_layers = {"layers": True} if variant.layers else {}
    name = f"{segment}/ntk-{digest({'probe': plan.probes[probe].spec, 'kernels': kinds, **with_layers})}"
    plan.kernels[name] = Kernels(kinds, variant.layers, segment, probe)
    return name


def _add_functions(plan: Plan, twin: str, network: str, probe: str) -> str:
    name = f"{twin}/function-{digest({'probe': plan.probes[probe].spec})}"
    plan.functions[name] = Functions(twin, network, probe)
    return name


def _add_given(plan: Plan, study: Study, experiment: str, axes: Spec, variant: Imported, seed: int) -> str:
    """A run whose kernels are in a file."""
    path = kernel_file(variant, axes, seed, study.data_root)
    of = of_file(path)
    name = _run_name(experiment, axes, seed)
    spec = {
        "experiment": experiment,
        "axes": axes,
        "seed": seed,
        "epochs": of.epochs,
        "similarity": [None] * len(of.epochs),
        "kernels": of.kernels,
        **variant.metrics.model_dump(),
    }
    plan.runs[name] = Run(spec, (), (), path)
    return name


def _run_name(experiment: str, axes: Spec, seed: int) -> str:
    return "-".join([experiment, *(f"{key}{short(value)}" for key, value in axes.items()), f"s{seed}"])


def task_specs(sequence: list[Task], replay: int) -> list[Spec]:
    """Tasks as parts of identities; the first has nothing to replay."""
    return [
        {"classes": list(task.classes), "weights": list(task.weights), "replay": replay if k else 0}
        for k, task in enumerate(sequence)
    ]


def _cell(value: Any) -> int | float | str:
    """A value of an axis in a metric table; a list as text that is no number to its readers: [0, 1]."""
    return value if isinstance(value, int | float | str) else "default" if value is None else str(value)


def _add_segment(
    plan: Plan, variant: Experiment, seed: int, dataset: str, split: str, task_spec: Spec, chain: list[str]
) -> str:
    """Add the segment that follows those in `chain`; returns its name."""
    training = variant.training.model_dump(exclude={"epochs"})
    if training["dynamics"] == "network":
        del training["dynamics"]
    model = variant.model.model_dump()
    if model["parametrization"] != "mup":
        del model["base_width"]  # it determines nothing
    if isinstance(training["lr"], str):
        training["lr"] = evaluate(training["lr"], width=model["width"])
    spec = {
        **task_spec,
        "model": model,
        "training": training,
        "checkpoints": variant.checkpoints.model_dump(),
        "seed": seed,
    }
    network = f"{model['name']}{'-linearized' if 'dynamics' in training else ''}-w{model['width']}"
    slug = f"{variant.dataset}-{network}-lr{short(training['lr'])}-s{seed}-task{len(chain) + 1}"
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

"""Checks of keys against each other: names that must exist, numbers that must fit together.

Every function yields (key, what is wrong). It is given parts of a config that are valid by themselves.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

from reactivation.catalogue import LAYER_METRICS, METRICS, is_of
from reactivation.data.facts import image_size, stated_counts
from reactivation.study.arithmetic import evaluate
from reactivation.study.grid import (
    DRAW,
    Experiments,
    Variants,
    chosen,
    counterpart,
    filled_panel,
    same,
    section_of,
    view,
    with_dynamics,
)
from reactivation.study.outline import Outline, Outlines, placeholders, probe_classes
from reactivation.study.scenarios import problems, tasks
from reactivation.study.schema_claims import Claim, Claims, FrequenciesBarelyMatter, LazyNetworksReactivate
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import Experiment, Imported
from reactivation.study.schema_figures import AnyPanel, Convergence, Curves, Figure, Spectrum, Summary
from reactivation.study.schema_models import AnyModel, CNNBatchNorm, Model

SMALLEST = {"cnn_bn": 16}  # pixels a side that a network needs, where that is more than a data set's 8

Problems = Iterator[tuple[str, str]]


# ----------------------------------------------------------------------------------------------- experiments
def path_problems(experiment: Imported) -> Iterator[str]:
    """What is wrong with the path of files of kernels."""
    known, named = [*experiment.grid, "seed"], placeholders(experiment)
    for name in named:
        if name not in known:
            yield f"has {{{name}}}, which is not an axis of the grid; known are {', '.join(known)}"
    for axis in experiment.grid:
        if axis not in named:
            yield f"should contain {{{axis}}}: each of its values needs a file of its own"


def experiment_problems(experiment: Experiment, combinations: Variants, dataset: Dataset) -> Problems:
    """What is wrong with an experiment, in any combination of its grid."""
    if len(combinations) > len({str(axes) for axes, _ in combinations}):
        yield "grid", "gives the same values twice, written in two ways"
    for key in experiment.grid:
        if not all(_plain(axes[key]) for axes, _ in combinations):
            yield f"grid.{key}", "has values that are neither numbers nor words; write an experiment for each"
    for variant in (form for _, form in combinations if isinstance(form, Experiment)):
        for key, message in problems(variant.scenario, experiment.dataset, dataset.classes):
            yield ".".join(filter(None, ["scenario", key])), message
        yield from _training_problems(variant)
        yield from _probe_problems(variant, dataset)
        name, size = variant.model.name, image_size(dataset.model_dump())
        if size < (least := SMALLEST.get(name, 0)):
            yield "model.name", f"{name} needs images of {least} pixels a side or more; {experiment.dataset} has {size}"
        every = variant.checkpoints.every
        for dt in variant.metrics.velocity_dt:
            if dt % every:
                yield "metrics.velocity_dt", f"{dt} is not a multiple of checkpoints.every ({every})"


def _probe_problems(variant: Experiment, dataset: Dataset) -> Problems:
    probe, count = variant.probe, len(tasks(variant.scenario))
    for k in probe.tasks or []:
        if k > count:
            yield "probe.tasks", f"there is no task {k}: the scenario has {count}"
    if probe.draws == 1 or max(probe.tasks or [1]) > count or variant.scenario.held_out:  # then the job finds it
        return
    train, test = stated_counts(dataset.model_dump()) or ([], [])
    train = [count for count in (variant.scenario.limit_per_class, *train[:1]) if count]
    for key, size, counts in (("size", probe.size, train), ("held_out", probe.held_out, test[:1])):
        if counts and size == min(counts) * len(probe_classes(variant)):
            yield (
                "probe.draws",
                f"has no other images to draw: probe.{key} is {size}, and the classes have {size} images in all; "
                f"lower probe.{key}, or set draws: 1",
            )


def _training_problems(variant: Experiment) -> Problems:
    training, model, width = variant.training, variant.model, variant.model.width
    if training.optimizer == "adam" and training.momentum:
        yield "training.momentum", "belongs to sgd; adam has its own: remove it"
    if training.dynamics == "linearized" and mixes_images(model):
        remedy = "norm: group" if hasattr(model, "norm") else f"one without batch normalization, which {model.name} has"
        yield "training.dynamics", f"linearized needs a network that does not mix images: choose {remedy}"
    if isinstance(training.lr, str):
        try:
            positive = 0 < evaluate(training.lr, width=width) < math.inf
        except ValueError:
            positive = False
        if not positive:
            yield "training.lr", f"{training.lr} is not a number greater than 0 at width {width}"


def mixes_images(model: AnyModel) -> bool:
    """Whether the network's output on an image depends on the batch in training: whether it normalizes over batches."""
    return isinstance(model, CNNBatchNorm) or getattr(model, "norm", None) == "batch"


def _plain(value: Any) -> bool:
    """Whether the text of an axis's value identifies it in names and tables."""
    simple = isinstance(value, int | float | str | None)
    return simple or (isinstance(value, list) and all(isinstance(item, int | float | str) for item in value))


# --------------------------------------------------------------------------------------------------- figures
def figure_problems(
    figure: Figure, experiments: Experiments, combinations: dict[str, Outlines], names: Mapping
) -> Problems:
    """What is wrong with a figure.

    `experiments` and `combinations` (their outlines) hold the valid experiments; `names` holds all.
    """
    for i, panel in enumerate(figure.panels):
        name, _, _ = view(figure, panel, experiments)
        key = f"panels.{i}." if panel.experiment else ""
        if not name:
            yield f"{key}experiment", "is missing"
        elif name not in names:
            yield f"{key}experiment", unknown("experiment", name, names)
        elif name in experiments:
            for place, message in _view_problems(figure, panel, experiments, combinations[name]):
                own = place.split(".")[0] in panel.model_fields_set
                yield (f"panels.{i}.{place}" if own else place), message
            for place, message in _panel_problems(panel, experiments[name], [of for _, of in combinations[name]]):
                yield f"panels.{i}.{place}", message


def beside_problems(figure: Figure, figures: dict[str, Figure], experiments: Experiments, names: Mapping) -> Problems:
    """What is wrong with a figure's `beside`.

    `figures` and `experiments` hold the valid ones; `names` holds all figures.
    """
    if figure.beside is None:
        return
    if figure.beside not in names:
        yield "beside", unknown("figure", figure.beside, names)
    elif figure.beside in figures:
        other = figures[figure.beside]
        shown = {view(of, panel, experiments)[0] for of in (figure, other) for panel in of.panels}
        if other is figure:
            yield "beside", "names the figure itself: name another"
        elif other.beside is not None:
            yield "beside", f"{figure.beside} takes its own scales from another figure: name one that does not"
        elif shown <= set(experiments):
            for i, panel in enumerate(figure.panels):
                if counterpart(panel, figure, other, experiments) is None:
                    what = (
                        f"{panel.kind} of "
                        f"{filled_panel(panel, experiments[view(figure, panel, experiments)[0]])['metric']}"
                    )
                    yield f"panels.{i}", f"{figure.beside} has no panel with the same {what} to take the scale from"


def unknown(what: str, name: str, known: Mapping) -> str:
    return f"there is no {what} {name!r}; this config has {', '.join(map(str, known)) or 'none'}"


def _view_problems(figure: Figure, panel: AnyPanel, experiments: Experiments, combinations: Outlines) -> Problems:
    """What is wrong with the axes that a panel shows or fixes. The key is the panel's, or else the figure's."""
    name, color, where = view(figure, panel, experiments)
    axes = {key: [values[key] for values, _ in combinations] for key in combinations[0][0]}
    missing = f"is not an axis of {name}, which has {', '.join(axes) or 'none'}"
    shown = {color} if color and color != "layer" else set()
    if color == "layer":
        yield from _layer_problems(panel, name, experiments[name])
    elif color and color not in axes:
        yield "color", f"{color} {missing}"
    if color and isinstance(panel, Curves) and len(panel.block or []) > 5:
        yield "block", "names more than 5, too many to tell apart by line style (colors show the axis)"
    if isinstance(panel, Spectrum) and panel.color:
        yield "color", "a spectrum has the colors of its eigenvalues: remove it"
    if isinstance(panel, Convergence):
        shown |= {key for key in axes if key in Model.model_fields or section_of(key) == "training"}
        if panel.color:
            yield "color", "a convergence has one color: remove it"
    if isinstance(panel, Summary) and panel.x == "similarity":
        shown |= {key for key in axes if section_of(key) == "scenario"}  # what similarity depends on
    if isinstance(panel, Summary) and panel.x != "similarity":
        shown.add(panel.x)
        if panel.x not in axes:
            yield "x", f"{panel.x} {missing}"
        elif not all(isinstance(value, int | float) for value in axes[panel.x]):
            yield "x", f"{panel.x} has values that are not numbers"
    yield from _where_problems(where, name, experiments[name], combinations)
    known = {key: value for key, value in where.items() if key in axes}
    yield from _dynamics_problems(panel, {of.dynamics for values, of in combinations if chosen(values, known)})
    for key in axes if shown <= set(axes) else []:
        pooled = key == DRAW and isinstance(experiments[name], Experiment)  # bands go over probes
        if len(set(map(str, axes[key]))) > 1 and key not in shown and key not in where and not pooled:
            yield "where", f"must choose one value of {key}, of which the grid has several"


def _dynamics_problems(panel: AnyPanel, dynamics: set[str]) -> Problems:
    """What is wrong with a panel's metric, given the `dynamics` of the runs that it shows."""
    key, metric = "metric", getattr(panel, "metric", None)
    if metric is None:
        key, metric = "where.dynamics", panel.kind
    if is_of(metric, "twin") and "network" in dynamics:
        yield (
            key,
            f"{metric} needs linearised twins, but the panel shows networks (dynamics: linearized makes twins)",
        )
    if (is_of(metric, "kernel") or metric == "spectrum") and "linearized" in dynamics:
        yield key, f"{metric} needs networks: the kernel of a linearised twin does not change within a task"
    if metric in METRICS and not METRICS[metric].of_twins and "linearized" in dynamics:
        yield key, f"{metric} needs networks: linearised twins are tested among all classes only"


def _layer_problems(panel: AnyPanel, name: str, experiment: Experiment | Imported) -> Problems:
    """What is wrong with a panel whose colors are layers."""
    if not isinstance(panel, Curves):
        if isinstance(panel, Summary):
            yield "color", "layer works for curves only: a summary has one number per run"
        return
    if isinstance(experiment, Imported):
        yield "color", f"{name} has kernels from files, which hold no shares of layers"
    elif not experiment.layers:
        yield "color", f"{name} has no kernels of layers: set layers: true there, which computes its kernels again"
    if panel.metric not in LAYER_METRICS:
        yield "metric", f"{panel.metric} has no values for layers; those that have are {', '.join(LAYER_METRICS)}"
    elif panel.block not in (None, ["all"]):
        yield "block", "layers have metrics on the whole probe only: remove it"


def _where_problems(
    where: dict[str, Any], name: str, experiment: Experiment | Imported, combinations: Outlines
) -> Problems:
    """What is wrong with values that choose runs of the experiment `name`."""
    axes = {key: [values[key] for values, _ in combinations] for key in combinations[0][0]}
    for key, value in where.items():
        if key not in axes:
            yield f"where.{key}", f"is not an axis of {name}, which has {', '.join(axes) or 'none'}"
        elif not any(same(value, candidate) for candidate in axes[key]):
            known = experiment.grid.get(key) or list(dict.fromkeys(axes[key]))
            yield f"where.{key}", f"{value!r} is not in the grid, which has {known}"


# ---------------------------------------------------------------------------------------------------- claims
def claim_problems(
    claims: Claims,
    kernels: Mapping[str, str],
    experiments: Experiments,
    combinations: dict[str, Outlines],
    names: Mapping,
) -> Problems:
    """What is wrong with claims.

    `kernels` are those that all claims must be tested on, by the keys that ask for them; the last three arguments are
    as for `figure_problems`.
    """
    for _, claim_key, claim in claims.tested():
        sides = [("experiment", "where", claim.needs)]
        if getattr(claim, "beside", None):
            needed = {"shift": 2} if isinstance(claim, FrequenciesBarelyMatter) else {"width": 2}
            sides.append(("beside", "where_beside", needed))
        for key, where, needs in sides:
            name, values = getattr(claim, key), getattr(claim, where)
            if name not in names:
                yield f"{claim_key}.{key}", unknown("experiment", name, names)
            elif name in experiments:
                problems = [
                    (place.replace("where", where), message)
                    for place, message in _where_problems(values, name, experiments[name], combinations[name])
                ]
                values = with_dynamics(values, experiments[name])
                runs = [(axes, of) for axes, of in combinations[name] if problems or chosen(axes, values)]
                dt = experiments[name].metrics.velocity_dt[0]
                problems += [(key, message) for message in _lacking(claim, needs, runs, dt)]
                if key == "beside" and isinstance(claim, LazyNetworksReactivate):
                    dynamics = {str(axes.get("dynamics")) for axes, _ in combinations[name]}
                    if not {"network", "linearized"} <= dynamics:
                        problems.append((key, "should have dynamics: [network, linearized] in its grid"))
                if any(of.dynamics == "linearized" for _, of in runs):
                    problems.append((key, "has linearised twins there, which have no kernels: claims need networks"))
                for asked, kernel in kernels.items():
                    if any(kernel not in of.kernels for _, of in combinations[name]):
                        problems.append((key, f"should compute the kernel {kernel}, which claims.{asked} asks for"))
                yield from (
                    (f"{claim_key}.{place}", f"{name} {message}" if place == key else message)
                    for place, message in problems
                )


def _lacking(claim: Claim, needs: Mapping[str, int], runs: Outlines, dt: int) -> Iterator[str]:
    """What a claim needs and its runs lack."""
    for axis, least in needs.items():
        values = {axes[axis] for axes, _ in runs if axis in axes}
        if len(values) < least:
            yield f"should have {least} values of {axis} in its grid, or more"
        elif not all(isinstance(value, int | float) for value in values):
            yield f"has values of {axis} that are not numbers"
        elif axis == claim.zero and 0 not in values:
            yield f"should have the value 0 of {axis} in its grid"
    fewest = min((len(of.epochs) for _, of in runs), default=claim.tasks)
    if fewest < claim.tasks:
        yield f"should have {claim.tasks} tasks, but has {fewest}"
    if any(epochs % dt or epochs < 2 * dt for _, of in runs for epochs in of.epochs):
        yield f"should train each task for a multiple of velocity_dt ({dt}) epochs, and for twice that at least"


# ---------------------------------------------------------------------------------------------------- panels
def _panel_problems(panel: AnyPanel, experiment: Experiment | Imported, forms: list[Outline]) -> Problems:
    """What is wrong with a panel. `forms`: the outline of each combination of its experiment's grid."""
    if isinstance(panel, Convergence):  # it shows untrained networks, not runs
        if isinstance(experiment, Imported):
            yield "experiment", "has kernels from files, but no networks, which convergence needs"
        return
    most = max(len(of.epochs) for of in forms)
    of_kernel = isinstance(panel, Spectrum) or is_of(panel.metric, "kernel")
    lacking = next((of for of in forms if panel.kernel not in of.kernels), None)
    if of_kernel and lacking:
        yield "kernel", f"the experiment {'computes' if lacking.tested else 'has'} {', '.join(lacking.kernels)} only"
    if isinstance(panel, Spectrum):
        yield from _block_problems("eigenvalues", [panel.block], forms)
        return
    if not of_kernel and not all(of.tested for of in forms):
        yield (
            "metric",
            f"{panel.metric} needs predictions, but the experiment has kernels only: choose a metric of kernels",
        )
        return
    kinds = METRICS[panel.metric].blocks
    if most == 1 and ("earlier" in kinds or "all" not in kinds):
        yield "metric", f"{panel.metric} needs a second task"
        return
    steps = experiment.metrics.velocity_dt
    epochs = max(sum(of.epochs) for of in forms)
    if METRICS[panel.metric].rate and (panel.dt or steps[0]) > epochs:
        yield "dt", f"{panel.dt or steps[0]} epochs are more than the {epochs:g} of a run"
    if panel.dt is not None and panel.dt not in steps:
        yield "dt", f"{panel.dt} is not in the experiment's velocity_dt {steps}"
    yield from _block_problems(panel.metric, filled_panel(panel, experiment)["block"], forms)
    if isinstance(panel, Curves):
        yield from _time_problems(panel, forms)
        return
    if panel.x == "similarity" and not all(of.tested for of in forms):
        yield "x", "should name an axis of the grid: files of kernels do not say how similar the tasks are"
    relative = panel.statistic in ("drop", "recovery")
    if panel.metric in ("forgetting", "forgetting_within_task") and relative:
        yield "statistic", f"{panel.metric} has no {panel.statistic}: at a switch nothing is forgotten yet"
    fewest = min(len(of.epochs) for of in forms)
    if panel.task > fewest:
        yield "task", f"{panel.task} is more than the {fewest} of a run"
    elif panel.task == 1 and (relative or panel.x == "similarity"):
        yield "task", f"the first task has no {panel.statistic if relative else 'similarity'}: there is none before it"


def _time_problems(panel: Curves, forms: list[Outline]) -> Problems:
    """What is wrong with a panel's time, given the outline of each combination of the grid."""
    if (panel.time == "iterations" or panel.unit == "steps") and not all(of.steps for of in forms):
        key = "unit" if panel.unit else "time"
        yield key, "needs steps, which the files of kernels do not have: add step to them, or count in epochs"
    if panel.time != "since_switch":
        for key in ("unit", "task"):
            if getattr(panel, key) is not None:
                yield key, f"belongs to time: since_switch, and time is {panel.time} here: remove it, or change time"
        return
    fewest = min(len(of.epochs) for of in forms)
    if (panel.task or 2) > fewest:
        yield ("task" if panel.task else "time"), f"needs a task {panel.task or 2}, but the runs have {fewest}"


def _block_problems(metric: str, wanted: list[str], forms: list[Outline]) -> Problems:
    """Blocks in `wanted` that the metric does not have. `forms`: the outline of each combination of the grid."""
    known = list(dict.fromkeys(name for of in forms for name in blocks(metric, of)))
    for block in wanted:
        if block not in known:
            yield "block", f"{metric} has no block {block!r}; it has {', '.join(known) or 'none'}"


def blocks(metric: str, of: Outline) -> list[str]:
    """The blocks on which `metric` has values, by name: parts of the probe, or of the test set."""
    kinds, tasks = METRICS[metric].blocks, [f"task{k}" for k in range(1, len(of.epochs) + 1)]
    own = [f"task{k}" for k in of.parts] if METRICS[metric].of == "kernel" else tasks
    halves = [prefix + half for prefix in ("", *(f"{name}_" for name in own)) for half in ("train", "held_out")]
    names = {
        "all": ["all"],
        "task": own,
        "earlier": tasks[:-1],
        "pair": ["-".join(pair) for pair in itertools.combinations(own, 2)],
        "half": halves if of.held_out else [],
        "current": ["current"] if own == tasks else [],
        "probe": ["probe"],
    }
    return [name for kind in kinds for name in names[kind]]

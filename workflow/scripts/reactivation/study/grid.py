"""The grid of an experiment, and which of its runs a panel shows.

A grid axis is any key of `scenario`, `model` or `training`, by its name.
"""

import itertools
from collections.abc import Collection
from typing import Any

from reactivation.catalogue import METRICS, is_of
from reactivation.study.arithmetic import evaluate, is_arithmetic
from reactivation.study.schema_experiments import SECTIONS, Experiment, Imported
from reactivation.study.schema_figures import AnyPanel, Figure

# Every combination of a grid: the value of each axis, and the experiment with these values in place.
Variants = list[tuple[dict[str, Any], Experiment | Imported]]
Experiments = dict[str, Experiment | Imported]
DRAW = "draw"  # the axis of an experiment with several probes
DEFAULT_BLOCK = {"all": "all", "current": "current", "pair": "task1-task2"}  # by kind: the first that a metric has
SECTION_OF = {key: name for name, forms in SECTIONS.items() for form in forms for key in form.model_fields}


def section_of(key: str) -> str | None:
    """The section of an experiment that holds the grid axis `key`."""
    return SECTION_OF.get(key)


def axis_names() -> list[str]:
    """Every key that can be an axis."""
    return sorted(SECTION_OF)


def with_values(experiment: Any, values: dict[str, Any]) -> Any:
    """A raw `experiment` with the grid axes set to `values`; sections that are not mappings do not change."""
    if not isinstance(experiment, dict):
        return experiment
    changed = dict(experiment)
    for key, value in values.items():
        section = section_of(key)
        if section and isinstance(changed.get(section, {}), dict):
            changed[section] = {**changed.get(section, {}), key: value}
    return changed


def variants(experiment: Experiment | Imported) -> Variants:
    """Every combination of the grid, and of several probes. Axes of kernels from files set no key of the experiment."""
    if isinstance(experiment, Imported):
        lists = itertools.product(*experiment.grid.values())
        return [(dict(zip(experiment.grid, values, strict=True)), experiment) for values in lists]
    base = experiment.model_dump(exclude_unset=True)  # a default may belong to one form of a section only
    draws = range(experiment.probe.draws)
    combinations: Variants = []
    for values in itertools.product(*experiment.grid.values()):
        variant = Experiment.model_validate(with_values(base, dict(zip(experiment.grid, values, strict=True))))
        axes = {key: getattr(getattr(variant, SECTION_OF[key]), key) for key in experiment.grid}
        combinations += [(axes | {DRAW: draw}, variant) for draw in draws] if len(draws) > 1 else [(axes, variant)]
    return combinations


def draws_pooled(experiment: Experiment | Imported, chosen: Collection[str | None]) -> int:
    """The number of probes over which a panel's bands go: 1 unless there are several and `chosen` leaves out the axis.

    `chosen`: the axes that the panel shows or fixes.
    """
    return 1 if isinstance(experiment, Imported) or DRAW in chosen else experiment.probe.draws


def view(figure: Figure, panel: AnyPanel, experiments: Experiments) -> tuple[str, str | None, dict[str, Any]]:
    """The experiment that a panel shows ('' if none), the axis of its colors, and the values that choose its runs."""
    name, where = panel.experiment or figure.experiment or "", figure.where | panel.where
    color = panel.color or figure.color
    if panel.kind in ("spectrum", "convergence"):
        color = None  # colors tell a spectrum's eigenvalues apart; a convergence has one color
    if name in experiments and "dynamics" not in (color, getattr(panel, "x", None)):
        where = with_dynamics(where, experiments[name], getattr(panel, "metric", None))
    return name, color, where


def with_dynamics(
    where: dict[str, Any], experiment: Experiment | Imported, metric: str | None = None
) -> dict[str, Any]:
    """`where`, with a default for `dynamics` if that is an axis: twins for metrics of twins, networks otherwise."""
    meant = "linearized" if is_of(metric, "twin") else "network"
    return {"dynamics": meant, **where} if meant in experiment.grid.get("dynamics", []) else where


def filled_panel(panel: AnyPanel, experiment: Experiment | Imported) -> Any:
    """What a panel draws, complete, so that drawing has nothing to guess or look up.

    These are the panel's keys with defaults filled in, and the metric's entry in the catalogue. `block` is a list;
    `kernel`, `reference` and `dt` are None if the metric has none.
    """
    spec: Any = panel.model_dump(exclude={"experiment", "where", "color"})
    name = {"spectrum": "eigenvalues", "convergence": "convergence"}.get(spec["kind"]) or spec["metric"]
    metric = METRICS[name]
    spec |= {"metric": name, "words": metric.words, "detail": metric.detail, "bounded": metric.bounded}
    spec |= {"signed": metric.signed, "limits": list(metric.limits) if metric.limits else None}
    if spec["kind"] == "convergence":
        return spec | {"x": "width", "block": ["all"], "scale": "log", "reference": None, "dt": None}
    spec["kernel"] = spec["kernel"] if metric.of == "kernel" else None
    spec["reference"] = spec.get("reference") if metric.reference else None
    spec["dt"] = (spec.get("dt") or experiment.metrics.velocity_dt[0]) if metric.rate else None
    block = spec["block"] or next(name for kind, name in DEFAULT_BLOCK.items() if kind in metric.blocks)
    spec["block"] = block if isinstance(block, list) else [block]
    spec["scale"] = spec["scale"] or ("log" if metric.logarithmic else "linear")
    if metric.labels and experiment.metrics.alignment_labels == "integer":
        spec["detail"] = "labels as numbers"
    if chance := {words: list(names) for words, names in metric.chance.items() if _draws_chance(spec, names)}:
        spec["chance"] = chance
    if spec.get("time") == "since_switch":
        spec |= {"unit": spec["unit"] or "epochs", "task": spec["task"] or 2}
    # Panels without these keys have the specs that they had before there were such keys.
    return {key: value for key, value in spec.items() if key not in ("unit", "task", "others") or value is not None}


def _draws_chance(spec: Any, names: tuple[str, ...]) -> bool:
    """Whether a panel draws what `names` say of chance: over time all, at the end of a task a line only.

    Bands of several blocks would hide which of them a curve is in.
    """
    if len(names) > 1:
        return spec["kind"] == "curves" and len(spec["block"]) == 1
    return spec["kind"] == "curves" or (spec["kind"] == "summary" and spec["statistic"] == "last")


def counterpart(
    panel: AnyPanel, figure: Figure, other: Figure, experiments: dict[str, Experiment | Imported]
) -> int | None:
    """The position in `other` of the panel that draws the same for other runs; None if there is none."""

    def drawn(of: Figure, what: AnyPanel) -> dict[str, Any]:
        keys = filled_panel(what, experiments[view(of, what, experiments)[0]])
        return {key: value for key, value in keys.items() if key not in ("title", "x", "others")}

    wanted = drawn(figure, panel)
    return next((i for i, what in enumerate(other.panels) if drawn(other, what) == wanted), None)


def cell(value: Any) -> int | float | str:
    """An axis's value in a metric table. A list becomes text that readers do not take for a number: [0, 1]."""
    return value if isinstance(value, int | float | str) else "default" if value is None else str(value)


def chosen(axes: dict[str, Any], where: dict[str, Any]) -> bool:
    """Whether the combination `axes` of a grid has the values `where`."""
    return all(same(value, axes[key]) for key, value in where.items())


def same(value: Any, candidate: Any) -> bool:
    """Whether a config's `value` means `candidate`, a value of an axis. A number may be given as text or arithmetic."""
    if isinstance(candidate, int | float) and isinstance(value, str):
        try:
            return evaluate(value) == candidate
        except ValueError:
            return False
    if candidate == value:
        return True
    if isinstance(candidate, str) and isinstance(value, str) and is_arithmetic(candidate, "width"):
        return candidate == "".join(value.split())  # as an axis of learning rates has it
    return False

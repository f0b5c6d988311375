"""From the raw mapping of a config file to a checked `Study`, or to one line for everything that is wrong with it.

A grid axis is any key of `scenario`, `model` or `training`, by its name.
"""

import copy
import difflib
import itertools
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import pydantic
import yaml

from .schema import (
    KERNEL_METRICS,
    ClassSplit,
    Curves,
    Dataset,
    Experiment,
    Model,
    Panel,
    Strict,
    Study,
    Training,
)

# Folders that all studies share under results/; a study of the same name would overwrite them.
SHARED_FOLDERS = ("data", "splits", "probes", "segments", "logs")
TARGETS = ("all", "figures", "dataset", "split", "probe", "train", "ntk", "metrics", "figure")
SECTIONS = {"scenario": ClassSplit, "model": Model, "training": Training}


class ConfigError(Exception):
    """All that is wrong with a config, one line each."""


# ------------------------------------------------------------------------------------------------------ grid
def section_of(key: str) -> str | None:
    """The section of an experiment that holds the grid axis `key`."""
    return next((name for name, section in SECTIONS.items() if key in section.model_fields), None)


def _with(experiment: dict, values: dict[str, Any]) -> dict:
    """`experiment` with the grid axes set to `values`; sections that are no mappings stay as they are."""
    changed = copy.copy(experiment)
    if not isinstance(changed, dict):
        return changed
    for key, value in values.items():
        section = section_of(key)
        if section and isinstance(changed.get(section, {}), dict):
            changed[section] = {**changed.get(section, {}), key: value}
    return changed


def variants(experiment: Experiment) -> list[tuple[dict[str, Any], Experiment]]:
    """Every combination of the grid: its values by axis, and the experiment with these values in their places."""
    base = experiment.model_dump()
    combinations = []
    for values in itertools.product(*experiment.grid.values()):
        variant = Experiment.model_validate(_with(base, dict(zip(experiment.grid, values, strict=True))))
        axes = {key: getattr(getattr(variant, section_of(key)), key) for key in experiment.grid}
        combinations.append((axes, variant))
    return combinations


def _grid_lists(experiment: Any) -> dict[str, list]:
    """Those axes of a raw experiment's grid that can be tried: known keys with lists of values."""
    grid = experiment.get("grid") if isinstance(experiment, dict) else None
    grid = grid if isinstance(grid, dict) else {}
    return {key: values for key, values in grid.items() if section_of(key) and isinstance(values, list) and values}


# ---------------------------------------------------------------------------------------------------- errors
Errors = list[tuple[str, str]]  # path of the key, what is wrong with it
MISSING = "is missing"


def load_study(raw: dict, source: str = "config", texts: Iterable[str] = ()) -> Study:
    """The study that the mapping `raw` describes; `ConfigError` names everything that is wrong with it.

    `texts`: the YAML that `raw` was read from, if it was, to find keys given twice: YAML keeps the last in silence.
    """
    errors = [error for text in texts for error in _given_twice(yaml.compose(text, yaml.SafeLoader))]
    errors += _check_keys(raw) + _check_grids(raw) + _check_references(raw)
    if errors:
        lines = [f"  {path}: {message}" for path, message in dict.fromkeys(errors)]
        count = "1 error" if len(lines) == 1 else f"{len(lines)} errors"
        raise ConfigError("\n".join([f"{source}: {count}", *lines]))
    return Study.model_validate(_filled(raw))


def _given_twice(node: yaml.Node | None, path: tuple = ()) -> Errors:
    if isinstance(node, yaml.SequenceNode):
        return [error for i, item in enumerate(node.value) for error in _given_twice(item, (*path, i))]
    if not isinstance(node, yaml.MappingNode):
        return []
    keys = [key.value for key, _ in node.value]
    found = [(_path((*path, key)), "is given twice") for i, key in enumerate(keys) if key in keys[:i]]
    return found + [error for key, value in node.value for error in _given_twice(value, (*path, key.value))]


def _filled(raw: Any) -> Any:
    """`raw` with the first value of each grid axis in its place, so that a key given only in a grid is not missing."""
    if not isinstance(raw, dict) or not isinstance(raw.get("experiments"), dict):
        return raw
    experiments = {
        name: _with(experiment, {key: values[0] for key, values in _grid_lists(experiment).items()})
        for name, experiment in raw["experiments"].items()
    }
    return {**raw, "experiments": experiments}


def _check_keys(raw: Any) -> Errors:
    """Types, ranges, unknown and missing keys. A grid's first value is tried here, in its key's place."""
    found = []
    for loc, message in _errors(Study, _filled(raw)):
        if len(loc) == 4 and loc[0] == "experiments" and loc[2] in SECTIONS:
            _, name, _, key = loc
            if key in _grid_lists(raw["experiments"][name]):
                loc = ("experiments", name, "grid", key, 0)
            elif message == MISSING and key in (raw["experiments"][name].get("grid") or {}):
                continue  # in the grid, with an error of its own
        if len(loc) == 3 and loc[0] == "experiments" and message == MISSING:
            grid = raw["experiments"][loc[1]].get("grid")
            if isinstance(grid, dict) and any(section_of(key) == loc[2] for key in grid):
                continue
        found.append((_path(loc), message))
    return found


def _errors(model: type[pydantic.BaseModel], raw: Any) -> list[tuple[tuple, str]]:
    """(location, message) of each error of `raw`."""
    try:
        model.model_validate(raw)
    except pydantic.ValidationError as error:
        return [(_location(e["loc"], raw), _message(e, e["loc"])) for e in error.errors(include_url=False)]
    return []


def _location(loc: tuple, raw: Any) -> tuple:
    """pydantic's location without the tags of unions, which are no keys of the file."""
    kept, here = [], raw
    for i, part in enumerate(loc):
        if isinstance(here, dict) and part not in here and i < len(loc) - 1:
            continue
        if part == "[key]":
            continue
        kept.append(part)
        try:
            here = here[part]
        except (KeyError, IndexError, TypeError):
            here = None
    return tuple(kept)


def _path(loc: tuple) -> str:
    return ".".join(map(str, loc)) or "(top level)"


def _known_keys() -> set[str]:
    pending, keys = [Strict], set()
    while pending:
        model = pending.pop()
        pending += model.__subclasses__()
        keys |= set(model.model_fields)
    return keys


def _message(error: dict, loc: tuple) -> str:
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(loc[-1]), _known_keys(), n=1)
        return "unknown key" + (f"; did you mean {close[0]}?" if close else "")
    if error["type"] == "missing":
        return MISSING
    text = error["msg"].removeprefix("Value error, ")
    return text if isinstance(error["input"], dict) else f"{text} (it is {error['input']!r})"


def _check_grids(raw: Any) -> Errors:
    """Axes that are no keys, and every further value of each axis, tried in its key's place."""
    found: Errors = []
    experiments = raw.get("experiments") if isinstance(raw, dict) else None
    for name, experiment in experiments.items() if isinstance(experiments, dict) else []:
        path = f"experiments.{name}.grid"
        grid = experiment.get("grid") if isinstance(experiment, dict) else None
        for key in grid if isinstance(grid, dict) else []:
            section = section_of(key)
            if section is None:
                axes = sorted(key for section in SECTIONS.values() for key in section.model_fields)
                close = difflib.get_close_matches(str(key), axes, n=1)
                hint = f"; did you mean {close[0]}?" if close else f"; axes are {', '.join(axes)}"
                found.append((f"{path}.{key}", f"is no key of {', '.join(SECTIONS)}{hint}"))
            elif isinstance(experiment.get(section), dict) and key in experiment[section]:
                found.append((f"{path}.{key}", f"is given in {section} as well; keep one of the two"))
        for key, values in _grid_lists(experiment).items():
            for i, value in enumerate(values[1:], start=1):
                errors = _errors(Experiment, _with(experiment, {key: value}))
                at = (section_of(key), key)
                found += [(f"{path}.{key}.{i}", message) for loc, message in errors if loc[:2] == at]
    return found


# ---------------------------------------------------------------------------- what one key says of another
def _check_references(raw: Any) -> Errors:
    """Names that must exist elsewhere in the config, and numbers that must fit together.

    Looks only at those parts that are sound by themselves; the others are reported already.
    """
    if not isinstance(raw, dict):
        return []
    datasets = _sound(pydantic.TypeAdapter(Dataset), raw.get("datasets"))
    experiments = _sound(pydantic.TypeAdapter(Experiment), _filled(raw).get("experiments"))
    experiments = {
        name: experiment
        for name, experiment in experiments.items()
        if not _check_grids({"experiments": {name: raw["experiments"][name]}})
    }
    figures = _sound(pydantic.TypeAdapter(Curves), raw.get("figures"))
    found: Errors = []
    if raw.get("study") in SHARED_FOLDERS:
        found.append(("study", f"{raw['study']} is a folder that all studies share; choose another name"))
    found += _unknown_names("experiments", "dataset", raw, "datasets", "data set")
    found += _unknown_names("figures", "experiment", raw, "experiments", "experiment")
    found += [
        (f"figures.{name}", "is the name of a target or rule; choose another") for name in figures if name in TARGETS
    ]
    for name, experiment in experiments.items():
        if experiment.dataset in datasets:
            wrong = _check_experiment(experiment, datasets[experiment.dataset])
            found += [(f"experiments.{name}.{key}", message) for key, message in wrong]
    for name, figure in figures.items():
        if figure.experiment in experiments:
            wrong = _check_figure(figure, experiments[figure.experiment])
            found += [(f"figures.{name}.{key}", message) for key, message in wrong]
    return found


def _unknown_names(section: str, key: str, raw: dict, target: str, what: str) -> Errors:
    """Entries of `section` whose `key` names no entry of `target`."""
    entries = raw.get(section) if isinstance(raw.get(section), dict) else {}
    known = raw.get(target) if isinstance(raw.get(target), dict) else {}
    named = {name: entry.get(key) for name, entry in entries.items() if isinstance(entry, dict)}
    return [
        (f"{section}.{name}.{key}", _unknown(what, value, known))
        for name, value in named.items()
        if isinstance(value, str) and value not in known
    ]


def _sound(adapter: pydantic.TypeAdapter, entries: Any) -> dict:
    """Those entries of a mapping that are valid by themselves."""
    sound = {}
    for name, entry in entries.items() if isinstance(entries, dict) else []:
        try:
            sound[name] = adapter.validate_python(entry)
        except pydantic.ValidationError:
            continue  # reported by _check_keys
    return sound


def _unknown(what: str, name: str, known: Any) -> str:
    return f"there is no {what} {name!r}; this config has {', '.join(map(str, known)) or 'none'}"


def _check_experiment(experiment: Experiment, dataset: Any) -> Iterator[tuple[str, str]]:
    """(key, what is wrong) for every combination of the grid."""
    combinations = variants(experiment)
    if len(combinations) > len({str(axes) for axes, _ in combinations}):
        yield "grid", "gives the same values twice, written in two ways"
    for _, variant in combinations:
        scenario = variant.scenario
        needed = scenario.tasks * scenario.classes_per_task
        outside = [c for c in scenario.class_order or [] if c >= dataset.classes]
        available, owner = dataset.classes, f"{experiment.dataset} has"
        if scenario.class_order is not None:
            available, owner = len(scenario.class_order), "class_order names"
        if outside:
            has = f"{experiment.dataset} has classes 0 to {dataset.classes - 1}"
            yield "scenario.class_order", f"class {outside[0]} is out of range: {has}"
        elif needed > available:
            wanted = f"{scenario.tasks} tasks of {scenario.classes_per_task} classes need {needed} classes"
            yield "scenario", f"{wanted}; {owner} {available}"
        every = variant.checkpoints.every
        for dt in variant.metrics.velocity_dt:
            if dt % every:
                yield "metrics.velocity_dt", f"{dt} is no multiple of checkpoints.every ({every})"


def _check_figure(figure: Curves, experiment: Experiment) -> Iterator[tuple[str, str]]:
    axes = {key: [values[key] for values, _ in variants(experiment)] for key in experiment.grid}
    missing = f"is no axis of {figure.experiment}, which has {', '.join(axes) or 'none'}"
    if figure.color not in axes:
        yield "color", f"{figure.color} {missing}"
    for key, value in figure.where.items():
        if key not in axes:
            yield f"where.{key}", missing
        elif same(value, axes[key]) is None:
            yield f"where.{key}", f"{value!r} is not in the grid, which has {experiment.grid[key]}"
    for key in axes if figure.color in axes else []:
        if len(experiment.grid[key]) > 1 and key != figure.color and key not in figure.where:
            yield "where", f"must choose one value of {key}, of which the grid has several"
    for i, panel in enumerate(figure.panels):
        for key, message in _check_panel(panel, experiment):
            yield f"panels.{i}.{key}", message


def _check_panel(panel: Panel, experiment: Experiment) -> Iterator[tuple[str, str]]:
    scenarios = [(v.scenario.tasks, v.scenario.tasks * v.training.epochs) for _, v in variants(experiment)]
    tasks, epochs = max(tasks for tasks, _ in scenarios), max(epochs for _, epochs in scenarios)
    known, steps = blocks(panel.metric, tasks), experiment.metrics.velocity_dt
    if panel.metric in ("cross_task_overlap", "forgetting") and tasks == 1:
        yield "metric", f"{panel.metric} needs a second task"
        return
    if panel.metric == "kernel_velocity" and (panel.dt or steps[0]) > epochs:
        yield "dt", f"{panel.dt or steps[0]} epochs are more than the {epochs} of a run"
    if panel.metric in get_args(KERNEL_METRICS) and panel.kernel not in experiment.kernels:
        yield "kernel", f"the experiment computes {', '.join(experiment.kernels)} only"
    if panel.dt is not None and panel.dt not in steps:
        yield "dt", f"{panel.dt} is not in the experiment's velocity_dt {steps}"
    for block in panel.block or []:
        if block not in known:
            yield "block", f"{panel.metric} has no block {block!r}; it has {', '.join(known)}"


def blocks(metric: str, tasks: int) -> list[str]:
    """Names of the parts of the probe, or of the test set, on which `metric` is computed."""
    names = [f"task{k}" for k in range(1, tasks + 1)]
    if metric == "cross_task_overlap":
        return [f"{a}-{b}" for a, b in itertools.combinations(names, 2)]
    return ["all", *names] if metric == "forgetting" else ["all", *names, "current"]


def same(value: Any, values: list) -> Any:
    """The one of `values` that a config's `value` means (numbers compared as numbers), or None."""
    for candidate in values:
        if candidate == value:
            return candidate
        if isinstance(candidate, int | float) and isinstance(value, str):
            try:
                if float(value) == candidate:
                    return candidate
            except ValueError:
                continue
    return None

"""From the raw mapping of a config file to a checked `Study`, or to one line for everything that is wrong with it.

A grid axis is any key of `scenario`, `model` or `training`, by its name.
"""

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
    if not isinstance(experiment, dict):
        return experiment
    changed = dict(experiment)
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


def _mapping(parent: Any, key: str) -> dict:
    """The mapping under `key` of a raw config's part; empty where there is none."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


def _grid_lists(experiment: Any) -> dict[str, list]:
    """Those axes of a raw experiment's grid that can be tried: known keys with lists of values."""
    grid = _mapping(experiment, "grid")
    return {key: values for key, values in grid.items() if section_of(key) and isinstance(values, list) and values}


# ---------------------------------------------------------------------------------------------------- errors
Errors = list[tuple[str, str]]  # path of the key, what is wrong with it
MISSING = "is missing"


def load_study(raw: dict, source: str = "config", texts: Iterable[str] = ()) -> Study:
    """The study that the mapping `raw` describes; `ConfigError` names everything that is wrong with it.

    `texts`: the YAML that `raw` was read from, if it was, to find keys given twice: YAML keeps the last in silence.
    """
    errors = [error for text in texts for error in _given_twice(yaml.compose(text, yaml.SafeLoader))]
    grids = {name: list(_check_grid(experiment)) for name, experiment in _mapping(raw, "experiments").items()}
    errors += _check_keys(raw)
    errors += [(f"experiments.{name}.grid.{key}", message) for name in grids for key, message in grids[name]]
    errors += _check_references(raw, {name for name in grids if not grids[name]})
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
    experiments = {
        name: _with(experiment, {key: values[0] for key, values in _grid_lists(experiment).items()})
        for name, experiment in _mapping(raw, "experiments").items()
    }
    return {**raw, "experiments": experiments} if experiments else raw


def _check_keys(raw: Any) -> Errors:
    """Types, ranges, unknown and missing keys. A grid's first value is tried here, in its key's place."""
    found = []
    for loc, message in _errors(Study, _filled(raw)):
        place = loc[2:]  # (section, key), or the section alone if all of it is missing
        if loc[0:1] == ("experiments",) and place and place[0] in SECTIONS:
            experiment = raw["experiments"][loc[1]]
            if len(place) == 2 and place[1] in _grid_lists(experiment):
                loc = (*loc[:2], "grid", place[1], 0)
            elif message == MISSING and any(
                (section_of(key), key)[: len(place)] == place for key in _mapping(experiment, "grid")
            ):
                continue  # in the grid, with an error of its own
        found.append((_path(loc), message))
    return found


def _errors(model: type[pydantic.BaseModel], raw: Any) -> list[tuple[tuple, str]]:
    """(location, message) of each error of `raw`."""
    try:
        model.model_validate(raw)
    except pydantic.ValidationError as error:
        return [(_location(e["loc"], raw), _message(e)) for e in error.errors(include_url=False)]
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


def _message(error: dict) -> str:
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(error["loc"][-1]), _known_keys(), n=1)
        return "unknown key" + (f"; did you mean {close[0]}?" if close else "")
    if error["type"] == "missing":
        return MISSING
    text = error["msg"].removeprefix("Value error, ")
    return text if isinstance(error["input"], dict) else f"{text} (it is {error['input']!r})"


def _check_grid(experiment: Any) -> Iterator[tuple[str, str]]:
    """Axes that are no keys, and every further value of each axis, tried in its key's place."""
    for key in _mapping(experiment, "grid"):
        section = section_of(key)
        if section is None:
            axes = sorted(key for section in SECTIONS.values() for key in section.model_fields)
            close = difflib.get_close_matches(str(key), axes, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; axes are {', '.join(axes)}"
            yield str(key), f"is no key of {', '.join(SECTIONS)}{hint}"
        elif key in _mapping(experiment, section):
            yield key, f"is given in {section} as well; keep one of the two"
    for key, values in _grid_lists(experiment).items():
        for i, value in enumerate(values[1:], start=1):
            for loc, message in _errors(Experiment, _with(experiment, {key: value})):
                if loc[:2] == (section_of(key), key):
                    yield f"{key}.{i}", message


# ---------------------------------------------------------------------------- what one key says of another
def _check_references(raw: Any, sound_grids: set[str]) -> Errors:
    """Names that must exist elsewhere in the config, and numbers that must fit together.

    Looks only at those parts that are sound by themselves; the others are reported already.
    """
    if not isinstance(raw, dict):
        return []
    datasets = _sound(pydantic.TypeAdapter(Dataset), _mapping(raw, "datasets"))
    experiments = _sound(pydantic.TypeAdapter(Experiment), _mapping(_filled(raw), "experiments"))
    experiments = {name: experiment for name, experiment in experiments.items() if name in sound_grids}
    figures = _sound(pydantic.TypeAdapter(Curves), _mapping(raw, "figures"))
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
    known = _mapping(raw, target)
    named = {name: entry.get(key) for name, entry in _mapping(raw, section).items() if isinstance(entry, dict)}
    return [
        (f"{section}.{name}.{key}", _unknown(what, value, known))
        for name, value in named.items()
        if isinstance(value, str) and value not in known
    ]


def _sound(adapter: pydantic.TypeAdapter, entries: dict) -> dict:
    """Those entries of a mapping that are valid by themselves."""
    sound = {}
    for name, entry in entries.items():
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
    combinations = variants(experiment)
    axes = {key: [values[key] for values, _ in combinations] for key in experiment.grid}
    missing = f"is no axis of {figure.experiment}, which has {', '.join(axes) or 'none'}"
    if figure.color not in axes:
        yield "color", f"{figure.color} {missing}"
    for key, value in figure.where.items():
        if key not in axes:
            yield f"where.{key}", missing
        elif not any(same(value, candidate) for candidate in axes[key]):
            yield f"where.{key}", f"{value!r} is not in the grid, which has {experiment.grid[key]}"
    for key in axes if figure.color in axes else []:
        if len(experiment.grid[key]) > 1 and key != figure.color and key not in figure.where:
            yield "where", f"must choose one value of {key}, of which the grid has several"
    lengths = [(v.scenario.tasks, v.scenario.tasks * v.training.epochs) for _, v in combinations]
    for i, panel in enumerate(figure.panels):
        for key, message in _check_panel(panel, experiment, lengths):
            yield f"panels.{i}.{key}", message


def _check_panel(panel: Panel, experiment: Experiment, lengths: list[tuple[int, int]]) -> Iterator[tuple[str, str]]:
    """`lengths`: tasks and epochs of each combination of the grid."""
    tasks, epochs = (max(length) for length in zip(*lengths, strict=True))
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


def same(value: Any, candidate: Any) -> bool:
    """Whether a config's `value` means `candidate`, a value of an axis; a number may be given as text."""
    if isinstance(candidate, int | float) and isinstance(value, str):
        try:
            return float(value) == candidate
        except ValueError:
            return False
    return candidate == value

"""From the raw mapping of a config file to a checked `Study`, or to one line for each error."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

import pydantic
import yaml

from reactivation.errors import InputError
from reactivation.study.checks import (
    beside_problems,
    claim_problems,
    experiment_problems,
    figure_problems,
    path_problems,
    unknown,
)
from reactivation.study.grid import Variants, axis_names, section_of, variants, with_values
from reactivation.study.outline import Outlines, outlines
from reactivation.study.overlays import overlay_problems
from reactivation.study.reserved import FOLDERS, TARGETS
from reactivation.study.schema import Study
from reactivation.study.schema_claims import TAGS, Claim, Claims
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import SECTIONS, AnyExperiment, Experiment, Imported
from reactivation.study.schema_figures import AnyPanel, Figure, Others
from reactivation.study.schema_imported import FORMS, KernelFile, is_imported
from reactivation.study.values import name_of


class ConfigError(Exception):
    """All errors of a config, one line each."""


Errors = list[tuple[str, str]]  # path of the key, what is wrong with it
MISSING = "is missing"


def as_given(config: Mapping[str, Any]) -> dict[str, Any]:
    """The study as its user gave it: a job's config without what rule files add to it."""
    return {key: value for key, value in config.items() if key not in ("where", "report")}


def load_study(raw: dict, source: str = "config", texts: Iterable[str] = ()) -> Study:
    """The study that the mapping `raw` describes. ConfigError names everything that is wrong with it.

    `source` is the config's name in messages. `texts` is the YAML that `raw` was read from, if any: keys that are given
    twice are found there, as YAML silently keeps the last.
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
    """`raw` with the first value of each axis in its key's place, so that a key given only in a grid is not missing."""
    experiments = {
        name: with_values(experiment, {key: values[0] for key, values in _grid_lists(experiment).items()})
        for name, experiment in _mapping(raw, "experiments").items()
    }
    return {**raw, "experiments": experiments} if experiments else raw


def _check_keys(raw: Any) -> Errors:
    """Wrong types and ranges, unknown and missing keys. The first value of each axis is tried in its key's place."""
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
                continue  # it is in the grid, where its error is reported
        found.append((_path(loc), message))
    return found


def _errors(model: type[pydantic.BaseModel], raw: Any) -> list[tuple[tuple, str]]:
    """(location, message) of each error of `raw`."""
    try:
        model.model_validate(raw)
    except pydantic.ValidationError as error:
        found = [
            e | {"loc": tuple(p for p in e["loc"] if p not in (*FORMS, *TAGS))} for e in error.errors(include_url=False)
        ]
        return [(_location(_named(e), raw), _message(e)) for e in found]
    return []


def _named(error: Mapping[str, Any]) -> tuple:
    """pydantic's location, with the key that names the form of a section."""
    discriminator = error["ctx"]["discriminator"].strip("'") if error["type"] == "union_tag_invalid" else None
    return error["loc"] if discriminator is None else (*error["loc"], discriminator)


def _location(loc: tuple, raw: Any) -> tuple:
    """pydantic's location without the tags of unions, which are not keys of the file."""
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


def _keys_at(loc: tuple) -> tuple[set[str], set[str]]:
    """Keys that a mistyped one may stand for, and those of any form of its section if it has several."""
    sections = {**SECTIONS, "kernels": (KernelFile,)}
    section = sections.get(loc[2]) if loc[0] == "experiments" and len(loc) > 3 else None
    forms = {
        "experiments": section or (Experiment, Imported),
        "datasets": get_args(get_args(Dataset)[0]),
        "figures": (Figure, Others, *get_args(get_args(AnyPanel)[0])),
        "claims": (Claims, *Claim.__subclasses__()) if len(loc) > 2 else (Claims,),
    }.get(loc[0] if len(loc) > 1 else "", (Study,))
    keys = {key for form in forms for key in form.model_fields}
    return keys, keys if len(forms) > 1 else set()


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] == "extra_forbidden":
        key = str(error["loc"][-1])
        near, elsewhere = _keys_at(error["loc"])
        if key in elsewhere:
            return "does not belong here; it is a key of another kind"
        close = difflib.get_close_matches(key, near, n=1)
        return "unknown key" + (f"; did you mean {close[0]}?" if close else "")
    if error["type"] == "missing":
        return MISSING
    if error["type"] == "union_tag_not_found":
        return "needs the key " + error["ctx"]["discriminator"].strip("'")
    if error["type"] == "union_tag_invalid":
        return f"should be one of {error['ctx']['expected_tags']} (it is {error['ctx']['tag']!r})"
    if error["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"should be a mapping of keys to values (it is {_brief(error['input'])})"
    if error["type"] == "string_pattern_mismatch":
        return f"should be a {name_of(error['ctx']['pattern'])} (it is {error['input']!r})"
    text = error["msg"].removeprefix("Value error, ")
    return text if isinstance(error["input"], dict) else f"{text} (it is {_brief(error['input'])})"


def _brief(value: Any) -> str:
    """The beginning of a wrong value, as it was given."""
    return textwrap.shorten(repr(value), 80, placeholder=" …")


def _check_grid(experiment: Any) -> Iterator[tuple[str, str]]:
    """Axes that are not keys, and invalid values of axes. All but the first are tried here, in their key's place."""
    for key in () if is_imported(experiment) else _mapping(experiment, "grid"):
        section = section_of(key)
        if section is None:
            close = difflib.get_close_matches(str(key), axis_names(), n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; axes are {', '.join(axis_names())}"
            yield str(key), f"is not a key of {', '.join(SECTIONS)}{hint}"
        elif key in _mapping(experiment, section):
            yield key, f"is given in {section} as well; keep one of the two"
    for key, values in _grid_lists(experiment).items():
        for i, value in enumerate(values[1:], start=1):
            for loc, message in _errors(Experiment, with_values(experiment, {key: value})):
                if loc[:2] == (section_of(key), key):
                    yield f"{key}.{i}", message


def _mapping(parent: Any, key: str) -> dict:
    """The mapping under `key` in a part of a raw config; empty if there is none."""
    value = parent.get(key) if isinstance(parent, dict) else None
    return value if isinstance(value, dict) else {}


def _grid_lists(experiment: Any) -> dict[str, list]:
    """The axes of a raw experiment's grid that can be tried: known keys with lists of values."""
    grid = {} if is_imported(experiment) else _mapping(experiment, "grid")
    return {key: values for key, values in grid.items() if section_of(key) and isinstance(values, list) and values}


def _check_references(raw: Any, sound_grids: set[str]) -> Errors:
    """Names that do not exist elsewhere in the config, and numbers that do not fit together."""
    if not isinstance(raw, dict):
        return []
    datasets = _sound(pydantic.TypeAdapter(Dataset), _mapping(raw, "datasets"))
    experiments = _sound(pydantic.TypeAdapter(AnyExperiment), _mapping(_filled(raw), "experiments"))
    experiments = {name: experiment for name, experiment in experiments.items() if name in sound_grids}
    figures = _sound(pydantic.TypeAdapter(Figure), _mapping(raw, "figures"))
    combinations, found = {}, []
    for name in list(experiments):
        try:
            combinations[name] = variants(experiments[name])
        except pydantic.ValidationError as error:  # each value is valid alone, but not all together
            first = error.errors(include_url=False)[0]
            first["loc"] = ("experiments", name, *first["loc"])
            key = ".".join(str(part) for part in first["loc"] if part in (*SECTIONS, *axis_names()))
            found.append((f"experiments.{name}.grid", f"has a combination that is not valid: {key}: {_message(first)}"))
            del experiments[name]
    outlined, wrong_files = _outlined(combinations, raw)
    found += [(f"experiments.{name}.kernels.path", message) for name, message in wrong_files]
    experiments = {name: experiment for name, experiment in experiments.items() if name in outlined}
    if str(raw.get("study")).casefold() in FOLDERS:  # there are file systems that ignore case
        found.append(("study", f"{raw['study']} is a folder that all studies share; choose another name"))
    known = _mapping(raw, "datasets")
    for name, entry in _mapping(raw, "experiments").items():
        dataset = entry.get("dataset") if isinstance(entry, dict) and not is_imported(entry) else None
        if isinstance(dataset, str) and dataset not in known:
            found.append((f"experiments.{name}.dataset", unknown("data set", dataset, known)))
        elif name in experiments and dataset in datasets:
            problems = experiment_problems(experiments[name], combinations[name], datasets[dataset])
            found += [(f"experiments.{name}.{key}", message) for key, message in problems]
    for name, figure in figures.items():
        if name in TARGETS:
            found.append((f"figures.{name}", "is the name of a target or rule; choose another"))
        wrong = [
            *figure_problems(figure, experiments, outlined, _mapping(raw, "experiments")),
            *beside_problems(figure, figures, experiments, _mapping(raw, "figures")),
        ]
        if not wrong and isinstance(root := _data_root(raw), str):
            wrong = list(overlay_problems(figure, experiments, outlined, root))
        found += [(f"figures.{name}.{key}", message) for key, message in wrong]
    each = {key: {key: value} for key, value in _mapping(raw, "claims").items()}
    claims = _sound(pydantic.TypeAdapter(Claims), each)  # each key is checked alone
    kernels = {key: of for key in ("kernel", "kernel_beside") if (of := getattr(claims.get(key, Claims()), key))}
    for claim in claims.values():
        problems = claim_problems(claim, kernels, experiments, outlined, _mapping(raw, "experiments"))
        found += [(f"claims.{key}", message) for key, message in problems]
    return found


def _outlined(combinations: dict[str, Variants], raw: dict) -> tuple[dict[str, Outlines], Errors]:
    """The outlines of each experiment's runs, and what is wrong with files of kernels: (experiment, message)."""
    seeds, root = raw.get("seeds"), _data_root(raw)
    outlined, found = {}, []
    for name, forms in combinations.items():
        form = forms[0][1]
        wrong = list(path_problems(form)) if isinstance(form, Imported) else []
        found += [(name, message) for message in wrong]
        # Without valid seeds and a valid data_root, files cannot be found; _check_keys reports these keys.
        if not wrong and (isinstance(form, Experiment) or (isinstance(seeds, list) and isinstance(root, str))):
            try:
                outlined[name] = outlines(forms, seeds or [], root)
            except InputError as error:
                found.append((name, str(error)))
    return {name: of for name, of in outlined.items() if of}, found


def _data_root(raw: dict) -> Any:
    return raw.get("data_root", Study.model_fields["data_root"].default)


def _sound(adapter: pydantic.TypeAdapter, entries: dict) -> dict:
    """The entries of a mapping that are valid by themselves."""
    sound = {}
    for name, entry in entries.items():
        try:
            sound[name] = adapter.validate_python(entry)
        except pydantic.ValidationError:
            continue  # reported by _check_keys
    return sound

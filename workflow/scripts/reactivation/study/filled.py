"""A study with every default filled in, as a config that loads to the same study: whole, or as it is published."""

from pathlib import Path
from typing import Any, get_args

from reactivation.storage.files import is_own_path
from reactivation.study.schema import Study
from reactivation.study.schema_experiments import SECTIONS, Experiment

FORM = {"scenario": "kind", "model": "name"}  # the key that says which form a section has


def filled(study: Study) -> dict[str, Any]:
    """The whole config of `study`. A key that a grid gives is in the grid only, as in a user's config."""
    config = study.model_dump()
    for name, experiment in study.experiments.items():
        if not isinstance(experiment, Experiment):
            continue
        for section in SECTIONS:
            kept = _fitting(experiment, section) - set(experiment.grid)
            whole = config["experiments"][name][section]
            config["experiments"][name][section] = {key: value for key, value in whole.items() if key in kept}
    return config


def published(study: Study) -> dict[str, Any]:
    """`filled`, without folders of one machine or user that are not part of the study's identity.

    An absolute `root` of an image folder, or `path` of kernels, stays: without it, this would be another study. Of the
    `path` of others' numbers, the file's name does: it is then looked for in `data_root`.
    """
    config = filled(study)
    if is_own_path(config["data_root"]):
        del config["data_root"]
    for entry in config["datasets"].values():
        if entry["source"] == "torchvision" and is_own_path(entry["root"]):
            del entry["root"]
    drawn = (panel.get("others") for figure in config["figures"].values() for panel in figure["panels"])
    for others in filter(None, drawn):
        others["path"] = Path(others["path"]).name if is_own_path(others["path"]) else others["path"]
    return config


def _fitting(experiment: Experiment, section: str) -> set[str]:
    """The keys of a section that are given, or that all its forms have: a grid may name several forms."""
    given, key = getattr(experiment, section), FORM.get(section)
    named = [
        form
        for form in SECTIONS[section]
        if key in experiment.grid and get_args(form.model_fields[key].annotation)[0] in experiment.grid[key]
    ]
    return given.model_fields_set.union(set.intersection(*(set(form.model_fields) for form in named or [type(given)])))

"""Paths of keys of the tiny study, edits that tests of several rooms make, and the lines on mistakes."""

import pytest

from reactivation.study.load import ConfigError, load_study

EXPERIMENT = "experiments.widths"
FIGURE = "figures.fig4"
BOTH = (f"{EXPERIMENT}.grid.dynamics", ["network", "linearized"])
GRID = {"width": [2, 4], "lr": [0.1, 0.01]}
MIXTURE = {"kind": "mixture", "first": [0, 1], "second": [2, 3], "start": 0.5, "alpha": 0.9}


def errors(config):
    """The lines on what is wrong with a config, one for each mistake."""
    with pytest.raises(ConfigError) as caught:
        load_study(config, "study.yaml")
    head, *lines = str(caught.value).splitlines()
    assert head == f"study.yaml: {'1 error' if len(lines) == 1 else f'{len(lines)} errors'}"
    return [line.removeprefix("  ") for line in lines]

"""Grids: which combinations they have, and which of them a figure shows."""

from itertools import combinations

import numpy as np
import pytest

from edits import EXPERIMENT, FIGURE, errors
from elsewhere import mine, write
from helpers import changed
from reactivation.planning.plan import make_plan
from reactivation.storage.headers import BESIDE_AXES, SWITCHES
from reactivation.study.grid import axis_names, variants
from reactivation.study.load import load_study
from reactivation.study.schema_experiments import SECTIONS


def test_a_rate_may_be_chosen_as_it_is_written():
    rates = ["0.1/width", "1/1000"]
    for chosen in ("0.1 / width", "1/1000", 0.001):
        edits = [
            (f"{EXPERIMENT}.grid.lr", rates),
            (f"{EXPERIMENT}.training.lr", ...),
            (f"{FIGURE}.where", {"lr": chosen}),
        ]
        assert len(make_plan(load_study(changed(*edits))).figures["fig4"].runs) == 4


def test_a_word_with_spaces_can_be_chosen(tmp_path):
    """Spaces are left out of arithmetic only."""
    rules = ["plain SGD", "plainSGD", "0.1 / width"]
    for rule in rules:
        (tmp_path / rule).parent.mkdir(exist_ok=True)
        write(tmp_path / f"{rule}.h5", epoch=np.arange(5))
    figures = {
        f"fig{i}": {"experiment": "mine", "where": {"rule": rule}, "panels": [{"metric": "trace"}]}
        for i, rule in enumerate(rules)
    }
    claims = {"velocity_spikes": {"experiment": "mine", "where": {"rule": "plain SGD"}}}
    kernels = {"path": "{rule}.h5"}
    plan = make_plan(load_study(mine(tmp_path, kernels=kernels, grid={"rule": rules}, figures=figures, claims=claims)))
    shown = [[plan.runs[run].spec["axes"]["rule"] for run in figure.runs] for figure in plan.figures.values()]
    assert shown == [[rule] for rule in rules]
    assert len(plan.claims["tested"][0]["runs"]) == 1


def test_axes_are_numbers_or_words():
    tasks = [[{"classes": [0]}, {"classes": [1]}], [{"classes": [0]}, {"classes": [2]}]]
    edits = [(f"{EXPERIMENT}.scenario", {"kind": "sequence"}), (f"{EXPERIMENT}.grid", {"width": [2], "tasks": tasks})]
    (line,) = errors(changed(*edits, ("figures", {})))
    assert line.startswith(f"{EXPERIMENT}.grid.tasks: has values that are neither numbers nor words")


def test_a_combination_that_does_not_fit_together():
    """Each value fits together with the first of the other axis."""
    grid = {"name": ["mlp", "cnn"], "depth": [1, 2], "width": [4]}
    (line,) = errors(changed((f"{EXPERIMENT}.grid", grid), (f"{EXPERIMENT}.model", {}), ("figures", {})))
    assert line.startswith(f"{EXPERIMENT}.grid: has a combination that is not valid: model.depth: does not belong here")


def test_one_value_written_in_two_ways():
    config = changed((f"{EXPERIMENT}.grid.lr", [0.1, "1e-1"]), (f"{EXPERIMENT}.training.lr", ...), ("figures", {}))
    assert errors(config) == [f"{EXPERIMENT}.grid: gives the same values twice, written in two ways"]


@pytest.mark.parametrize("grid", [3, "width", [2], None])
def test_a_grid_that_is_no_mapping(grid):
    lines = errors(changed((f"{EXPERIMENT}.grid", grid), ("figures", {})))
    assert f"{EXPERIMENT}.model.width: is missing" in lines
    assert any(line.startswith(f"{EXPERIMENT}.grid: should be a mapping of keys to values") for line in lines)


def test_a_key_that_is_not_given_can_be_chosen():
    grid = {"width": [2, 4], "limit_per_class": [None, 6]}
    study = load_study(changed((f"{EXPERIMENT}.grid", grid), ("figures.fig4.where", {"limit_per_class": None})))
    assert len(make_plan(study).figures["fig4"].runs) == 4  # 2 widths × 2 seeds
    lines = errors(changed((f"{EXPERIMENT}.grid", grid), ("figures.fig4.where", {"limit_per_class": 7})))
    assert lines == [f"{FIGURE}.where.limit_per_class: 7 is not in the grid, which has [None, 6]"]


def test_grid_takes_every_combination():
    study = load_study(
        changed((f"{EXPERIMENT}.grid.lr", ["1e-1", 0.2]), (f"{EXPERIMENT}.training.lr", ...), ("figures", {}))
    )
    combinations = variants(study.experiments["widths"])
    assert [axes for axes, _ in combinations] == [{"width": w, "lr": lr} for w in (2, 4) for lr in (0.1, 0.2)]
    assert all(v.model.width == axes["width"] and v.training.lr == axes["lr"] for axes, v in combinations)


def test_axes_are_told_apart_by_name_alone():
    keys = [{key for form in forms for key in form.model_fields} for forms in SECTIONS.values()]
    for first, second in combinations(keys, 2):
        assert not first & second


def test_no_axis_hides_a_column_of_the_metric_tables():
    # Figures add columns of their own.
    assert not BESIDE_AXES & {*axis_names()} - {"kind"}
    assert "kind" in axis_names()


def test_no_column_of_numbers_has_the_name_of_an_axis():
    assert not set(SWITCHES) & set(axis_names())

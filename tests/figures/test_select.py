"""The rows that figures show, put together over seeds."""

import numpy as np
import pandas as pd
import pytest

from drawing import SPEC, figure, made, summary
from reactivation.errors import InputError
from reactivation.figures.select import shown


def test_means_and_extremes_over_seeds(runs):
    drawn = shown(SPEC, runs)
    assert (drawn["seeds"] == 3).all()
    norm = drawn[(drawn["metric"] == "spectral_norm") & (drawn["width"] == 4)]
    np.testing.assert_allclose(norm["mean"], np.arange(5) + 4.1)
    np.testing.assert_allclose(norm["low"], np.arange(5) + 4)
    np.testing.assert_allclose(norm["high"], np.arange(5) + 4.2)


def test_a_panel_shows_what_it_names(runs):
    def means(**panel):
        drawn = shown(figure(panel), runs)
        return drawn[drawn["width"] == 2]["mean"].to_numpy()

    value = np.arange(5) + 2.1
    np.testing.assert_allclose(means(metric="alignment"), value)
    np.testing.assert_allclose(means(metric="alignment", kernel="trace"), 2 * value)
    np.testing.assert_allclose(means(metric="kernel_distance", reference="previous"), 100 * value)
    np.testing.assert_allclose(means(metric="kernel_velocity"), value)
    np.testing.assert_allclose(means(metric="kernel_velocity", dt=2), 2 * value)
    np.testing.assert_allclose(means(metric="test_accuracy", block=["current"]), value / 10)


def test_nothing_to_draw_is_said_in_one_line(runs):
    with pytest.raises(
        InputError,
        match=r"panels.0 has nothing to draw: test_accuracy has no finite value on task1, task2 .* "
        "alignment labels that differ, its unbiased version two images of one class too",
    ):
        shown(SPEC, runs[runs["metric"] != "test_accuracy"])


def test_one_number_per_run(all_seeds):
    """Statistics of epochs 2 (the switch), 3 and 4; values are epoch + width + seed/10."""
    cases = {"last": 8, "max": 8, "drop": -1 / 6, "recovery": 1 / 6}
    for statistic, expected in cases.items():
        _, _, drawn = made(all_seeds, summary(statistic))
        assert len(drawn) == 4 and (drawn["seeds"] == 2).all()
        (value,) = drawn.loc[(drawn["width"] == 4) & (drawn["seed"] == 0), "value"]
        assert value == pytest.approx(expected), statistic
        wide = drawn[drawn["width"] == 4]
        assert wide["mean"].tolist() == pytest.approx([wide["value"].mean()] * 2)


def test_drop_and_recovery_are_relative_to_the_switch(all_seeds):
    fallen = all_seeds["value"].where(all_seeds["epoch"] != 3, 2.0)
    _, _, drawn = made(all_seeds.assign(value=fallen), summary("drop"), summary("recovery"))
    of = drawn[(drawn["width"] == 4) & (drawn["seed"] == 0)].set_index("panel")["value"]
    assert of[0] == pytest.approx((6 - 2) / 6) and of[1] == pytest.approx((8 - 2) / 6)


def test_what_is_not_finite_is_left_out(all_seeds):
    """Nothing is finite relative to a value of 0 at the switch."""
    gone = all_seeds["value"].where((all_seeds["epoch"] != 2) | (all_seeds["width"] != 4), 0.0)
    _, _, drawn = made(all_seeds.assign(value=gone), summary("drop"))
    assert drawn["width"].tolist() == [2, 2] and np.isfinite(drawn["mean"]).all()
    with pytest.raises(InputError, match="drop and recovery a value above 0 before the switch"):
        made(all_seeds.assign(value=0.0), summary("drop"))


def test_the_velocity_at_the_switch_is_the_next_tasks(all_seeds):
    """v(t) compares the kernels at t and t + dt, which lie on both sides of the switch."""
    only_there = all_seeds["value"].where(all_seeds["epoch"] != 2, 100.0)
    panels = [summary("max", "kernel_velocity", dt=1, task=k, x="width") for k in (1, 2)]
    _, _, drawn = made(all_seeds.assign(value=only_there), *panels)
    assert (drawn.loc[drawn["panel"] == 1, "value"] == 100).all() and (
        drawn.loc[drawn["panel"] == 0, "value"] < 9
    ).all()


def test_forgetting_in_the_second_task_needs_no_value_before_it(all_seeds):
    accuracy = all_seeds[
        (all_seeds["metric"] == "test_accuracy") & (all_seeds["block"] == "all") & (all_seeds["task"] == 2)
    ]
    runs = pd.concat([all_seeds, accuracy.assign(metric="forgetting")])
    _, _, drawn = made(runs, summary("last", "forgetting", x="width"))
    assert len(drawn) == 4 and drawn["value"].min() > 0


@pytest.mark.parametrize("axis", ["rank", "ended", "whole"])
def test_an_axis_of_any_name_keeps_its_values(runs, axis):
    """Kernels from elsewhere have axes of any name: those that selecting once used for columns of its own too."""
    (panel,) = figure({"metric": "spectral_norm"})["panels"]
    spec = SPEC | {"panels": [panel | {"color": axis, "axes": [axis]}]}
    drawn = shown(spec, runs.rename(columns={"width": axis}))
    assert sorted(drawn[axis].unique()) == [2, 4]
    pd.testing.assert_frame_equal(drawn.rename(columns={axis: "width"}), shown(SPEC | {"panels": [panel]}, runs))

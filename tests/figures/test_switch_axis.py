"""The axis of the time since a switch."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from drawing import SPEC, figure, figure_of, made
from reactivation.figures.select import shown, spans
from reactivation.figures.switch_axis import AFTER, BEFORE, GAP, Around, position, span_of, switch_times, ticks, time_at

STEPS = Around(before=470, first=1, last=1000)
SINCE = {"time": "since_switch", "color": "width"}


def test_known_times_have_known_places():
    """Linear before the switch; 1, 10, 100 and 1000 steps a third of the right part apart."""
    times = [-470, -235, 0, 0.5, 1, 10, 100, 1000]
    right = [GAP + AFTER * i / 3 for i in range(4)]
    np.testing.assert_allclose(position(times, STEPS), [-BEFORE, -BEFORE / 2, 0, GAP / 2, *right], atol=1e-12)


@pytest.mark.parametrize("around", [STEPS, Around(10, 1 / 391, 160), Around(3, 2, 5)])
def test_the_axis_ascends_without_jumps_and_can_be_inverted(around):
    places = np.linspace(-BEFORE - 0.02, GAP + AFTER + 0.02, 1001)
    times = time_at(places, around)
    assert (np.diff(times) > 0).all()
    np.testing.assert_allclose(position(times, around), places, atol=1e-12)
    for joint in (0.0, around.first):
        np.testing.assert_allclose(*(position([joint - 1e-12, joint + 1e-12], around)), atol=1e-9)


@pytest.mark.parametrize(
    "around, labels",
    [
        (STEPS, ["−400", "0", "1", "10", "100", "1k"]),
        (Around(10, 1 / 47, 10), ["−10", "0", "0.1", "1", "10"]),
        (Around(9.96, 1 / 24, 10), ["−10", "0", "0.1", "1", "10"]),
        (Around(160, 1 / 391, 160), ["−100", "0", "0.01", "1", "100"]),
        (Around(62560, 1, 62560), ["−50k", "0", "1", "10", "100", "1k", "10k"]),
        (Around(4, 1, 4), ["−4", "−2", "0", "1", "2"]),
    ],
)
def test_ticks_are_round_and_their_labels_apart(around, labels):
    found = ticks(around)
    assert [text for text in found.values() if text] == labels
    assert min(found) >= -1.01 * around.before and max(found) <= around.last


def test_an_axis_of_one_time_or_none_after_the_switch_has_room():
    assert span_of(pd.Series([-2.0, 0.0, 1.0])) == (2, 1, 10)
    assert span_of(pd.Series([], dtype=float)) == (1, 1, 10)


def rows_of(run, times, ends):
    """Rows at (task, epoch), ten steps an epoch; `ends`: the epochs at which tasks end."""
    starts = [0, *ends]
    return [
        {
            "run": run,
            "task": task,
            "epoch": epoch,
            "step": 10 * epoch,
            "progress": task - 1 + (epoch - starts[task - 1]) / (ends[task - 1] - starts[task - 1]),
        }
        for task, epoch in times
    ]


def test_each_run_has_the_switch_of_its_own_even_if_it_diverged_before():
    runs = [
        *rows_of("short", [(1, 0), (1, 2), (1, 4), (2, 5), (2, 8)], [4, 8]),
        *rows_of("long", [(1, 0), (1, 8), (2, 9), (2, 16), (3, 20)], [8, 16, 24]),
        *rows_of("twin", [(1, 0), (1, 4), (2, 4), (2, 8)], [4, 8]),
        *rows_of("lost", [(1, 0), (1, 3)], [4, 8]),
        *rows_of("at once", [(1, 0)], [4, 8]),
    ]
    table = pd.DataFrame(runs)
    first = switch_times(table, 2, "epochs")
    assert np.isnan(first.pop("at once")) and first.to_dict() == {"short": 4, "long": 8, "twin": 4, "lost": 4}
    assert switch_times(table, 2, "steps")["lost"] == 40
    assert switch_times(table, 3, "epochs")["long"] == 16 and "short" in switch_times(table, 3, "epochs")


# ------------------------------------------------------------------------------------------------- in a figure
@pytest.mark.parametrize("unit, factor", [("epochs", 1), ("steps", 3)])
def test_curves_are_drawn_against_the_time_since_the_switch(all_seeds, unit, factor):
    """Epochs 0, 1, 2 are the first task's, 3 and 4 the second's; an epoch is three steps."""
    panel = {"metric": "spectral_norm", "unit": unit} | SINCE
    figure, spec, drawn = made(all_seeds, panel, panel | {"metric": "kernel_velocity"})
    first = drawn[(drawn["panel"] == 0) & (drawn["width"] == 4)]
    assert first["since_switch"].tolist() == [-2 * factor, -factor, 0, factor, 2 * factor]
    np.testing.assert_allclose(first["mean"], np.arange(5) + 4.05)
    ax = figure.axes[0]
    assert ax.get_xlabel() == f"{unit} since the switch"
    curve = ax.lines[0]
    assert curve.get_xdata().tolist() == first["since_switch"].tolist()  # one line, across the switch
    places = ax.transAxes.inverted().transform(ax.transData.transform([(t, 5) for t in curve.get_xdata()]))[:, 0]
    expected = (np.array([-BEFORE, -BEFORE / 2, 0, GAP, GAP + AFTER]) + BEFORE + 0.02) / (BEFORE + GAP + AFTER + 0.04)
    np.testing.assert_allclose(places, expected, atol=1e-6)
    assert [of.get_xlim() for of in figure.axes[:2]] == [ax.get_xlim()] * 2
    assert spans(spec, all_seeds)[0]["switches"] == [0]


def test_what_is_cut_at_a_switch_stays_cut_and_later_tasks_are_not_shown(all_seeds):
    later = all_seeds[all_seeds["epoch"] == 4].assign(task=3, epoch=6, step=18, progress=3.0)
    panel = {"metric": "spectral_norm", "block": ["current"]} | SINCE
    figure, _, drawn = made(pd.concat([all_seeds, later]), panel)
    assert drawn["epoch"].max() == 4
    assert [len(line.get_xdata()) for line in figure.axes[0].lines[:2]] == [3, 2]


def velocities(all_seeds, dt, **panel):
    """(time since the switch, task) of what a panel of velocities shows, of runs with a third task: epochs 5 and 6."""
    third = all_seeds[all_seeds["epoch"] >= 3].assign(task=3, epoch=all_seeds["epoch"] + 2, step=all_seeds["step"] + 6)
    whole = pd.concat([all_seeds, third.assign(progress=third["epoch"] / 2)])
    whole = whole[~(whole["epoch"] + whole["dt"] > 6)]
    spec = figure({"metric": "kernel_velocity", "dt": dt, "color": "width"} | SINCE | panel)
    drawn = shown(spec, whole[whole["seed"] < 2])
    of_width = drawn[drawn["width"] == 2]
    return list(zip(of_width["since_switch"], of_width["task"], strict=True))


def test_velocities_are_of_the_task_in_which_both_of_their_times_lie(all_seeds):
    """Tasks end at epochs 2, 4 and 6. Those across the end of the task that is shown would be a spike at its end."""
    assert velocities(all_seeds, 1) == [(-2, 1), (-1, 1), (0, 2), (1, 2)]
    assert velocities(all_seeds, 2) == [(-2, 1), (0, 2)]  # from −1 to 1 is of both
    steps = velocities(all_seeds, 1, unit="steps", block=["current"])
    assert steps == [(-6, 1), (-3, 1), (0, 2), (3, 2)]


def test_runs_that_differ_in_epochs_share_a_switch(all_seeds):
    slow = all_seeds["width"] == 4
    longer = all_seeds.assign(epoch=all_seeds["epoch"] * (1 + slow), step=all_seeds["step"] * (1 + 2 * slow))
    _, _, drawn = made(longer, {"metric": "alignment", "unit": "steps"} | SINCE)
    of = {width: rows["since_switch"].tolist() for width, rows in drawn.groupby("width")}
    assert of == {2: [-6, -3, 0, 3, 6], 4: [-18, -9, 0, 9, 18]}


def test_a_run_that_diverged_before_the_switch_ends_left_of_it(all_seeds):
    kept = all_seeds[(all_seeds["epoch"] < 2) | (all_seeds["width"] == 2)]
    fate = (
        kept[(kept["width"] == 4) & (kept["epoch"] == 1)].drop_duplicates("run").assign(metric="diverged", block="all")
    )
    figure, _, drawn = made(pd.concat([kept, fate]), {"metric": "alignment"} | SINCE)
    assert drawn.loc[drawn["width"] == 4, "since_switch"].tolist() == [-2, -1]
    assert drawn.loc[drawn["width"] == 2, "since_switch"].max() == 2
    assert "2 of 4 runs diverged: drawn up\nto there" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_labels_of_ticks_do_not_overlap(all_seeds):
    """A hundred steps an epoch, over 160 epochs."""
    times = {"epoch": 40 * all_seeds["epoch"], "step": 4000 / 3 * all_seeds["step"]}
    early = all_seeds[all_seeds["epoch"] == 3].assign(epoch=80.01, step=8001, progress=1.0001)
    panels = [{"metric": "spectral_norm", "unit": unit} | SINCE for unit in ("epochs", "steps")]
    figure, _, _ = made(pd.concat([all_seeds.assign(**times), early]), *panels)
    figure.dpi = 250
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.get_layout_engine().execute(figure)
    for ax in figure.axes[:2]:
        boxes = [label.get_window_extent(renderer) for label in ax.get_xticklabels() if label.get_text()]
        assert len(boxes) >= 4
        assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))


def test_the_name_of_a_later_switch_is_on_the_page_in_every_column(all_seeds):
    later = all_seeds.assign(task=all_seeds["task"] + 1, progress=all_seeds["progress"] + 1)
    keys = {"time": "since_switch", "unit": "epochs", "task": 3, "block": ["all"]}
    spec = SPEC | {"panels": [panel | keys for panel in SPEC["panels"][:3]], "columns": 3}
    figure = figure_of(spec, later)
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.get_layout_engine().execute(figure)
    for ax in figure.axes[:3]:
        assert ax.get_xlabel() == "epochs since the switch\nto task 3"
        box = ax.xaxis.label.get_window_extent(renderer)
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1


def test_iterations_are_steps(all_seeds):
    figure, _, _ = made(all_seeds, {"metric": "alignment", "color": "width", "time": "iterations"})
    ax = figure.axes[0]
    assert ax.get_xlabel() == "iterations" and ax.lines[0].get_xdata().tolist() == [0, 3, 6, 9, 12]
    assert [line.get_xdata()[0] for line in ax.lines if len(line.get_xdata()) == 2] == [6]

"""Figures of runs some of which diverged: they draw what is finite and say what is missing."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers import changed
from reactivation.errors import InputError
from reactivation.figures import layout
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.planning.plan import make_plan
from reactivation.storage.tables import read_tables
from reactivation.study.load import load_study

PANELS = [
    {"metric": "spectral_norm"},
    {"metric": "test_accuracy"},
    {"kind": "summary", "metric": "spectral_norm", "statistic": "last", "x": "width", "task": 1},
    {"kind": "summary", "metric": "spectral_norm", "statistic": "last", "x": "width"},
    {"kind": "spectrum", "leading": 2, "where": {"width": 4}},
]
FIGURE = {"experiment": "widths", "color": "width", "panels": PANELS}
SPEC = make_plan(load_study(changed(("figures.fig4", FIGURE)))).figures["fig4"].spec
EMPTY = {"kernel": np.nan, "layer": np.nan, "reference": np.nan, "dt": np.nan, "index": np.nan, "block": "all"}


def run(width, seed, until):
    """A run of two tasks, each one epoch of ten steps; values are width + seed/10 until they grow before the end."""
    at = {"run": f"widths-width{width}-s{seed}", "experiment": "widths", "width": width, "seed": seed}
    for step in range(21):
        task = 1 if step <= 10 else 2
        row = at | EMPTY | {"task": task, "step": step, "epoch": step / 10, "progress": step / 10}
        row["similarity"] = np.nan if task == 1 else 0.25
        if step == until:
            yield row | {"metric": "diverged", "value": step}
            return
        value = (width + seed / 10) * (1e9 if step > until - 3 else 1)
        yield row | {"metric": "test_accuracy", "value": 0.5}
        yield row | {"metric": "spectral_norm", "kernel": "sum", "value": value}
        for i in range(3):
            yield row | {"metric": "eigenvalues", "kernel": "sum", "index": i, "value": value / 2**i}


def table(**until):
    """Rows of both widths and seeds; `w4s1=13` means that this run diverged at step 13."""
    names = {(width, seed): f"w{width}s{seed}" for width in (2, 4) for seed in (0, 1)}
    return pd.DataFrame([row for key, name in names.items() for row in run(*key, until.get(name, 99))])


def figure_of(runs, spec=SPEC, scales=None):
    return layout.draw(spec, shown(spec, runs), spans(spec, runs), diverged_runs(spec, runs), scales)


def legend(figure):
    return [entry.get_text().replace("\n", " ") for entry in figure.legends[0].get_texts()]


def test_a_run_that_diverged_beside_a_whole_one_is_in_no_mean():
    runs = table(w4s1=13)
    drawn, alone = shown(SPEC, runs), shown(SPEC, table().query("width == 2 or seed == 0"))
    pd.testing.assert_frame_equal(drawn, alone)
    assert "diverged" not in drawn and set(drawn.loc[drawn["width"] == 4, "seeds"]) == {1}
    assert diverged_runs(SPEC, runs)["left_out"] == ["widths-width4-s1"]
    assert spans(SPEC, runs) == spans(SPEC, table())
    texts = legend(figure_of(runs))
    assert "1 of 4 runs diverged: left out" in texts and "lowest to highest of up to 2 seeds" in texts


def test_where_all_seeds_diverged_what_is_finite_is_drawn():
    runs = table(w4s0=7, w4s1=14)
    drawn = shown(SPEC, runs)
    curve = drawn[(drawn["panel"] == 0) & (drawn["width"] == 4)]
    assert (
        curve["diverged"].all() and curve["step"].max() == 13 and not drawn.loc[drawn["width"] == 2, "diverged"].any()
    )
    # One of them finishes the first task, neither the second.
    points = drawn[(drawn["kind"] == "summary") & (drawn["width"] == 4)]
    assert points["panel"].tolist() == [2] and points["seed"].tolist() == [1]
    assert spans(SPEC, runs)[0] == {"switches": [1.0], "end": 2.0}
    assert spans(SPEC, runs)[4] == {"switches": [1.0], "end": 1.4}
    figure = figure_of(runs)
    assert "2 of 4 runs diverged: drawn up to there" in legend(figure)
    # No line joins the mean over two seeds to the mean over one, and the other curves are not flattened.
    color = layout._colors(SPEC, drawn)["width"][4]
    pieces = [line.get_xdata().tolist() for line in figure.axes[0].lines if line.get_color() == color]
    assert [(piece[0], piece[-1]) for piece in pieces] == [(0, 0.6), (0.7, 1.3)]
    assert figure.axes[0].get_ylim()[1] < 10 and "diverging runs go beyond" in figure.axes[0].get_ylabel()
    assert "beyond" not in figure.axes[1].get_ylabel()


def test_a_run_that_diverged_in_its_first_task_puts_no_switch_at_its_end():
    runs = table(w2s0=5, w2s1=6, w4s0=7, w4s1=8)
    assert [span["switches"] for span in spans(SPEC, runs)] == [[]] * 5
    assert spans(SPEC, runs)[0]["end"] == 0.8


def test_a_panel_without_any_run_that_got_there_says_so():
    figure = figure_of(table(w2s0=5, w2s1=16, w4s0=0, w4s1=8))
    said = [[text.get_text() for text in ax.texts] for ax in figure.axes[:5]]
    assert said == [[], [], [], ["every run diverged"], []]
    assert "all 4 runs diverged: 1 left out, 3 drawn up to there" in legend(figure)


@pytest.mark.parametrize("title", ["", "A title"])
@pytest.mark.parametrize("spec", [SPEC, SPEC | {"panels": SPEC["panels"][:1]}], ids=["five", "one"])
def test_nothing_at_all_can_be_drawn(tmp_path, spec, title):
    """Every run diverged before its first checkpoint: the figure says so, and its table has columns but no rows."""
    runs = table(w2s0=0, w2s1=0, w4s0=0, w4s1=0)
    drawn = shown(spec, runs)
    assert drawn.empty and {"panel", "mean", "low", "high", "seeds", "width"} <= set(drawn)
    figure = figure_of(runs, spec | {"title": title})
    assert all([text.get_text() for text in ax.texts] == ["every run diverged"] for ax in figure.axes if ax.axison)
    assert "all 4 runs diverged: left out" in legend(figure)
    layout.save(figure, tmp_path / "figure.pdf")
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.get_layout_engine().execute(figure)  # the part of drawing that places everything
    assert all(figure.bbox.x1 >= box.get_window_extent(renderer).x1 for box in figure.legends)


def test_a_table_of_nothing_is_read_like_others(tmp_path):
    """A figure that takes its scales from the table reads it."""
    drawn = shown(SPEC, table(w2s0=0, w2s1=0, w4s0=0, w4s1=0))
    drawn.to_csv(tmp_path / "fig4.csv", index=False)
    assert read_tables([tmp_path / "fig4.csv"], "mean").empty


def test_what_no_whole_run_has_is_still_an_error():
    runs = table(w4s0=5, w4s1=5)
    with pytest.raises(InputError, match=r"panels.1 has nothing to draw"):
        shown(SPEC, runs[runs["metric"] != "test_accuracy"])


def test_scales_are_taken_from_figures_of_runs_that_diverged():
    figures = {"fig4": FIGURE | {"panels": PANELS[:1]}, "fig5": FIGURE | {"panels": PANELS[:1], "beside": "fig4"}}
    plan = make_plan(load_study(changed(("figures", figures))))
    one, two = (plan.figures[name].spec for name in figures)
    none = table(w2s0=0, w2s1=0, w4s0=0, w4s1=0)
    wide, some = (shown(one, table(**until)) for until in ({}, {"w4s0": 9, "w4s1": 9}))
    empty = shown(one, none)

    def titles(runs, scales):
        return [ax.get_title("right").replace("\n", " ") for ax in figure_of(runs, two, scales).axes[:2]]

    assert titles(table(), some) == titles(table(w4s0=9, w4s1=9), wide) == ["", "on the scale of Fig. 4"]
    assert titles(table(), empty) == ["", "no scale in Fig. 4"]
    assert titles(none, wide) == ["", "on the scale of Fig. 4"] and titles(none, empty) == ["", "no scale in Fig. 4"]

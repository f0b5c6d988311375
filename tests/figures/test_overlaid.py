"""Others' numbers over curves."""

import numpy as np
import pandas as pd
import pytest

from edits import FIGURE
from helpers import changed
from reactivation.errors import InputError
from reactivation.figures import layout
from reactivation.figures.overlaid import with_others
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

TABLE = "width,task,epoch,norm\n2,1,1,40\n2,1,6,41\n4,1,1,-3\n4,2,1,7\n8,1,1,60\n"


OTHERS = {"path": "numbers.csv", "value": "norm", "label": "the authors"}


def drawing(tmp_path, runs, *panels, table=TABLE):
    (tmp_path / "numbers.csv").write_text(table)
    panels = [{"metric": "spectral_norm", "others": OTHERS} | panel for panel in panels]
    figure = make_plan(load_study(changed(("data_root", str(tmp_path)), (f"{FIGURE}.panels", panels)))).figures["fig4"]
    drawn = with_others(figure.spec, shown(figure.spec, runs), list(figure.others))
    return layout.draw(figure.spec, drawn, spans(figure.spec, runs), diverged_runs(figure.spec, runs)), drawn


def test_they_are_open_circles_in_the_color_of_their_curve(tmp_path, all_seeds):
    figure, drawn = drawing(tmp_path, all_seeds, {"block": ["task1"]}, {"block": ["task1", "task2"]})
    theirs = drawn[drawn["kind"] == "others"]
    assert theirs["panel"].tolist() == [0, 0, 0, 1, 1, 1, 1] and drawn["panel"].is_monotonic_increasing
    first = theirs[theirs["panel"] == 0][["width", "block", "epoch", "mean"]].to_numpy().tolist()
    assert first == [[2, "task1", 1, 40], [2, "task1", 6, 41], [4, "task1", 1, -3]]
    ax = figure.axes[0]
    circles = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "none"]
    assert [line.get_ydata().tolist() for line in circles] == [[40, 41], [-3]]
    curves = [line for line in ax.lines if len(line.get_xdata()) == 5]
    assert [line.get_color() for line in circles] == [line.get_color() for line in curves]
    assert ax.get_xlim()[1] > 6 and ax.get_ylim()[0] < -3 and ax.get_ylim()[1] > 41  # all of them can be seen
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts.count("the authors") == 1 and "lowest to highest of 2 seeds" in texts


def test_a_label_that_is_no_formula_is_said_in_one_line(tmp_path, all_seeds):
    with pytest.raises(InputError, match=r"^label '\$x_\{\$': the text between \$ and \$ is not a formula; write "):
        drawing(tmp_path, all_seeds, {"block": ["task1"], "others": OTHERS | {"label": "$x_{$"}})


def test_a_logarithmic_scale_leaves_out_what_it_cannot_show(tmp_path, all_seeds):
    table = "width,epoch,norm\n4,1,7\n4,2,-3\n4,3,8\n"
    figure, _ = drawing(tmp_path, all_seeds, {"scale": "log"}, table=table)
    (theirs,) = (line.get_ydata() for line in figure.axes[0].lines if line.get_markerfacecolor() == "none")
    assert np.isnan(theirs[1]) and theirs[[0, 2]].tolist() == [7, 8]  # a line to −3 would be vertical
    assert "values ≤ 0 left out" in figure.axes[0].get_ylabel()


def test_a_scale_with_limits_shows_them_too(tmp_path, all_seeds):
    figure, _ = drawing(tmp_path, all_seeds, {"metric": "test_accuracy", "block": ["task1"]})
    assert figure.axes[0].get_ylim() == pytest.approx((-3.02, 41.02))


def test_numbers_of_curves_that_are_not_drawn_are_not_either(tmp_path, all_seeds):
    gone = all_seeds[all_seeds["width"] == 2]
    _, drawn = drawing(tmp_path, gone, {"block": ["task1"]})
    assert drawn.loc[drawn["kind"] == "others", "width"].tolist() == [2, 2]
    (tmp_path / "numbers.csv").write_text("width,epoch,norm\n4,1,1\n")
    spec = make_plan(load_study(changed())).figures["fig4"].spec
    pd.testing.assert_frame_equal(with_others(spec, shown(spec, all_seeds), []), shown(spec, all_seeds))

"""Panels, legend and title on a page."""

import copy

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from drawing import SPEC, figure_of, made
from helpers import TINY, changed
from reactivation.errors import InputError
from reactivation.figures import layout, words
from reactivation.figures.select import shown
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study


def test_a_key_that_is_not_given_is_a_value_like_others(runs):
    mixed = runs.assign(width=runs["width"].map({2: "default", 4: 10}).astype(object))
    drawn = shown(SPEC, mixed)
    assert set(drawn["width"]) == {"default", 10}
    legend = figure_of(SPEC, mixed).legends[0]
    assert [text.get_text() for text in legend.get_texts()][:2] == ["width 10", "width default"]


def test_every_curve_is_drawn_with_its_band(runs):
    figure = figure_of(SPEC, runs)
    panels = figure.axes[:5]
    colors = {matplotlib.colors.to_hex(line.get_color()) for line in panels[1].lines if len(line.get_xdata()) > 2}
    assert len(colors) == 2
    assert len(panels[0].collections) == 4 and len(panels[1].collections) == 2
    switches = [line.get_xdata()[0] for ax in panels for line in ax.lines if len(line.get_xdata()) == 2]
    assert switches == [2.0] * 5  # the last epoch of the first task
    assert all(ax.get_xlabel() == "epoch" and ax.get_ylabel() for ax in panels)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:2] == ["width 2", "width 4"] and "lowest to highest of 3 seeds" in texts


LONG = "What happens to the Neural Tangent Kernel of a network when its task changes, a title longer than a page"
TITLES = ["", "A title", LONG]
# Each small number of panels in each number of columns, under each title in turn; and two full pages.
PAGES = [
    *((panels, columns, TITLES[(panels + columns) % 3]) for panels in (1, 2, 3, 4) for columns in (1, 2, 3)),
    *((6, 2, "A title"), (6, 3, ""), (12, 3, LONG)),
]


@pytest.mark.parametrize("panels, columns, title", PAGES)
def test_any_number_of_panels_without_overlap(runs, panels, columns, title):
    drawn = [panel | {"title": title[:60], "block": ["task1", "task2"]} for panel in SPEC["panels"] * 3]
    spec = SPEC | {"panels": drawn[:panels], "title": title, "columns": columns}
    figure = figure_of(spec, runs)
    figure.dpi = layout.STYLE["savefig.dpi"]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.get_layout_engine().execute(figure)  # the part of drawing that places everything
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes if ax.axison]
    boxes += [artist.get_window_extent(renderer) for artist in (*figure.legends, *figure.texts)]
    assert len(boxes) == panels + 1 + bool(title)
    page = figure.bbox
    for i, box in enumerate(boxes):
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
        assert not any(box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)) for other in boxes[:i])


@pytest.mark.parametrize("where", ["figure", "panel"])
def test_a_title_that_is_no_formula_is_said_in_one_line(runs, where):
    title = r"from $\foo{$ to \$2"
    panels = [panel | {"title": title if where == "panel" else ""} for panel in SPEC["panels"]]
    spec = SPEC | {"panels": panels, "title": title if where == "figure" else r"$\alpha$, \$1 and 2 $"}
    with pytest.raises(
        InputError, match=r"^title .*: the text between \$ and \$ is not a formula; write .* for a dollar sign$"
    ):
        figure_of(spec, runs)


def test_layers_are_colors_in_the_networks_order_and_the_kernel_is_not_of_them(runs):
    """A panel without layers shows the kernel alone, even where the table has layers."""
    shares = [runs.assign(layer=layer, value=runs["value"] * share) for share, layer in ((10, "stem"), (20, "head"))]
    tables = pd.concat([runs, *(share[share["block"].eq("all") & share["kernel"].notna()] for share in shares)])
    panels = [
        {"metric": "spectral_norm", "color": "layer", "where": {"width": 2}},
        {"metric": "alignment", "color": "width"},
    ]
    figure = {"experiment": "widths", "panels": panels}
    spec = (
        make_plan(load_study(changed(("figures.fig4", figure), ("experiments.widths.layers", True))))
        .figures["fig4"]
        .spec
    )
    drawn = shown(spec, tables)
    first, second = (drawn[drawn["panel"] == i] for i in (0, 1))
    assert first["layer"].unique().tolist() == ["stem", "head"] and second["layer"].isna().all()
    np.testing.assert_allclose(first.loc[first["layer"] == "head", "mean"], 20 * (np.arange(5) + 2.05))
    np.testing.assert_allclose(second.loc[second["width"] == 4, "mean"], np.arange(5) + 4.05)
    drawing = figure_of(spec, tables)
    assert [text.get_text() for text in drawing.legends[0].get_texts()][:2] == ["layer stem", "layer head"]
    assert len(drawing.axes[0].collections) == 2 and len(drawing.axes[1].collections) == 2


# --------------------------------------------------------------------------------------- summaries and spectra
def test_panels_of_one_figure_can_show_other_axes_and_runs(all_seeds):
    first, second = {"metric": "alignment", "color": "width"}, {"metric": "alignment", "where": {"width": 2}}
    figure, _, drawn = made(all_seeds, first, second)
    assert set(drawn[drawn["panel"] == 0]["width"]) == {2, 4} and len(drawn[drawn["panel"] == 1]) == 5
    assert figure.axes[1].get_title("right") == "width 2"


def test_parts_of_the_probe_are_colors_where_nothing_else_is(all_seeds):
    """The parts of one task have the same color in all panels, held out or not."""
    held_out = all_seeds[all_seeds["block"] != "all"].assign(block=lambda rows: rows["block"] + "_held_out")
    blocks = {"where": {"width": 2}, "metric": "alignment"}
    panels = [blocks | {"block": ["task1", "task2"]}, blocks | {"block": ["task1_held_out", "task2_held_out"]}]
    experiments = copy.deepcopy(TINY["experiments"])
    experiments["widths"]["probe"]["held_out"] = 6
    study = load_study(
        changed(("figures.fig4", {"experiment": "widths", "panels": panels}), ("experiments", experiments))
    )
    spec = make_plan(study).figures["fig4"].spec
    runs = pd.concat([all_seeds, held_out])
    figure = figure_of(spec, runs)
    colors = [[line.get_color() for line in ax.lines if len(line.get_xdata()) > 2] for ax in figure.axes[:2]]
    assert colors[0] == colors[1] and len(set(colors[0])) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["task 1", "task 2"]
    assert [ax.get_ylabel() for ax in figure.axes[:2]] == [
        "kernel alignment $A$",
        "kernel alignment $A$\nheld-out images",
    ]
    for blocks in (["task1", "task1_held_out"], ["task1_train", "task2_held_out"]):
        assert list(words.groups(spec["panels"][0] | {"block": blocks}).values()) == blocks


def test_panels_are_drawn_again_on_the_scale_of_another_figure(runs):
    one = {"experiment": "widths", "color": "width", "panels": [{"metric": "alignment"}, {"metric": "spectral_norm"}]}
    two = one | {"beside": "fig4", "panels": [{"metric": "spectral_norm"}]}
    figures = make_plan(load_study(changed(("figures", {"fig4": one, "fig5": two})))).figures
    assert (figures["fig4"].beside, figures["fig5"].beside) == (None, "fig4")
    large = runs.assign(value=100 * (runs["value"] - 5))
    larger = shown(figures["fig4"].spec, large)
    figure = figure_of(figures["fig5"].spec, runs, larger)
    other = figure_of(figures["fig4"].spec, large)
    own, beside = figure.axes[:2]
    assert own.get_ylim()[1] < 15
    assert beside.get_ylim() == pytest.approx(other.axes[1].get_ylim())
    assert beside.get_title("right") == "on the scale of Fig. 4"
    assert [len(ax.lines) for ax in (own, beside)] == [3, 3]


def test_another_figures_scale_hides_nothing(runs):
    one = {"experiment": "widths", "color": "width", "panels": [{"metric": "alignment"}]}
    figures = make_plan(load_study(changed(("figures", {"fig4": one, "fig5": one | {"beside": "fig4"}})))).figures
    spec = figures["fig5"].spec
    smaller = shown(figures["fig4"].spec, runs.assign(value=runs["value"] / 100))
    figure = figure_of(spec, runs, smaller)
    low, high = figure.axes[1].get_ylim()
    assert low < 0.03 and high > 8

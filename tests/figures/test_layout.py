"""What figures show, and that they can be drawn."""

import copy

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers import TINY, changed
from reactivation.errors import InputError
from reactivation.figures import layout, words
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

SPEC = make_plan(load_study(changed(("seeds", [0, 1, 2])))).figures["fig4"].spec


@pytest.fixture(scope="module")
def runs():
    """Value = epoch + width + seed/10, for every metric, block and reference."""
    out = []
    empty = {"kernel": np.nan, "layer": np.nan, "reference": np.nan, "dt": np.nan}
    for width in (2, 4):
        for seed in (0, 1, 2):
            for epoch in range(5):
                at = {
                    "run": f"widths-width{width}-s{seed}",
                    "experiment": "widths",
                    "width": width,
                    "seed": seed,
                    "task": 1 if epoch <= 2 else 2,
                }
                at |= {
                    "similarity": 0.25 if epoch > 2 else np.nan,
                    "step": 3 * epoch,
                    "epoch": epoch,
                    "progress": epoch / 2,
                }
                value = epoch + width + seed / 10
                for block in ("all", "task1", "task2"):
                    out.append(at | empty | {"metric": "test_accuracy", "block": block, "value": value / 10})
                    for kernel in ("sum", "trace"):
                        of_kernel = (
                            at | empty | {"kernel": kernel, "block": block, "value": value * (1 + (kernel == "trace"))}
                        )
                        out += [of_kernel | {"metric": m} for m in ("alignment", "spectral_norm")]
                        out += [
                            of_kernel | {"metric": "eigenvalues", "index": i, "value": value / 2**i} for i in range(6)
                        ]
                        out += [
                            of_kernel | {"metric": "kernel_velocity", "dt": dt, "value": value * dt} for dt in (1, 2)
                        ]
                        for factor, reference in ((1, "init"), (10, "task_start"), (100, "previous")):
                            distance = {"metric": "kernel_distance", "reference": reference, "value": value * factor}
                            out.append(of_kernel | distance)
    return pd.DataFrame(out)


def figure_of(spec, runs, scales=None):
    return layout.draw(spec, shown(spec, runs), spans(spec, runs), diverged_runs(spec, runs), scales)


def test_means_and_extremes_over_seeds(runs):
    drawn = shown(SPEC, runs)
    assert (drawn["seeds"] == 3).all()
    norm = drawn[(drawn["metric"] == "spectral_norm") & (drawn["width"] == 4)]
    np.testing.assert_allclose(norm["mean"], np.arange(5) + 4.1)
    np.testing.assert_allclose(norm["low"], np.arange(5) + 4)
    np.testing.assert_allclose(norm["high"], np.arange(5) + 4.2)


def figure(*panels):
    """The spec of a figure of these panels."""
    metrics = {"velocity_dt": [1, 2]}
    edits = ("seeds", [0, 1, 2]), ("figures.fig4.panels", list(panels)), ("experiments.widths.metrics", metrics)
    return make_plan(load_study(changed(*edits))).figures["fig4"].spec


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


def test_a_key_that_is_not_given_is_a_value_like_others(runs):
    mixed = runs.assign(width=runs["width"].map({2: "default", 4: 10}).astype(object))
    drawn = shown(SPEC, mixed)
    assert set(drawn["width"]) == {"default", 10}
    legend = figure_of(SPEC, mixed).legends[0]
    assert [text.get_text() for text in legend.get_texts()][:2] == ["width 10", "width default"]


def test_nothing_to_draw_is_said_in_one_line(runs):
    with pytest.raises(
        InputError, match=r"panels.0 has nothing to draw: test_accuracy has no finite value on task1, task2"
    ):
        shown(SPEC, runs[runs["metric"] != "test_accuracy"])


def test_the_current_task_is_drawn_in_pieces(runs):
    spec = SPEC | {"panels": [SPEC["panels"][0] | {"block": ["current"]}]}
    figure = figure_of(spec, runs)
    pieces = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_color() != layout.SWITCH["color"]]
    assert pieces == [3, 2, 3, 2]  # 2 widths × 2 tasks


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


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("columns", [1, 2, 3])
@pytest.mark.parametrize("title", ["", "A title", LONG])
def test_any_number_of_panels_without_overlap(runs, panels, columns, title):
    drawn = [panel | {"title": title[:60], "block": ["task1", "task2"]} for panel in SPEC["panels"] * 3]
    spec = SPEC | {"panels": drawn[:panels], "title": title, "columns": columns}
    figure = figure_of(spec, runs)
    figure.dpi = layout.STYLE["savefig.dpi"]
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes if ax.axison]
    boxes += [legend.get_window_extent(renderer) for legend in figure.legends]
    assert len(boxes) == panels + 1
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
        InputError, match=r"^title .*: between \$ and \$ stands no formula; write .* for a dollar sign$"
    ):
        figure_of(spec, runs)


def test_panels_say_what_their_metric_leaves_open(runs):
    def labels(*panels):
        return [ax.get_ylabel() for ax in figure_of(figure(*panels), runs).axes if ax.axison]

    one = labels({"metric": "kernel_distance", "reference": "task_start"}, {"metric": "kernel_velocity", "dt": 2})
    assert one == ["kernel distance $S$\nfrom the task's start", "kernel velocity (1/epoch)\nover 2 epochs"]
    two = labels({"metric": "alignment"}, {"metric": "alignment", "kernel": "trace"}, {"metric": "test_accuracy"})
    assert two[0].endswith("summed logits") and two[1].endswith("mean over outputs") and two[2] == "test accuracy"


def test_layers_are_colors_in_the_networks_order_and_the_kernel_is_not_of_them(runs):
    """A panel without them shows the kernel alone, even where the table has its layers."""
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
def made(runs, *panels, **keys):
    """The figure of a config, its spec, and what it shows."""
    spec = make_plan(load_study(changed(("figures.fig4", {"experiment": "widths", "panels": list(panels)} | keys))))
    spec = spec.figures["fig4"].spec
    runs = runs[runs["run"].isin({run for panel in spec["panels"] for run in panel["runs"]})]
    drawn = shown(spec, runs)
    return figure_of(spec, runs), spec, drawn


def summary(statistic, metric="spectral_norm", **keys):
    return {"kind": "summary", "metric": metric, "statistic": statistic, "color": "width"} | keys


@pytest.fixture(scope="module")
def all_seeds(runs):
    return runs[runs["seed"] < 2]  # those of the tiny study


def test_one_number_per_run(all_seeds):
    """Of epochs 2 (the switch), 3 and 4; values are epoch + width + seed/10."""
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
    """Relative to a value of 0 at the switch nothing is."""
    gone = all_seeds["value"].where((all_seeds["epoch"] != 2) | (all_seeds["width"] != 4), 0.0)
    _, _, drawn = made(all_seeds.assign(value=gone), summary("drop"))
    assert drawn["width"].tolist() == [2, 2] and np.isfinite(drawn["mean"]).all()
    with pytest.raises(InputError, match="drop and recovery a value above 0 before the switch"):
        made(all_seeds.assign(value=0.0), summary("drop"))


def test_a_summarys_line_is_of_the_means_in_its_csv(all_seeds):
    """Two widths at one similarity are two points, not one mean of both."""
    figure, _, drawn = made(all_seeds, summary("last"))
    means = drawn.groupby("width")["value"].transform("mean")
    np.testing.assert_allclose(drawn["mean"], means)
    assert not [line for line in figure.axes[0].lines if line.get_color() == layout.MEAN["color"]]


def test_the_velocity_at_the_switch_is_the_next_tasks(all_seeds):
    """v(t) is of the kernels at t and t + dt, which are on both sides of it."""
    only_there = all_seeds["value"].where(all_seeds["epoch"] != 2, 100.0)
    panels = [summary("max", "kernel_velocity", dt=1, task=k, x="width") for k in (1, 2)]
    _, _, drawn = made(all_seeds.assign(value=only_there), *panels)
    assert (drawn.loc[drawn["panel"] == 1, "value"] == 100).all() and (
        drawn.loc[drawn["panel"] == 0, "value"] < 9
    ).all()


def test_a_summary_shows_seeds_as_points_and_a_line_through_the_means(all_seeds):
    figure, _, drawn = made(all_seeds, summary("last", x="width"))
    points = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    (line,) = [line for line in figure.axes[0].lines if line.get_marker() != "o"]
    assert sum(len(of.get_xdata()) for of in points) == len(drawn) == 4
    assert line.get_xdata().tolist() == [2, 4] and line.get_ydata().tolist() == pytest.approx([6.05, 8.05])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "mean over seeds" in texts and "task switch" not in texts
    assert figure.axes[0].get_xlabel() == "width"


def test_a_spectrum_shows_the_leading_eigenvalues(all_seeds):
    figure, _, drawn = made(all_seeds, {"kind": "spectrum", "leading": 3, "where": {"width": 4}})
    assert sorted(drawn["index"].unique()) == [0, 1, 2] and figure.axes[0].get_yscale() == "log"
    first = drawn[drawn["index"] == 0]
    np.testing.assert_allclose(first["mean"], np.arange(5) + 4.05)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[:3] == ["eigenvalue 1", "eigenvalue 2", "eigenvalue 3"]


def test_panels_of_one_figure_can_show_other_axes_and_runs(all_seeds):
    first, second = {"metric": "alignment", "color": "width"}, {"metric": "alignment", "where": {"width": 2}}
    figure, _, drawn = made(all_seeds, first, second)
    assert set(drawn[drawn["panel"] == 0]["width"]) == {2, 4} and len(drawn[drawn["panel"] == 1]) == 5
    assert figure.axes[1].get_title("right") == "width 2"


def test_parts_of_the_probe_are_colors_where_nothing_else_is(all_seeds):
    """Those of one task alike in all panels, whether held out or not."""
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


def test_what_a_logarithmic_scale_cannot_show_is_said(all_seeds):
    figure, _, _ = made(
        all_seeds.assign(value=all_seeds["value"] - 3),
        {"metric": "trace", "color": "width", "scale": "log"} | {"metric": "alignment"},
    )
    assert "values ≤ 0 left out" in figure.axes[0].get_ylabel()


def test_rounding_does_not_stretch_a_spectrums_scale(all_seeds):
    noise = all_seeds["value"].where(all_seeds["index"] != 2, 1e-40)
    figure, _, _ = made(all_seeds.assign(value=noise), {"kind": "spectrum", "leading": 3, "where": {"width": 4}})
    assert figure.axes[0].get_ylim()[0] > 0.1


def test_forgetting_in_the_second_task_needs_no_value_before_it(all_seeds):
    accuracy = all_seeds[
        (all_seeds["metric"] == "test_accuracy") & (all_seeds["block"] == "all") & (all_seeds["task"] == 2)
    ]
    runs = pd.concat([all_seeds, accuracy.assign(metric="forgetting")])
    _, _, drawn = made(runs, summary("last", "forgetting", x="width"))
    assert len(drawn) == 4 and drawn["value"].min() > 0


def test_time_can_be_tasks_done(all_seeds):
    figure, _, _ = made(all_seeds, {"metric": "alignment", "color": "width", "time": "tasks"})
    assert figure.axes[0].get_xlabel() == "tasks done"
    switches = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert switches == [1.0] and figure.axes[0].lines[0].get_xdata().max() == 2


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

"""What figures show, and that they can be drawn."""

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from helpers import TINY
from matplotlib.backends.backend_agg import FigureCanvasAgg
from reactivation import plots
from reactivation.config import load_study
from reactivation.job import InputError
from reactivation.plan import make_plan

SPEC = make_plan(load_study(TINY)).figures["fig4"].spec


@pytest.fixture(scope="module")
def runs():
    """Value = epoch + width + seed/10, for every metric, block and reference."""
    out = []
    empty = {"kernel": np.nan, "reference": np.nan, "dt": np.nan}
    for width in (2, 4):
        for seed in (0, 1, 2):
            for epoch in range(5):
                at = {"width": width, "seed": seed, "task": 1 if epoch <= 2 else 2, "step": 3 * epoch, "epoch": epoch}
                value = epoch + width + seed / 10
                for block in ("all", "task1", "task2"):
                    out.append(at | empty | {"metric": "test_accuracy", "block": block, "value": value / 10})
                    for kernel in ("sum", "trace"):
                        of_kernel = (
                            at | empty | {"kernel": kernel, "block": block, "value": value * (1 + (kernel == "trace"))}
                        )
                        out += [of_kernel | {"metric": m} for m in ("alignment", "spectral_norm")]
                        out += [
                            of_kernel | {"metric": "kernel_velocity", "dt": dt, "value": value * dt} for dt in (1, 2)
                        ]
                        for factor, reference in ((1, "init"), (10, "task_start"), (100, "previous")):
                            distance = {"metric": "kernel_distance", "reference": reference, "value": value * factor}
                            out.append(of_kernel | distance)
    return pd.DataFrame(out)


def test_means_and_extremes_over_seeds(runs):
    drawn = plots.curves(SPEC, runs)
    assert (drawn["seeds"] == 3).all()
    norm = drawn[(drawn["metric"] == "spectral_norm") & (drawn["width"] == 4)]
    np.testing.assert_allclose(norm["mean"], np.arange(5) + 4.1)
    np.testing.assert_allclose(norm["low"], np.arange(5) + 4)
    np.testing.assert_allclose(norm["high"], np.arange(5) + 4.2)


def test_a_panel_shows_what_it_names(runs):
    def means(**panel):
        defaults = {"kernel": "sum", "reference": "init", "dt": 1, "block": ["all"], "scale": "linear"}
        spec = SPEC | {"panels": [defaults | panel]}
        drawn = plots.curves(spec, runs)
        return drawn[drawn["width"] == 2]["mean"].to_numpy()

    value = np.arange(5) + 2.1
    np.testing.assert_allclose(means(metric="alignment"), value)
    np.testing.assert_allclose(means(metric="alignment", kernel="trace"), 2 * value)
    np.testing.assert_allclose(means(metric="kernel_distance", reference="previous"), 100 * value)
    np.testing.assert_allclose(means(metric="kernel_velocity"), value)
    np.testing.assert_allclose(means(metric="kernel_velocity", dt=2), 2 * value)
    np.testing.assert_allclose(means(metric="test_accuracy", block=["current"]), value / 10)


def test_a_key_that_is_not_given_is_a_value_like_others(runs):
    mixed = runs.assign(width=runs["width"].map({2: "default", 4: 10}))
    drawn = plots.curves(SPEC, mixed)
    assert set(drawn["width"]) == {"default", 10}
    legend = plots.draw(SPEC, drawn, []).axes[5].get_legend()
    assert [text.get_text() for text in legend.get_texts()][:2] == ["width 10", "width default"]


def test_nothing_to_draw_is_said_in_one_line(runs):
    with pytest.raises(InputError, match=r"panel 0 \(test_accuracy, task1, task2\) has nothing to draw"):
        plots.curves(SPEC, runs[runs["metric"] != "test_accuracy"])


def test_the_current_task_is_drawn_in_pieces(runs):
    spec = SPEC | {"panels": [SPEC["panels"][0] | {"block": ["current"]}]}
    figure = plots.draw(spec, plots.curves(spec, runs), [])
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [3, 2, 3, 2]  # 2 widths × 2 tasks


def test_every_curve_is_drawn_with_its_band(runs):
    drawn = plots.curves(SPEC, runs)
    figure = plots.draw(SPEC, drawn, plots.switches(SPEC, runs))
    panels = figure.axes[:5]
    colors = {matplotlib.colors.to_hex(line.get_color()) for line in panels[1].lines if len(line.get_xdata()) > 2}
    assert len(colors) == 2
    assert len(panels[0].collections) == 4 and len(panels[1].collections) == 2
    switches = [line.get_xdata()[0] for ax in panels for line in ax.lines if len(line.get_xdata()) == 2]
    assert switches == plots.switches(SPEC, runs) * 5 == [2.0] * 5  # the last epoch of the first task
    assert all(ax.get_xlabel() == "epoch" and ax.get_ylabel() for ax in panels)
    texts = [text.get_text() for text in figure.axes[5].get_legend().get_texts()]
    assert texts[:2] == ["width 2", "width 4"] and "lowest to highest of 3 seeds" in texts


@pytest.mark.parametrize("panels", [1, 2, 3, 4, 6, 12])
@pytest.mark.parametrize("title", ["", "A title"])
def test_any_number_of_panels_without_overlap(runs, panels, title):
    spec = SPEC | {"panels": (SPEC["panels"] * 3)[:panels], "title": title}
    figure = plots.draw(spec, plots.curves(spec, runs), plots.switches(spec, runs))
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    boxes = [ax.get_tightbbox(renderer) for ax in figure.axes if ax.axison]
    legend = [*figure.legends, *(ax.get_legend() for ax in figure.axes if ax.get_legend())]
    boxes += [legend[0].get_window_extent(renderer)]
    assert len(legend) == 1 and len(boxes) == panels + 1
    page = figure.bbox
    for i, box in enumerate(boxes):
        assert box.x0 >= page.x0 - 1 and box.x1 <= page.x1 + 1 and box.y0 >= page.y0 - 1 and box.y1 <= page.y1 + 1
        assert not any(box.shrunk(0.98, 0.98).overlaps(other.shrunk(0.98, 0.98)) for other in boxes[:i])


def test_panels_say_what_their_metric_leaves_open(runs):
    defaults = {"kernel": "sum", "reference": "init", "dt": 2, "block": ["all"], "scale": "linear"}

    def labels(*panels):
        spec = SPEC | {"panels": [defaults | panel for panel in panels]}
        figure = plots.draw(spec, plots.curves(spec, runs), [])
        return [ax.get_ylabel() for ax in figure.axes if ax.axison]

    one = labels({"metric": "kernel_distance", "reference": "task_start"}, {"metric": "kernel_velocity"})
    assert one == ["kernel distance $S$\nfrom the task's start", "kernel velocity (1/epoch)\nover 2 epochs"]
    two = labels({"metric": "alignment"}, {"metric": "alignment", "kernel": "trace"}, {"metric": "test_accuracy"})
    assert two[0].endswith("summed logits") and two[1].endswith("mean over outputs") and two[2] == "test accuracy"

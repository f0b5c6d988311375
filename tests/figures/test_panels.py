"""What a panel draws."""

import numpy as np
import pandas as pd
import pytest

from convergence import PANEL, study
from drawing import SPEC, figure_of, made, summary
from reactivation.figures import layout
from reactivation.figures.select import diverged_runs, shown, spans
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study


def test_the_current_task_is_drawn_in_pieces(runs):
    spec = SPEC | {"panels": [SPEC["panels"][0] | {"block": ["current"]}]}
    figure = figure_of(spec, runs)
    pieces = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_color() != layout.SWITCH["color"]]
    assert pieces == [3, 2, 3, 2]  # 2 widths × 2 tasks


def test_a_summarys_line_is_of_the_means_in_its_csv(all_seeds):
    """Two widths at one similarity are two points, not one mean of both."""
    figure, _, drawn = made(all_seeds, summary("last"))
    means = drawn.groupby("width")["value"].transform("mean")
    np.testing.assert_allclose(drawn["mean"], means)
    assert not [line for line in figure.axes[0].lines if line.get_color() == layout.MEAN["color"]]


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


def test_time_can_be_tasks_done(all_seeds):
    figure, _, _ = made(all_seeds, {"metric": "alignment", "color": "width", "time": "tasks"})
    assert figure.axes[0].get_xlabel() == "tasks done"
    switches = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert switches == [1.0] and figure.axes[0].lines[0].get_xdata().max() == 2


def test_the_figure_says_the_slope_and_stands_beside_others():
    curves = {"metric": "spectral_norm", "color": "width"}
    spec = make_plan(load_study(study(PANEL, curves))).figures["wide"].spec
    (name,) = spec["panels"][0]["runs"]
    rng, rows = np.random.default_rng(0), []
    at = {
        "experiment": "widths",
        "task": 1,
        "step": 0,
        "epoch": 0.0,
        "progress": 0.0,
        "block": "all",
        "kernel": "sum",
        "layer": np.nan,
    }
    for width in (2, 4):
        for i, j in np.ndindex(3, 3):
            pair = {
                "run": name,
                "metric": "convergence",
                "width": width,
                "other": 2 * width,
                "seed": i,
                "other_seed": j,
            }
            rows.append(at | pair | {"value": rng.uniform(1, 2) / width})
    for run in spec["panels"][1]["runs"]:
        norm = {"run": run, "metric": "spectral_norm", "width": int(run[12]), "seed": int(run[-1]), "value": 1.0}
        rows += [at | norm, at | norm | {"task": 2, "step": 9, "epoch": 4.0, "progress": 2.0}]
    runs = pd.DataFrame(rows)
    drawn = shown(spec, runs)
    figure = layout.draw(spec, drawn, spans(spec, runs), diverged_runs(spec, runs))
    (text,) = (text.get_text() for text in figure.axes[0].texts)
    stated = drawn.loc[drawn["panel"] == 0, "slope"].iloc[0]
    assert text.startswith(f"slope {stated:.2f}".replace("-", "−"))
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_xlabel()) == ("log", "log", "width $w$")
    entries = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert "slope −1/2" in entries and "lowest to highest of 2 seeds" in entries

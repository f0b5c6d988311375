"""What a panel draws."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.lines import Line2D

from convergence import PANEL, study
from drawing import SPEC, figure, figure_of, made, summary
from reactivation.figures import layout
from reactivation.figures.panels import CHANCE_BAND, CHANCE_LINE
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


def test_no_line_joins_probes(all_seeds):
    """Probes 0, 1 and 2 are drawn independently: they have no order."""
    spec = figure(summary("last", x="width"))
    panels = [panel | {"x": "draw", "color": None, "axes": ["draw"]} for panel in spec["panels"]]
    drawing = figure_of(spec | {"panels": panels}, all_seeds.rename(columns={"width": "draw"}))
    assert [line.get_linestyle() for line in drawing.axes[0].lines] == ["None"] * 2


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
    curve = figure.axes[0].lines[0].get_ydata()
    assert np.isnan(curve[0]) and (curve[1:] > 0).all()  # a line to it would be vertical


def test_rounding_does_not_stretch_a_spectrums_scale(all_seeds):
    noise = all_seeds["value"].where(all_seeds["index"] != 2, 1e-40)
    figure, _, _ = made(all_seeds.assign(value=noise), {"kind": "spectrum", "leading": 3, "where": {"width": 4}})
    assert figure.axes[0].get_ylim()[0] > 0.1


def test_time_can_be_tasks_done(all_seeds):
    figure, _, _ = made(all_seeds, {"metric": "alignment", "color": "width", "time": "tasks"})
    assert figure.axes[0].get_xlabel() == "tasks done"
    switches = [line.get_xdata()[0] for line in figure.axes[0].lines if len(line.get_xdata()) == 2]
    assert switches == [1.0] and figure.axes[0].lines[0].get_xdata().max() == 2


IDENTITY, LOW, HIGH = CHANCE = ("alignment_identity", "alignment_permuted_low", "alignment_permuted_high")


def with_chance(runs, identity=lambda rows: 0.5):
    """Rows of what alignment has by chance: the identity's; 1 below and 2 above each run's own."""
    rows = runs[runs["metric"] == "alignment"]
    values = {IDENTITY: identity(rows), LOW: rows["value"] - 1, HIGH: rows["value"] + 2}
    return pd.concat([runs, *(rows.assign(metric=metric, value=value) for metric, value in values.items())])


def lines_of_chance(ax):
    return [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == CHANCE_LINE["color"]]


def bands_of_chance(ax):
    """(lowest, highest) of each band, over time."""
    bands = [band.get_paths()[0].vertices for band in ax.collections if band.get_hatch()]
    return [
        [(at[1][at[0] == x].min(), at[1][at[0] == x].max()) for x in np.unique(at[0])] for at in (b.T for b in bands)
    ]


def test_what_alignment_is_by_chance_is_drawn_behind_it(all_seeds):
    figure, _, drawn = made(with_chance(all_seeds), {"metric": "alignment"}, {"metric": "spectral_norm"}, color="width")
    (line,), bands = lines_of_chance(figure.axes[0]), bands_of_chance(figure.axes[0])
    assert line.get_xdata().tolist() == [0, 1, 2, 3, 4] and line.get_ydata().tolist() == [0.5] * 5
    for width, band in zip((2, 4), bands, strict=True):  # from the lowest to the highest of two seeds
        assert np.array(band) == pytest.approx(np.array([(e + width - 1, e + width + 0.1 + 2) for e in range(5)]))
    curves = figure.axes[0].lines[1:3]
    assert min(curve.get_zorder() for curve in curves) > line.get_zorder() > CHANCE_BAND["zorder"]
    entries = [entry.get_text() for entry in figure.legends[0].get_texts()]
    assert entries[2:4] == ["identity kernel", "95 % of permuted labels"]
    assert drawn["metric"].unique().tolist() == ["alignment", *CHANCE, "spectral_norm"]
    of_band = drawn[drawn["metric"] == HIGH].set_index(["width", "epoch"])["high"]
    assert of_band[4, 0] == pytest.approx(6.1) and drawn["width"].dtype == all_seeds["width"].dtype
    low, high = figure.axes[0].get_ylim()
    assert low < 0.5 and high > 10.1


def test_parts_and_runs_of_other_labels_have_lines_of_their_own(all_seeds):
    by_part = with_chance(all_seeds, lambda rows: rows["block"].map({"all": 0.5, "task1": 0.6, "task2": 0.7}))
    parts = {"metric": "alignment", "block": ["task1", "task2"]}
    figure, _, drawn = made(by_part, parts | {"where": {"width": 2}}, parts | {"color": "width"})
    for ax, look in zip(figure.axes, (Line2D.get_color, Line2D.get_linestyle), strict=False):
        lines = [
            line for line in ax.lines if line.get_linewidth() == CHANCE_LINE["linewidth"] and line.get_zorder() == 1
        ]
        assert [set(line.get_ydata()) for line in lines] == [{0.6}, {0.7}] and not bands_of_chance(ax)
        first, second, *_ = (line for line in ax.lines if line.get_linewidth() > CHANCE_LINE["linewidth"])
        assert list(map(look, lines)) == [look(first), look(second)]
    assert set(drawn["metric"]) == {"alignment", IDENTITY}  # what is drawn, and no more
    figure, _, _ = made(by_part, {"metric": "alignment", "block": ["current"], "color": "width"})
    lines = lines_of_chance(figure.axes[0])
    assert [(line.get_xdata().tolist(), set(line.get_ydata())) for line in lines] == [
        ([0, 1, 2], {0.6}),
        ([3, 4], {0.7}),
    ]
    assert [len(band) for band in bands_of_chance(figure.axes[0])] == [3, 2, 3, 2]  # of two widths
    figure, _, _ = made(
        with_chance(all_seeds, lambda rows: rows["width"] / 8), {"metric": "alignment", "color": "width"}
    )
    assert [set(line.get_ydata()) for line in lines_of_chance(figure.axes[0])] == [{0.25}, {0.5}]


def test_over_several_probes_the_identity_is_at_its_mean(all_seeds):
    """As in the csv. Seeds stand for probes here."""
    figure, _, drawn = made(
        with_chance(all_seeds, lambda rows: 0.5 + 0.1 * rows["seed"]), {"metric": "alignment", "color": "width"}
    )
    (line,) = lines_of_chance(figure.axes[0])
    assert set(line.get_ydata()) == set(drawn.loc[drawn["metric"] == IDENTITY, "mean"]) == {0.55}


def test_a_summary_of_the_end_has_the_line_alone(all_seeds):
    runs = with_chance(all_seeds)
    figure, _, drawn = made(runs, summary("last", "alignment", x="width"), summary("max", "alignment", x="width"))
    (line,) = lines_of_chance(figure.axes[0])
    assert line.get_xdata().tolist() == [2, 4] and line.get_ydata().tolist() == [0.5, 0.5]
    assert not lines_of_chance(figure.axes[1]) and not bands_of_chance(figure.axes[0])
    assert drawn.groupby("panel")["metric"].unique().map(list).tolist() == [["alignment", IDENTITY], ["alignment"]]


def test_a_panel_beside_another_shows_chance_on_its_scale(all_seeds):
    runs = with_chance(all_seeds)
    figure, spec, drawn = made(runs, {"metric": "alignment", "color": "width"})
    spec = spec | {"beside": "fig1", "panels": [spec["panels"][0] | {"beside": 0}]}
    figure = figure_of(spec, runs, drawn.assign(low=drawn["low"] - 100))
    assert all((len(lines_of_chance(ax)), len(bands_of_chance(ax))) == (1, 2) for ax in figure.axes)
    assert figure.axes[1].get_ylim()[0] < -100


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

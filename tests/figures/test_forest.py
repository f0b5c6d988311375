"""The claims as a forest plot: what is drawn, and where text stands."""

import io

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from claim_tables import ALL
from reactivation.analysis.claims import CLAIMS, Measure
from reactivation.analysis.verdicts import _measured, _verdict
from reactivation.figures import forest, layout

LONG = "error of the function that the static kernel predicts, of the function's change in the task"


def judged(name, *measures, kernel="sum", **about):
    """A claim as `claims_rows` returns it; each measure: its name, unit, threshold, and values over seeds."""
    found = [
        _measured(Measure(n, pd.Series(values, dtype=float), limit, unit), ALL) for n, unit, limit, values in measures
    ]
    found = found or [{"measure": "", "seeds": 0, "finding": "open", "holds": False, "words": "0 seeds"}]
    claim = name.partition(".")[0]
    statement, _ = CLAIMS[claim]
    about = {"claim": list(CLAIMS).index(claim) + 1, "experiment": "e", "where": "", "statement": statement} | about
    about |= {"kernel": kernel, "name": name, "verdict": _verdict([m["finding"] for m in found])}
    return [about | m | {"sentence": m["words"]} for m in found]


def ratio(*values, name="velocity across the switch, over that before"):
    with np.errstate(divide="ignore"):
        return (name, "times", 2.0, np.log(values))


def drawn(*claims):
    figure = forest.draw(list(claims), "tiny", ALL)
    return figure, {ax.get_title(): ax for ax in figure.axes}


def points(ax):
    """(effect, color, whether it is filled, marker) of each point."""
    lines = [line for line in ax.lines if len(line.get_xdata()) == 1 and line.get_marker() not in "<>"]
    return [
        (line.get_xdata()[0], line.get_color(), line.get_markerfacecolor() != "white", line.get_marker())
        for line in lines
    ]


def test_each_unit_has_a_panel_and_each_measure_its_effect_interval_and_threshold():
    rows = judged("check_mark", ratio(8, 9, 10), ("drop", "share", 0.1, [0.05, 0.06, 0.07]))
    _, panels = drawn(rows, judged("new_classes_order", ("rank", "number", 0.8, [0.7, 0.9, 1.0])))
    assert list(panels) == ["Ratios", "Shares", "Numbers"] and panels["Ratios"].get_xscale() == "log"
    looks = [points(panels[title])[0][1:] for title in panels]
    assert looks == [
        (*forest.LOOKS[finding][:1], True, forest.LOOKS[finding][1])
        for finding in ("supported", "contradicted", "open")
    ]
    for row, title in zip(rows, panels, strict=False):
        ax = panels[title]
        assert points(ax)[0][0] == row["effect"]
        assert list(ax.lines[0].get_xdata()) == [row["low"], row["high"]]
        (threshold,) = {x for segment in ax.collections[1].get_segments() for x in segment[:, 0]}
        assert threshold == row["threshold"]
        shaded = ax.collections[0].get_paths()[0].get_extents()
        assert (shaded.x0, shaded.x1) == pytest.approx((row["threshold"], ax.get_xlim()[1]))


def test_the_kernel_beside_is_hollow_on_a_line_of_its_own():
    _, panels = drawn(
        judged("velocity_spikes", ratio(8, 9, 10)), judged("velocity_spikes", ratio(3, 4, 5), kernel="trace")
    )
    (main, *_), (beside, *_) = (point[2:] for point in points(panels["Ratios"]))
    assert main and not beside
    heading, verdicts, _, *numbers = (text.get_text() for text in panels["Ratios"].texts)
    assert (
        heading.replace("\xa0", " ")
        == "2  At every switch the velocity spikes, at every width, then falls back (e; n = 3)"
    )
    assert verdicts == "sum: supported; trace: supported"
    assert numbers == ["sum: 8.96× (6.79 to 11.8)", "trace: 3.91× (2.07 to 7.4)"]


def test_what_goes_beyond_the_axis_ends_in_an_arrow_and_what_is_undefined_is_said():
    inf = np.inf
    rows = judged(
        "check_mark",
        ("finite", "share", 0.1, [0.29, 0.3, 0.31]),
        ("wide", "share", 0.1, [-50, 0.3, 50]),
        ("infinite", "share", 0.1, [inf, inf, inf]),
        ("half infinite", "share", 0.1, [0.2, inf, 0.2]),
        ("one seed", "share", 0.1, [0.3, np.nan, np.nan]),
        ("none", "share", 0.1, [np.nan] * 3),
    )
    _, panels = drawn(rows)
    ax = panels["Shares"]
    arrows = [line.get_marker() for line in ax.lines if line.get_marker() in "<>"]
    assert arrows == ["<", ">", ">", "<", ">"]
    low, high = ax.get_xlim()
    assert low > -1 and high < 2  # no interval flattens the others
    said = [text.get_text() for text in ax.texts if text.get_text().startswith("sum: ")][1:]
    assert said[2:] == ["sum: ∞ % (∞ to ∞)", "sum: ∞ % (−∞ to ∞)", "sum: 30 %"]
    assert ax.texts[0].get_text().replace("\xa0", " ").endswith("(e; n = 0–3)")
    assert [text.get_text() for text in ax.texts[-2:]] == ["none", "undefined"]


def test_what_is_undefined_takes_one_line():
    undefined = (LONG, "share", 0.1, [np.nan] * 3)
    _, panels = drawn(judged("check_mark", undefined), judged("check_mark", undefined, kernel="trace"))
    ax = panels["Shares"]
    _, _, name, said = (text.get_text() for text in ax.texts)
    assert name.endswith(" …") and len(name) <= forest.NAME and said == "undefined"
    assert not ax.collections and ax.get_ylim()[0] == pytest.approx(forest.HEADING + forest.LINE + 0.14)


def test_an_experiment_that_is_tested_twice_has_a_threshold_of_its_own_each_time():
    """Each entry on the config's list has a heading, lines and verdicts of its own."""
    twice = [
        judged(key, ("m", "times", limit, np.log([8, 9, 10])), kernel=kernel)
        for key, limit in (("velocity_spikes.0", 2.0), ("velocity_spikes.1", 100.0))
        for kernel in ("sum", "trace")
    ]
    figure, panels = drawn(*twice)
    ax = panels["Ratios"]
    thresholds = [{x for segment in lines.get_segments() for x in segment[:, 0]} for lines in ax.collections[1::2]]
    assert thresholds == [{2.0}, {100.0}] and clipped(figure) == []
    verdicts = [text.get_text() for text in ax.texts if text.get_text().startswith("sum: ") and ";" in text.get_text()]
    assert verdicts == ["sum: supported; trace: supported", "sum: contradicted; trace: contradicted"]


def test_large_and_small_numbers_are_powers_of_ten():
    figure, panels = drawn(judged("velocity_spikes", ratio(1e-7, 6.14e6, 1e12)))
    said = panels["Ratios"].texts[-1].get_text()
    assert "e+" not in said and "·10" in said and clipped(figure) == []
    figure.draw(FigureCanvasAgg(figure).get_renderer())
    assert not [label for label in panels["Ratios"].get_xticklabels() if "e" in label.get_text()]


def test_ratios_of_zero_and_thresholds_that_a_logarithm_has_not():
    _, panels = drawn(judged("velocity_spikes", ratio(0, 0, 0), ("m", "times", -1.0, np.log([1, 2, 3]))))
    assert panels["Ratios"].get_xlim()[0] > 0


def clipped(figure):
    """Texts that go beyond the page or into other text."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    figure.draw(renderer)
    texts = [*figure.texts, *(text for ax in figure.axes for text in ax.texts), *figure.legends[0].get_texts()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts if text.get_text()]
    page = figure.bbox
    outside = [said for said, box in boxes if box.x0 < 0 or box.y0 < 0 or box.x1 > page.x1 or box.y1 > page.y1]
    across = [(a, b) for i, (a, one) in enumerate(boxes) for b, other in boxes[:i] if one.overlaps(other)]
    axes = [ax.get_window_extent(renderer) for ax in figure.axes]
    measures = {
        text for ax in figure.axes for text in ax.texts if text.get_position()[0] in (0.25, forest.RIGHT + 0.12)
    }
    into = [text.get_text() for text in measures if any(text.get_window_extent(renderer).overlaps(box) for box in axes)]
    return outside + across + into


def test_no_text_is_clipped_or_on_other_text():
    everything = [
        judged(name, ratio(8, 9, 10, name=LONG), (LONG, "epochs", 0.0, [-1234.5, 1e4, 3]), kernel=kernel,
               experiment="larger_tasks_standard_parametrization", where="lr 0.0005, width 1024")
        for name in CLAIMS for kernel in ("sum", "trace")
    ]  # fmt: skip
    figure, panels = drawn(*everything, judged("repeats", experiment="f"))
    assert list(panels) == ["Ratios", "Epochs"] and clipped(figure) == []
    assert "Claim 7 (f, sum): 0 seeds" in figure.texts[1].get_text()


def test_a_study_without_claims_has_a_page_that_says_so():
    figure, panels = drawn()
    assert not panels and "names no claims" in figure.texts[1].get_text()
    layout.save(figure, file := io.BytesIO())
    assert file.getvalue().startswith(b"\x89PNG")


def test_findings_are_told_apart_by_lightness_and_by_marker():
    grey = [
        0.299 * r + 0.587 * g + 0.114 * b for r, g, b in (matplotlib.colors.to_rgb(c) for c, _ in forest.LOOKS.values())
    ]
    assert len({marker for _, marker in forest.LOOKS.values()}) == 3 and np.ptp(grey) > 0.05

"""Drawing one panel: its curves, points and axes. What colors mean, and where panels stand, is up to layout.py."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter

from reactivation.analysis.timeline import starts_anew
from reactivation.figures import words
from reactivation.figures.overlaid import OTHERS
from reactivation.figures.select import time_column, together
from reactivation.figures.switch_axis import draw_axis
from reactivation.storage.headers import SLOPE

if TYPE_CHECKING:
    from reactivation.data import specs

Style = dict[str, Any]  # keywords of matplotlib
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
SWITCH: Style = {"color": "0.35", "linewidth": 0.8, "linestyle": (0, (2, 2))}
CHANCE_LINE: Style = {"color": "0.45", "linewidth": 0.8, "linestyle": (0, (6, 3)), "zorder": 1}
CHANCE_BAND: Style = {"facecolor": "0.95", "edgecolor": "0.83", "hatch": "//////", "linewidth": 0, "zorder": 0}
FLOOR = 1e-9  # share of the largest eigenvalue at the time, below which eigenvalues are rounding errors
PUBLISHED: Style = {
    "linewidth": 0.5,
    "marker": "o",
    "markersize": 3,
    "markerfacecolor": "none",
    "markeredgewidth": 0.7,
}
MEAN: Style = {"color": "black", "linewidth": 0.8, "zorder": 1}
INITIALISATION: Style = {
    "linestyle": "",
    "marker": "o",
    "color": "0.2",
    "markersize": 3,
    "alpha": 0.35,
    "markeredgewidth": 0,
}
THEORY: Style = {"color": "#D55E00", "linewidth": 1.2, "linestyle": "--", "zorder": 3}


def draw_panel(
    ax: Axes,
    panel: "specs.Panel",
    drawn: pd.DataFrame,
    colors: dict[str, dict],
    span: dict[str, Any],
    several_kernels: bool,
) -> None:
    """Draw `drawn` into `ax`; `colors`: by axis and value; `span`: switches and end of the panel's time."""
    if drawn.empty:
        _draw_empty(ax, panel)
        return
    _scale(ax, panel, drawn)
    whole, drawn = drawn, drawn[drawn["metric"] == panel["metric"]]
    _draw_chance(ax, panel, whole, colors)
    if panel["kind"] == "convergence":
        _draw_convergence(ax, drawn)
    elif panel["kind"] == "summary":
        _draw_summary(ax, panel, drawn, colors)
        x: str = panel["x"]
        ax.set_xlabel(words.AXES.get(x, x))
    else:
        _draw_over_time(ax, panel, drawn, colors)
        if panel["kind"] == "spectrum":
            ax.set_ylim(*limits_of(panel, drawn))
        for end in span["switches"]:
            ax.axvline(end, **SWITCH, zorder=0)
        _draw_time(ax, panel, drawn, span)
    if panel["signed"]:
        ax.axhline(0, color="0.7", linewidth=0.8, zorder=0)
    details = words.details(panel, drawn, several_kernels)
    if len(_settled(panel, drawn)) < len(drawn):
        ax.set_ylim(*limits_of(panel, drawn))
        details.append("diverging runs go beyond")
    ax.set_ylabel("\n".join([words.metric(panel), *details]))


def limits_of(panel: "specs.Panel", drawn: pd.DataFrame) -> tuple[float, float]:
    """The limits of the vertical scale on which a panel shows `drawn`, with matplotlib's own margins."""
    ax = Figure().subplots()
    _scale(ax, panel, drawn)
    ax.plot(visible(panel, drawn))
    return ax.get_ylim()


def visible(panel: "specs.Panel", drawn: pd.DataFrame) -> np.ndarray:
    """All numbers that a panel's vertical scale has to show and can show."""
    drawn = _settled(panel, drawn)
    if panel["kind"] == "spectrum":
        drawn = drawn[drawn["low"] > FLOOR * drawn.groupby("step")["high"].transform("max")]
    values = drawn[["low", "high"]].to_numpy().ravel()
    return values[values > 0] if panel["scale"] == "log" else values


def _settled(panel: "specs.Panel", drawn: pd.DataFrame) -> pd.DataFrame:
    """Rows that a panel's vertical scale has to show: without those of diverging runs that would flatten the others.

    Rows of diverging runs stay if they are near whole runs: within twice the largest of these, or two decades.
    """
    bounded = panel["bounded"] and panel.get("statistic") not in ("drop", "recovery")
    if "diverged" not in drawn or bounded or drawn["diverged"].eq(True).all():
        return drawn
    whole = drawn[drawn["diverged"].ne(True)]
    low, high = whole["low"].min(), whole["high"].max()
    room = 2 * max(abs(low), abs(high))
    least, most = (low / 100, high * 100) if panel["scale"] == "log" else (low - room, high + room)
    near = drawn["low"].ge(least) & drawn["high"].le(most)
    return drawn[drawn["diverged"].ne(True) | near]


def _draw_empty(ax: Axes, panel: "specs.Panel") -> None:
    """A panel whose runs all diverged before there was anything to draw."""
    ax.text(0.5, 0.5, "every run diverged", transform=ax.transAxes, ha="center", va="center", color="0.35")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_ylabel(words.metric(panel))


def _scale(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame) -> None:
    ax.set_yscale(panel["scale"])
    if panel["scale"] != "linear":
        return
    if _settled(panel, drawn)["high"].max() >= 1e4:
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))  # 50k, 1.5M
    else:
        ax.ticklabel_format(axis="y", scilimits=(-3, 4))
    if panel["limits"] and panel.get("statistic", "last") in ("last", "max"):
        low, high = panel["limits"]
        theirs = drawn.loc[drawn["kind"] == OTHERS, "mean"]  # percentages, if someone has such
        ax.set_ylim(min([low, *theirs]) - 0.02, max([high, *theirs]) + 0.02)


def _draw_time(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame, span: dict[str, Any]) -> None:
    """Draw the horizontal axis of time."""
    if "around" in span:
        draw_axis(ax, span["around"], panel["task"], panel["unit"])
        return
    # Velocities end dt before the last epoch: a common axis puts the switch at the same place in all panels.
    end = max(span["end"], drawn[time_column(panel)].max())  # others' numbers may go on for longer
    ax.set_xlim(-0.03 * end, 1.03 * end)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
    if panel.get("time") == "iterations" and end >= 1e4:
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 50k
    ax.set_xlabel({"tasks": "tasks done", "iterations": "iterations"}.get(panel.get("time", ""), "epoch"))


def _draw_over_time(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame, colors: dict[str, dict]) -> None:
    """Draw curves of the mean with bands: one for each color and block, or for each eigenvalue."""
    axis, time = words.color_axis(panel), time_column(panel)
    curves: list[tuple[Any, ...]] = [(None, *look) for look in _looks(panel, colors)]
    if axis and axis != "block":
        curves = [(value, color, *rest) for value, color in colors[axis].items() for _, _, *rest in curves]
    for value, color, block, style in curves:
        of_curve = drawn[(drawn["block"] == block) & (value is None or drawn[axis] == value)]
        theirs = of_curve["kind"] == OTHERS
        if theirs.any():
            others = of_curve[theirs]
            ax.plot(others[time], _shown(others, panel), **PUBLISHED, linestyle=style, color=color)
        curve = of_curve[~theirs]
        for _, piece in _pieces(curve, panel, block):
            alone: Style = {"marker": "o", "markersize": 2.5} if len(piece) == 1 else {}
            ax.plot(piece[time], _shown(piece, panel), linestyle=style, color=color, **alone)
            ax.fill_between(piece[time], piece["low"], piece["high"], color=color, alpha=0.2, linewidth=0)
            if alone:
                ax.vlines(piece[time], piece["low"], piece["high"], color=color, alpha=0.2, linewidth=3)


def _looks(panel: "specs.Panel", colors: dict[str, dict]) -> list[tuple[Any, str, Any]]:
    """The color, name and line style of each block of a panel, before colors show an axis."""
    if words.color_axis(panel) == "block":
        return [(colors["block"][group], block, "-") for block, group in words.groups(panel).items()]
    return [("0.2", block, style) for block, style in zip(panel["block"], itertools.cycle(STYLES), strict=False)]


def _shown(piece: pd.DataFrame, panel: "specs.Panel") -> pd.Series:
    """The means of a curve, without those for which the scale has no place."""
    return piece["mean"].where(piece["mean"] > 0) if panel["scale"] == "log" else piece["mean"]


def _draw_chance(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame, colors: dict[str, dict]) -> None:
    """Draw what the metric has by chance: of one metric, a line for each value; of two, a band for each curve.

    Bands are opaque, so that together they are one. Lines of several blocks look like their curves, but thin and pale.
    """
    for names in panel.get("chance", {}).values():
        of_chance = drawn[drawn["metric"].isin(names)]
        if panel["kind"] == "summary":
            _draw_chance_at(ax, panel, of_chance)
            continue
        each, time = "mean" if len(names) == 1 else panel["color"], time_column(panel)
        for color, block, style in _looks(panel, colors):
            look = CHANCE_LINE
            if len(panel["block"]) > 1:
                by_color = words.color_axis(panel) == "block"
                look = CHANCE_LINE | ({"color": color} if by_color else {"linestyle": style})
            rows = of_chance[of_chance["block"] == block]
            for _, of_one in rows.groupby(each, dropna=False) if each else [(None, rows)]:
                at = of_one.groupby(["task", time], as_index=False)
                curve = at.agg({"mean": "mean", "low": "min", "high": "max"}).sort_values([time, "task"])
                for _, piece in curve.groupby("task") if block == "current" else [(None, curve)]:
                    if len(names) == 1:
                        ax.plot(piece[time], piece["mean"], **look)
                    else:
                        ax.fill_between(piece[time], piece["low"], piece["high"], **CHANCE_BAND)


def _draw_chance_at(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame) -> None:
    """Draw the line of a summary, as that through the means."""
    x: str = panel["x"]
    for _, rows in [(None, drawn)] if together(panel, drawn) else drawn.groupby(panel["color"]):
        places = rows.drop_duplicates(x).sort_values(x)
        ax.plot(places[x], places["mean"], **CHANCE_LINE | _dash(places, x))


def _dash(places: pd.DataFrame, x: str, together: bool = False) -> Style:
    """How means look that no line joins: a single one, and those of probes, which have no order."""
    alone = x == "draw" or (len(places) == 1 and not together)
    return {"marker": "_", "markersize": 9, "linestyle": ""} if alone else {}


def _draw_summary(ax: Axes, panel: "specs.Panel", drawn: pd.DataFrame, colors: dict[str, dict]) -> None:
    """Draw seeds as points, and a line through the means: one for each color, unless `together` says one for all."""
    axis, one_line = panel["color"], together(panel, drawn)
    x: str = panel["x"]
    for value, color in colors[axis].items() if axis else [(None, "0.2")]:
        of_value = drawn[drawn[axis] == value] if axis else drawn
        ax.plot(of_value[x], of_value["value"], "o", color=color, markersize=3.5, alpha=0.8, markeredgewidth=0)
        if not one_line:
            means = of_value.drop_duplicates(x).sort_values(x)
            ax.plot(means[x], means["mean"], color=color, **_dash(means, x))
    if one_line:
        means = drawn.drop_duplicates(x).sort_values(x)
        ax.plot(means[x], means["mean"], **MEAN | _dash(means, x, together=True))
    _mark(ax, x, np.sort(drawn[x].unique()))


def _draw_convergence(ax: Axes, drawn: pd.DataFrame) -> None:
    """Draw initialisations as points, a line through geometric means, and one of slope −1/2 through its middle."""
    ax.plot(drawn["width"], drawn["value"], **INITIALISATION)
    means = drawn.drop_duplicates("width")
    ax.plot(means["width"], means["mean"], **MEAN)
    middle_x, middle_y = (np.exp(np.log(means[column]).mean()) for column in ("width", "mean"))
    ax.plot(means["width"], middle_y * (means["width"] / middle_x) ** -0.5, **THEORY)
    slope, low, high = means[list(SLOPE)].iloc[0]
    fitted = f"slope {slope:.2f}\n[{low:.2f}, {high:.2f}]".replace("-", "−")
    ax.text(1, 1, fitted, transform=ax.transAxes, ha="right", va="top")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # less than a decade has one power of ten at most
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xscale("log")
    _mark(ax, "width", means["width"].to_numpy())
    ax.set_xlabel("width $w$")


def _mark(ax: Axes, x: str, values: np.ndarray) -> None:
    """Set the horizontal axis for `values` in order: logarithmic over a factor of 8; a tick at each, if legible.

    `similarity` is always linear, with matplotlib's own ticks.
    """
    places = values
    if x != "similarity" and values[0] > 0 and values[-1] >= 8 * values[0]:
        ax.set_xscale("log")
        places = np.log(values)
    gaps = np.diff(places)
    if len(values) == 1 or (x != "similarity" and gaps.min() > 0.12 * gaps.sum()):
        ax.set_xticks(values, labels=list(map(words.text, values)))
        ax.minorticks_off()


def _pieces(curve: pd.DataFrame, panel: "specs.Panel", block: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """A curve in pieces between which no line is drawn.

    There the current task's test set changes, or the reference `task_start`; or a linearised twin starts anew and has
    two values; or a seed diverged that was part of the mean.
    """
    from_start = panel["reference"] == "task_start"
    parts = [curve["task"]] if block == "current" or from_start else []
    if (anew := starts_anew(curve)).any():
        parts.append(anew.cumsum())
    if "diverged" in curve and curve["diverged"].any():
        parts.append(curve["seeds"].diff().ne(0).cumsum())
    return iter(curve.groupby(parts) if parts else [(None, curve)])

"""Drawing, and nothing else: what `shown` selected in, figures out."""

import itertools
import math
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter, LogLocator, MaxNLocator, NullFormatter
from matplotlib.typing import RcKeyType

from . import labels
from .errors import InputError
from .shown import FROM_REFERENCE, SLOPE, of_kernel, ordered, time_column, together

Spec = dict[str, Any]
STYLES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
SWITCH: Spec = {"color": "0.35", "linewidth": 0.8, "linestyle": (0, (2, 2))}
# Perceptually uniform, from dark to light: told apart by the colour-blind and in grey. One for each axis of a figure.
PALETTES = ("viridis", "plasma", "cividis", "magma", "inferno", "copper")
FLOOR = 1e-9  # of the largest eigenvalue at the time: those below are rounding
# Metrics that stay within their bounds when kernels grow without any.
BOUNDED = (
    "accuracy_error",
    "alignment",
    "cross_task_overlap",
    "effective_rank",
    "eigenvector_alignment",
    "eigenvector_rotation",
    "forgetting",
    "forgetting_error",
    "kernel_distance",
    "kernel_velocity",
    "test_accuracy",
)
MEAN: Spec = {"color": "black", "linewidth": 0.8, "zorder": 1}
INITIALISATION: Spec = {
    "linestyle": "",
    "marker": "o",
    "color": "0.2",
    "markersize": 3,
    "alpha": 0.35,
    "markeredgewidth": 0,
}
THEORY: Spec = {"color": "#D55E00", "linewidth": 1.2, "linestyle": "--", "zorder": 3}
CELL = (2.4, 2.0)  # inches of a panel with its labels: three are a page's width
STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 250,
}


def draw(
    spec: Spec,
    drawn: pd.DataFrame,
    spans: list[Spec],
    diverged: dict[str, list[str]],
    scales: pd.DataFrame | None = None,
) -> Figure:
    """The figure of what `shown`, `spans` and `diverged_runs` returned; bands go from the lowest to the highest seed.

    `scales`: what the figure shows whose vertical scales are taken beside this one's own; then every panel is there twice.
    """
    cells = list(_cells(spec, drawn, scales))
    columns = min(spec["columns"], len(cells))
    rows = math.ceil(len(cells) / columns)
    colors = _colors(spec, drawn)
    with matplotlib.rc_context(STYLE):
        title, handles = _legend(spec, drawn, colors, spans, diverged)
        width, height = CELL[0] * columns, CELL[1] * rows + 0.1
        inside = rows * columns > len(cells) and _fits(handles, title, 1, CELL)
        counts = [1] if inside else range(2 * columns, 0, -1)
        across = next(n for n in counts if n == 1 or _fits(handles, title, n, (width, math.inf)))
        # Inches for the title, of which a line takes 0.17, and for the legend below, where no cell is free for it.
        headline = _wrapped(spec["title"], int(13 * width))
        height += 0.17 * (headline.count("\n") + 1) + 0.08 if headline else 0
        height += 0 if inside else _size(handles, title, across)[1] + 0.1
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (i, letter, panel, heading, limits) in zip(axes, cells, strict=False):
            _draw_panel(ax, panel, drawn[drawn["panel"] == i], colors, spans[i], several_kernels=title is None)
            ax.set_title(f"({letter})", loc="left", fontweight="bold")
            ax.set_title(_wrapped(heading, 22), loc="right")
            if limits is not None:
                ax.set_ylim(*limits)
        for ax in axes[len(cells) :]:
            ax.set_axis_off()
        if inside:
            # Anchored to the cell, not to its axes, which begin where the labels of others end.
            place = (len(cells) % columns / columns, (rows - len(cells) // columns - 0.5) * CELL[1] / height)
            figure.legend(handles=handles, title=title, loc="center left", bbox_to_anchor=place, alignment="left")
        else:
            figure.legend(handles=handles, title=title, loc="outside lower center", ncols=across, alignment="left")
        if headline:
            figure.suptitle(headline, fontsize=9)
    return figure


def _wrapped(title: str, width: int) -> str:
    """A title in lines; InputError if its formulas, between $ and $, are none."""
    text = textwrap.fill(title, width)
    for line in filter(is_math_text, text.split("\n")):
        try:
            MathTextParser("agg").parse(line)
        except ValueError as error:
            raise InputError(
                f"title '{line}': between $ and $ stands no formula; write \\$ for a dollar sign"
            ) from error
    return text


def _size(handles: list[Artist], title: str | None, columns: int) -> tuple[float, float]:
    """Width and height of a legend in inches, with some room around it: text is wider at some resolutions."""
    figure = Figure(dpi=STYLE["savefig.dpi"])
    legend = figure.legend(handles=handles, title=title, ncols=columns, alignment="left")
    box = legend.get_window_extent(FigureCanvasAgg(figure).get_renderer())
    return box.width / figure.dpi + 0.1, box.height / figure.dpi


def _fits(handles: list[Artist], title: str | None, columns: int, room: tuple[float, float]) -> bool:
    width, height = _size(handles, title, columns)
    return width <= room[0] and height <= room[1]


def save(figure: Figure, path: str | Path, metadata: Spec | None = None) -> None:
    """Write the figure, and what `metadata` says of it, in the format of the path's ending."""
    with matplotlib.rc_context(STYLE):  # read again when saving: resolution, and fonts as text in a PDF
        figure.savefig(path, metadata=metadata)


def _cells(spec: Spec, drawn: pd.DataFrame, scales: pd.DataFrame | None) -> Iterator[tuple]:
    """(panel's position, its letter, the panel, what its title says, limits of its vertical axis if they are given).

    Each panel, and beside it, if `scales` is given, the same on the other figure's scale: wider where it would hide something.
    """
    for i, (panel, letters) in enumerate(zip(spec["panels"], _letters(spec), strict=True)):
        heading = panel["title"] or ", ".join(labels.entry(key, value) for key, value in panel["own"].items())
        yield i, letters[0], panel, heading, None
        if scales is not None:
            other, of_panel = scales[scales["panel"] == panel["beside"]], drawn[drawn["panel"] == i]
            scale, limits = f"on the scale of {re.sub('^fig', 'Fig. ', spec['beside'])}", None
            if other.empty:  # all its runs diverged
                scale = scale.replace("on the scale of", "no scale in")
            elif len(of_panel):
                limits, own = _limits(panel, other), _visible(panel, of_panel)
                if len(own) and (own.min() < limits[0] or own.max() > limits[1]):
                    scale, limits = f"{scale}, widened", _limits(panel, pd.concat([other, of_panel]))
            yield i, letters[1], panel, ", ".join(filter(None, [heading, scale])), limits


def _letters(spec: Spec) -> list[str]:
    """Those of each panel: two where it is drawn again on another figure's scale."""
    each = 1 if spec["beside"] is None else 2
    return ["".join(chr(ord("a") + each * i + k) for k in range(each)) for i in range(len(spec["panels"]))]


def _limits(panel: Spec, drawn: pd.DataFrame) -> tuple[float, float]:
    """The vertical scale on which a panel shows `drawn`: matplotlib's own margins."""
    ax = Figure().subplots()
    _scale(ax, panel, drawn)
    ax.plot(_visible(panel, drawn))
    return ax.get_ylim()


def _visible(panel: Spec, drawn: pd.DataFrame) -> np.ndarray:
    """All numbers that a panel's vertical scale has to show and can."""
    drawn = _settled(panel, drawn)
    if panel["kind"] == "spectrum":
        drawn = drawn[drawn["low"] > FLOOR * drawn.groupby("step")["high"].transform("max")]
    values = drawn[["low", "high"]].to_numpy().ravel()
    return values[values > 0] if panel["scale"] == "log" else values


def _settled(panel: Spec, drawn: pd.DataFrame) -> pd.DataFrame:
    """Rows that a panel's vertical scale has to show: what diverging runs reach on their way would flatten the others.

    Of them those stay that are near whole runs: no further away than twice the largest of these, or two decades.
    """
    bounded = panel["metric"] in BOUNDED and panel.get("statistic") not in ("drop", "recovery")
    if "diverged" not in drawn or bounded or drawn["diverged"].eq(True).all():
        return drawn
    whole = drawn[drawn["diverged"].ne(True)]
    low, high = whole["low"].min(), whole["high"].max()
    room = 2 * max(abs(low), abs(high))
    least, most = (low / 100, high * 100) if panel["scale"] == "log" else (low - room, high + room)
    near = drawn["low"].ge(least) & drawn["high"].le(most)
    return drawn[drawn["diverged"].ne(True) | near]


def _sequential(n: int, palette: str) -> list:
    """Colors of n ordered values; no near-white end."""
    return [matplotlib.colormaps[palette](0.0 if n == 1 else 0.88 * i / (n - 1)) for i in range(n)]


def _colors(spec: Spec, drawn: pd.DataFrame) -> dict[str, dict]:
    """Colors of the values of each axis that panels are colored by."""
    colors = {}
    axes = dict.fromkeys(map(labels.color_axis, spec["panels"]))
    for axis, palette in zip(filter(None, axes), itertools.cycle(PALETTES), strict=False):
        values = ordered(drawn[axis]) if axis in drawn and axis != "block" else []
        if axis == "index":
            values = [int(i) for i in values]
        if axis == "block":
            panels = [panel for panel in spec["panels"] if labels.color_axis(panel) == "block"]
            values = list(dict.fromkeys(group for panel in panels for group in labels.groups(panel).values()))
        colors[axis] = dict(zip(values, _sequential(len(values), palette), strict=True))
    return colors


def _draw_panel(
    ax: Axes, panel: Spec, drawn: pd.DataFrame, colors: dict[str, dict], span: Spec, several_kernels: bool
) -> None:
    if drawn.empty:
        _draw_empty(ax, panel)
        return
    _scale(ax, panel, drawn)
    if panel["kind"] == "convergence":
        _draw_convergence(ax, drawn)
    elif panel["kind"] == "summary":
        _draw_summary(ax, panel, drawn, colors)
        x: str = panel["x"]
        ax.set_xlabel(labels.AXES.get(x, x))
    else:
        _draw_over_time(ax, panel, drawn, colors)
        if panel["kind"] == "spectrum":
            ax.set_ylim(*_limits(panel, drawn))
        for end in span["switches"]:
            ax.axvline(end, **SWITCH, zorder=0)
        # A velocity ends dt before the last epoch: only on a common axis does the switch stand at the same place.
        ax.set_xlim(-0.03 * span["end"], 1.03 * span["end"])
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, steps=[1, 2, 5, 10]))
        ax.set_xlabel("tasks done" if panel.get("time") == "tasks" else "epoch")
    details = labels.details(panel, drawn, several_kernels)
    if len(_settled(panel, drawn)) < len(drawn):
        ax.set_ylim(*_limits(panel, drawn))
        details.append("diverging runs go beyond")
    ax.set_ylabel("\n".join([labels.metric(panel), *details]))


def _draw_empty(ax: Axes, panel: Spec) -> None:
    """A panel whose runs all diverged before there was anything to draw."""
    ax.text(0.5, 0.5, "every run diverged", transform=ax.transAxes, ha="center", va="center", color="0.35")
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_ylabel(labels.metric(panel))


def _scale(ax: Axes, panel: Spec, drawn: pd.DataFrame) -> None:
    ax.set_yscale(panel["scale"])
    if panel["scale"] != "linear":
        return
    if _settled(panel, drawn)["high"].max() >= 1e4:
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))  # 50k, 1.5M
    else:
        ax.ticklabel_format(axis="y", scilimits=(-3, 4))
    if panel["metric"] == "test_accuracy" and panel.get("statistic", "last") in ("last", "max"):
        ax.set_ylim(-0.02, 1.02)


def _draw_over_time(ax: Axes, panel: Spec, drawn: pd.DataFrame, colors: dict[str, dict]) -> None:
    """Curves of the mean with bands: of each color and block, or of each eigenvalue."""
    axis, time = labels.color_axis(panel), time_column(panel)
    styles = zip(panel["block"], itertools.cycle(STYLES), strict=False)
    curves: list[tuple[Any, ...]] = [(None, "0.2", block, style) for block, style in styles]
    if axis == "block":
        curves = [(None, colors[axis][group], block, "-") for block, group in labels.groups(panel).items()]
    elif axis:
        curves = [(value, color, *rest) for value, color in colors[axis].items() for _, _, *rest in curves]
    for value, color, block, style in curves:
        curve = drawn[(drawn["block"] == block) & (value is None or drawn[axis] == value)]
        for _, piece in _pieces(curve, panel, block):
            alone: Spec = {"marker": "o", "markersize": 2.5} if len(piece) == 1 else {}
            ax.plot(piece[time], piece["mean"], linestyle=style, color=color, **alone)
            ax.fill_between(piece[time], piece["low"], piece["high"], color=color, alpha=0.2, linewidth=0)
            if alone:
                ax.vlines(piece[time], piece["low"], piece["high"], color=color, alpha=0.2, linewidth=3)


def _draw_summary(ax: Axes, panel: Spec, drawn: pd.DataFrame, colors: dict[str, dict]) -> None:
    """Seeds as points; a line through the means, one for each color unless colors and places go together."""
    axis, one_line = panel["color"], together(panel, drawn)
    x: str = panel["x"]
    for value, color in colors[axis].items() if axis else [(None, "0.2")]:
        of_value = drawn[drawn[axis] == value] if axis else drawn
        ax.plot(of_value[x], of_value["value"], "o", color=color, markersize=3.5, alpha=0.8, markeredgewidth=0)
        if not one_line:
            means = of_value.drop_duplicates(x).sort_values(x)
            dash: Spec = {"marker": "_", "markersize": 9} if len(means) == 1 else {}
            ax.plot(means[x], means["mean"], color=color, **dash)
    if one_line:
        means = drawn.drop_duplicates(x).sort_values(x)
        ax.plot(means[x], means["mean"], **MEAN)
    _mark(ax, x, np.sort(drawn[x].unique()))


def _draw_convergence(ax: Axes, drawn: pd.DataFrame) -> None:
    """Initialisations as points, a line through their geometric means, and through its middle one of the slope −1/2."""
    ax.plot(drawn["width"], drawn["value"], **INITIALISATION)
    means = drawn.drop_duplicates("width")
    ax.plot(means["width"], means["mean"], **MEAN)
    middle_x, middle_y = (np.exp(np.log(means[column]).mean()) for column in ("width", "mean"))
    ax.plot(means["width"], middle_y * (means["width"] / middle_x) ** -0.5, **THEORY)
    slope, low, high = means[SLOPE].iloc[0]
    fitted = f"slope {slope:.2f}\n[{low:.2f}, {high:.2f}]".replace("-", "−")
    ax.text(1, 1, fitted, transform=ax.transAxes, ha="right", va="top")
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # less than a decade may have one power of ten or none
    ax.yaxis.set_major_formatter("{x:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_xscale("log")
    _mark(ax, "width", means["width"].to_numpy())
    ax.set_xlabel("width $w$")


def _mark(ax: Axes, x: str, values: np.ndarray) -> None:
    """A horizontal axis for `values` in order: logarithmic for an axis of the grid over decades; a tick at each, if legible."""
    places = values
    if x != "similarity" and values[0] > 0 and values[-1] >= 8 * values[0]:
        ax.set_xscale("log")
        places = np.log(values)
    gaps = np.diff(places)
    if len(values) == 1 or (x != "similarity" and gaps.min() > 0.12 * gaps.sum()):
        ax.set_xticks(values, labels=list(map(labels.text, values)))
        ax.minorticks_off()


def _pieces(curve: pd.DataFrame, panel: Spec, block: str) -> Iterator[tuple[Any, pd.DataFrame]]:
    """A curve in pieces between which no line belongs.

    The current task's test set, or a task's start, changes there, or a linearised twin starts anew and has two values at that
    time, or a seed diverged that was part of the mean.
    """
    from_start = panel["metric"] in FROM_REFERENCE and panel["reference"] == "task_start"
    parts = [curve["task"]] if block == "current" or from_start else []
    if (anew := curve["progress"].diff().eq(0)).any():
        parts.append(anew.cumsum())
    if "diverged" in curve and curve["diverged"].any():
        parts.append(curve["seeds"].diff().ne(0).cumsum())
    return iter(curve.groupby(parts) if parts else [(None, curve)])


def _legend(
    spec: Spec, drawn: pd.DataFrame, colors: dict[str, dict], spans: list[Spec], diverged: dict[str, list[str]]
) -> tuple[str | None, list[Artist]]:
    """Title and entries of the legend of all panels together: colors, line styles, band, points, switch, what is missing."""
    kernels = {labels.KERNELS[panel["kernel"]] for panel in spec["panels"] if of_kernel(panel)}
    handles: list[Artist] = []
    for axis, values in colors.items():
        handles += [Line2D([], [], color=color, label=labels.entry(axis, value)) for value, color in values.items()]
    for style, texts in _styles(spec).items():
        handles.append(Line2D([], [], color="0.2", linestyle=style, label=textwrap.fill("; ".join(texts), 32)))
    kinds = set(drawn["kind"])
    seeds = drawn.loc[drawn["kind"] != "convergence", "seeds"].max()  # of nothing: no number, and not larger
    if seeds > 1 and kinds - {"summary", "convergence"}:
        number = f"up to {seeds}" if diverged["diverged"] else seeds
        handles.append(Patch(color="0.2", alpha=0.2, linewidth=0, label=f"lowest to highest of {number} seeds"))
    if "summary" in kinds:
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=3.5, color="0.2", label="one seed"))
        handles.append(Line2D([], [], **MEAN, label="mean over seeds"))
    if "convergence" in kinds:
        handles.append(Line2D([], [], **INITIALISATION, label="one initialisation, with\nall of the next width"))
        handles.append(Line2D([], [], **MEAN, label="geometric mean of all"))
        handles.append(Line2D([], [], **THEORY, label="slope −1/2"))
    if any(span["switches"] for span in spans):
        handles.append(Line2D([], [], **SWITCH, label="task switch"))
    if diverged["diverged"]:
        handles.append(Line2D([], [], linestyle="", label=textwrap.fill(labels.diverged(diverged), 32)))
    return (kernels.pop() if len(kernels) == 1 else None), handles


def _styles(spec: Spec) -> dict[Any, list[str]]:
    """What each line style stands for, where a panel shows more than the whole probe or test set."""
    meant: dict[Any, dict[str, list[str]]] = {}
    for panel, at in zip(spec["panels"], _letters(spec), strict=True):
        if panel["kind"] != "curves" or panel["block"] == ["all"] or labels.color_axis(panel) == "block":
            continue
        for block, style in zip(panel["block"], itertools.cycle(STYLES), strict=False):
            meant.setdefault(style, {}).setdefault(labels.block_name(block), []).append(at)
    return {style: [f"({', '.join(at)}) {text}" for text, at in texts.items()] for style, texts in meant.items()}

"""Drawing, and nothing else: from what `shown` selected to figures."""

import itertools
import math
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import Patch
from matplotlib.typing import RcKeyType

from reactivation.errors import InputError
from reactivation.figures import words
from reactivation.figures.panels import (
    CHANCE_BAND,
    CHANCE_LINE,
    INITIALISATION,
    MEAN,
    PUBLISHED,
    STYLES,
    SWITCH,
    THEORY,
    draw_panel,
    limits_of,
    visible,
)
from reactivation.figures.select import ordered

if TYPE_CHECKING:
    from reactivation.data import specs

# Perceptually uniform, from dark to light: clear to the colour-blind and in grey. One for each axis of a figure.
PALETTES = ("viridis", "plasma", "copper", "cividis", "magma", "inferno")
CELL = (2.4, 2.0)  # inches of a panel with its labels: three are a page's width
STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 250,
}


def draw(
    spec: "specs.Figure",
    drawn: pd.DataFrame,
    spans: list[dict[str, Any]],
    diverged: dict[str, list[str]],
    scales: pd.DataFrame | None = None,
    note: str = "",
) -> Figure:
    """The figure of what `shown`, `spans` and `diverged_runs` returned; bands go from the lowest to the highest seed.

    `scales`: what the figure `beside` shows. With it, each panel is drawn twice: on its own vertical scale, and on that
    figure's. `note`: a line for the reader, below the title.
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
        # Inches for the title, 0.17 a line, and for the legend below, if no cell is free for it.
        lines = [_wrapped(spec["title"], int(13 * width)), textwrap.fill(note, int(15 * width))]
        headline = "\n".join(filter(None, lines))
        height += 0.17 * (headline.count("\n") + 1) + 0.08 if headline else 0
        height += 0 if inside else _size(handles, title, across)[1] + 0.1
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (i, letter, panel, heading, limits) in zip(axes, cells, strict=False):
            draw_panel(ax, panel, drawn[drawn["panel"] == i], colors, spans[i], several_kernels=title is None)
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


def _wrapped(given: str, width: int, what: str = "title") -> str:
    """A title or label in lines; InputError if text between $ and $ is not a formula."""
    text = textwrap.fill(given, width)
    for line in filter(is_math_text, text.split("\n")):
        try:
            MathTextParser("agg").parse(line)
        except ValueError as error:
            raise InputError(
                f"{what} '{line}': the text between $ and $ is not a formula; write \\$ for a dollar sign"
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


def save(figure: Figure, path: str | Path, metadata: dict[str, Any] | None = None) -> None:
    """Write the figure with its `metadata`, in the format of the path's ending."""
    with matplotlib.rc_context(STYLE):  # read again when saving: resolution, and fonts as text in a PDF
        figure.savefig(path, metadata=metadata)


def _cells(spec: "specs.Figure", drawn: pd.DataFrame, scales: pd.DataFrame | None) -> Iterator[tuple]:
    """(panel's position, its letter, the panel, its title, limits of its vertical axis or None), for each cell.

    With `scales`, each panel is followed by the same on the other figure's scale, widened if that would hide something.
    """
    for i, (panel, letters) in enumerate(zip(spec["panels"], _letters(spec), strict=True)):
        heading = panel["title"] or ", ".join(words.entry(key, value) for key, value in panel["own"].items())
        yield i, letters[0], panel, heading, None
        if scales is not None:
            other, of_panel = scales[scales["panel"] == panel["beside"]], drawn[drawn["panel"] == i]
            scale, limits = f"on the scale of {re.sub('^fig', 'Fig. ', spec['beside'] or '')}", None
            if other.empty:  # all its runs diverged
                scale = scale.replace("on the scale of", "no scale in")
            elif len(of_panel):
                limits, own = limits_of(panel, other), visible(panel, of_panel)
                if len(own) and (own.min() < limits[0] or own.max() > limits[1]):
                    scale, limits = f"{scale}, widened", limits_of(panel, pd.concat([other, of_panel]))
            yield i, letters[1], panel, ", ".join(filter(None, [heading, scale])), limits


def _letters(spec: "specs.Figure") -> list[str]:
    """The letters of each panel: two if it is drawn again on another figure's scale."""
    each = 1 if spec["beside"] is None else 2
    return ["".join(chr(ord("a") + each * i + k) for k in range(each)) for i in range(len(spec["panels"]))]


def _sequential(n: int, palette: str) -> list:
    """Colors of n ordered values; no near-white end."""
    return [matplotlib.colormaps[palette](0.0 if n == 1 else 0.88 * i / (n - 1)) for i in range(n)]


def _colors(spec: "specs.Figure", drawn: pd.DataFrame) -> dict[str, dict]:
    """Colors of the values of each axis by which panels are colored."""
    colors = {}
    axes = dict.fromkeys(map(words.color_axis, spec["panels"]))
    for axis, palette in zip(filter(None, axes), itertools.cycle(PALETTES), strict=False):
        colored = [i for i, panel in enumerate(spec["panels"]) if words.color_axis(panel) == axis]
        values = ordered(drawn.loc[drawn["panel"].isin(colored), axis]) if axis in drawn and axis != "block" else []
        if axis == "index":
            values = [int(i) for i in values]
        if axis == "block":
            panels = [panel for panel in spec["panels"] if words.color_axis(panel) == "block"]
            values = list(dict.fromkeys(group for panel in panels for group in words.groups(panel).values()))
        colors[axis] = dict(zip(values, _sequential(len(values), palette), strict=True))
    return colors


def _legend(
    spec: "specs.Figure",
    drawn: pd.DataFrame,
    colors: dict[str, dict],
    spans: list[dict[str, Any]],
    diverged: dict[str, list[str]],
) -> tuple[str | None, list[Artist]]:
    """Title and entries of the legend of all panels: colors, line styles, band, points, switch, and runs left out."""
    kernels = {words.KERNELS[panel["kernel"]] for panel in spec["panels"] if panel["kernel"] is not None}
    handles: list[Artist] = []
    for axis, values in colors.items():
        handles += [Line2D([], [], color=color, label=words.entry(axis, value)) for value, color in values.items()]
    for style, texts in _styles(spec).items():
        handles.append(Line2D([], [], color="0.2", linestyle=style, label=textwrap.fill("; ".join(texts), 32)))
    for label, names in _chance(spec, drawn).items():
        line = len(names) == 1
        handles.append(Line2D([], [], **CHANCE_LINE, label=label) if line else Patch(**CHANCE_BAND, label=label))
    kinds = set(drawn["kind"])
    seeds = drawn.loc[drawn["kind"] != "convergence", "seeds"].max()  # NaN for no rows
    if seeds > 1 and kinds - {"summary", "convergence"}:
        over = words.pooled(int(seeds), spec["panels"], bool(diverged["diverged"]))
        handles.append(Patch(color="0.2", alpha=0.2, linewidth=0, label=f"lowest to highest of {over}"))
    if "summary" in kinds:
        probes = " and probe" if any(panel.get("draws") for panel in spec["panels"]) else ""
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=3.5, color="0.2", label=f"one seed{probes}"))
        handles.append(Line2D([], [], **MEAN, label=f"mean over seeds{probes and ' and probes'}"))
    if "convergence" in kinds:
        handles.append(Line2D([], [], **INITIALISATION, label="one initialisation, with\nall of the next width"))
        handles.append(Line2D([], [], **MEAN, label="geometric mean of all"))
        handles.append(Line2D([], [], **THEORY, label="slope −1/2"))
    labels = dict.fromkeys(panel["others"]["label"] for panel in spec["panels"] if "others" in panel)
    handles += [Line2D([], [], color="0.2", label=_wrapped(label, 32, "label"), **PUBLISHED) for label in labels]
    if any(span["switches"] for span in spans):
        handles.append(Line2D([], [], **SWITCH, label="task switch"))
    if diverged["diverged"]:
        handles.append(Line2D([], [], linestyle="", label=textwrap.fill(words.diverged(diverged), 32)))
    return (kernels.pop() if len(kernels) == 1 else None), handles


def _chance(spec: "specs.Figure", drawn: pd.DataFrame) -> dict[str, list[str]]:
    """What metrics have by chance: the words for each line and band that is drawn, and its metrics."""
    of_panels = (panel.get("chance", {}) for panel in spec["panels"])
    return {label: names for of in of_panels for label, names in of.items() if drawn["metric"].isin(names).any()}


def _styles(spec: "specs.Figure") -> dict[Any, list[str]]:
    """What each line style stands for, if a panel shows more than the whole probe or test set."""
    meant: dict[Any, dict[str, list[str]]] = {}
    for panel, at in zip(spec["panels"], _letters(spec), strict=True):
        if panel["kind"] != "curves" or panel["block"] == ["all"] or words.color_axis(panel) == "block":
            continue
        for block, style in zip(panel["block"], itertools.cycle(STYLES), strict=False):
            meant.setdefault(style, {}).setdefault(words.block_name(block), []).append(at)
    return {style: [f"({', '.join(at)}) {text}" for text, at in texts.items()] for style, texts in meant.items()}

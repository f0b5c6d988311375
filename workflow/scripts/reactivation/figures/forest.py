"""The claims of a study as a forest plot: the effect, the interval and the threshold of each measure.

Each unit has a panel, each measure a line in it. Places are set in inches, so that text never depends on a layout.
"""

import itertools
import textwrap
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from matplotlib.transforms import Transform, blended_transform_factory

from reactivation.analysis.verdicts import Row, digits, text
from reactivation.figures import words
from reactivation.figures.layout import STYLE

WIDTH, LEFT, RIGHT = 7.5, 2.75, 5.4  # inches: of the page, and where axes begin and end
LINE, HEADING, PANEL = 0.125, 0.17, 0.62  # heights of lines, of claims' first lines, and of what a panel has besides
# Of findings: colors that are clear to the colour-blind, and markers.
LOOKS = {"supported": ("#0072B2", "o"), "contradicted": ("#D55E00", "D"), "open": ("0.4", "s")}
CLAIMED: dict[str, Any] = {"color": "#009E73", "alpha": 0.13, "linewidth": 0}
NAME = 48  # characters of a measure's name in a line
UNITS = {"times": "Ratios", "share": "Shares", "epochs": "Epochs", "number": "Numbers"}
LEAST = {"times": np.log(4), "share": 0.2, "epochs": 1.0, "number": 0.2}  # the shortest axis

Line = tuple[float, list[Row]]  # the distance from the panel's top, and the rows of a measure on each kernel
Heading = tuple[float, str, str]  # the distance, the claim, and its verdict on each kernel


def draw(judged: list[list[Row]], study: str, claims: dict[str, Any], note: str = "") -> Figure:
    """The figure of what `claims_rows` returned; `note`: a line for the reader, below the title."""
    pages = {unit: _lines(judged, unit) for unit in UNITS}
    pages = {unit: found for unit, found in pages.items() if found[0]}
    about = _about(judged, claims, note)
    height = 0.45 + LINE * len(about) + sum(tall + PANEL for _, _, tall in pages.values()) + (0.5 if pages else 0)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        figure.text(0.1 / WIDTH, 1 - 0.08 / height, f"Claims tested in the study {study}", va="top", fontsize=9)
        figure.text(0.1 / WIDTH, 1 - 0.28 / height, "\n".join(about), va="top", fontsize=7, linespacing=1.35)
        top = 0.45 + LINE * len(about)
        for unit, (lines, headings, tall) in pages.items():
            place = (LEFT / WIDTH, 1 - (top + 0.25 + tall) / height, (RIGHT - LEFT) / WIDTH, tall / height)
            ax = figure.add_axes(place, ylim=(tall, 0), yticks=[])  # in inches from its top
            _panel(ax, unit, lines, headings, claims["kernel"], figure.dpi_scale_trans)
            top += tall + PANEL
        if pages:
            kernels = list(dict.fromkeys(row["kernel"] for found in judged for row in found))
            figure.legend(handles=_handles(kernels, claims["kernel"]), loc="lower center", ncols=4, fontsize=7)
    return figure


def _about(judged: list[list[Row]], claims: dict[str, Any], note: str) -> list[str]:
    """The lines below the title: what is drawn, and which claims have nothing to draw."""
    about = f"Means over seeds with {100 * claims['confidence']:g} % intervals (Student's t)"
    missing = [found[0] for found in judged if not found[0]["measure"]]
    empty = [f"Claim {row['claim']} ({_runs(row)}, {row['kernel']}): {row['sentence']}" for row in missing]
    parts = [about if judged else "The config names no claims", note, *empty]
    return [line for part in parts for line in textwrap.wrap(part, 125)]


def _runs(row: Row) -> str:
    return ", ".join(filter(None, [row["experiment"], row["where"]]))


def _heading(kernels: list[list[Row]]) -> str:
    """The claim, the runs that it is tested on, and how many seeds its measures have."""
    row, seeds = kernels[0][0], {row["seeds"] for found in kernels for row in found}
    n = f"n = {min(seeds)}" + (f"–{max(seeds)}" if len(seeds) > 1 else "")
    unbroken = n.replace(" ", "\N{NO-BREAK SPACE}")
    return textwrap.fill(f"{row['claim']}  {row['statement']} ({_runs(row)}; {unbroken})", 94)


def _undefined(rows: list[Row]) -> bool:
    return all(np.isnan(row["effect"]) for row in rows)


def _lines(judged: list[list[Row]], unit: str) -> tuple[list[Line], list[Heading], float]:
    """The lines of a unit's panel, the headings of its claims, and the panel's height in inches."""
    lines: list[Line] = []
    headings: list[Heading] = []
    y = 0.0
    # The kernels of a claim follow each other.
    for _, group in itertools.groupby(judged, lambda found: (found[0]["name"], _runs(found[0]))):
        kernels = list(group)
        rows = [row for row in itertools.chain(*kernels) if row.get("unit") == unit]
        if not rows:
            continue
        heading, verdicts = _heading(kernels), (f"{found[0]['kernel']}: {found[0]['verdict']}" for found in kernels)
        headings.append((y, heading, "; ".join(verdicts)))
        y += HEADING + LINE * heading.count("\n")
        for name in dict.fromkeys(row["measure"] for row in rows):
            same = [row for row in rows if row["measure"] == name]
            lines.append((y, same))
            y += LINE * (1 if _undefined(same) else max(len(textwrap.wrap(name, NAME)), len(same))) + 0.06
        y += 0.08
    return lines, headings, y


def _panel(ax: Axes, unit: str, lines: list[Line], headings: list[Heading], kernel: str, inches: Transform) -> None:
    low, high = _limits([row for _, rows in lines for row in rows], unit)
    ax.set_xscale("log" if unit == "times" else "linear")
    ax.set_xlim(low, high)
    # Across in inches from the left of the page, down as the panel.
    of_text: Any = {"transform": blended_transform_factory(inches, ax.transData), "fontsize": 7, "linespacing": 1.3}
    for y, heading, verdict in headings:
        ax.text(0.1, y + 0.02, heading, va="top", fontweight="bold", **of_text)
        ax.text(RIGHT + 0.12, y + 0.025, verdict, va="top", fontweight="bold", **of_text | {"fontsize": 6})
    for y, rows in lines:
        if _undefined(rows):
            name, said = textwrap.shorten(rows[0]["measure"], NAME, placeholder=" …"), "undefined"
            ax.text(0.25, y + 0.02, name, va="top", **of_text)
            ax.text(RIGHT + 0.12, y + LINE / 2 + 0.01, said, va="center", **of_text | {"fontsize": 6})
            continue
        threshold, bottom = np.clip(rows[0]["threshold"], low, high), y + LINE * len(rows) + 0.02
        ax.text(0.25, y + 0.02, textwrap.fill(rows[0]["measure"], NAME), va="top", **of_text)
        ax.fill_between([threshold, low if rows[0]["sign"] == "<" else high], y, bottom, **CLAIMED, zorder=0)
        ax.vlines(threshold, y, bottom, color="black", linewidth=0.9, zorder=1)
        for i, row in enumerate(rows):
            middle = y + LINE * (i + 0.5) + 0.01
            _draw(ax, row, middle, (low, high), hollow=row["kernel"] != kernel)
            said = f"{row['kernel']}: {text(row['effect'], unit)}"
            if row["low"] <= row["high"]:
                said += f" ({digits(row['low'], unit)} to {digits(row['high'], unit)})"
            ax.text(RIGHT + 0.12, middle, said.replace("-", "−"), va="center", **of_text | {"fontsize": 6})
    _axis(ax, unit, high / low)


def _limits(rows: list[Row], unit: str) -> tuple[float, float]:
    """Ends of an axis: with all effects and thresholds, and with intervals as far as they do not flatten these."""

    def places(*keys: str) -> np.ndarray:
        found = np.array([row[key] for row in rows for key in keys])
        found = np.log(found[found > 0]) if unit == "times" else found
        return found[np.isfinite(found)]

    points, ends = places("effect", "threshold"), places("low", "high")
    low, high = (points.min(), points.max()) if len(points) else (0.0, 0.0)
    room = max(high - low, LEAST[unit]) / 2
    low, high = max(ends.min(initial=low), low - room), min(ends.max(initial=high), high + room)
    margin = 0.06 * max(high - low, LEAST[unit])
    low, high = low - margin, high + margin
    return (np.exp(low), np.exp(high)) if unit == "times" else (low, high)


def _draw(ax: Axes, row: Row, y: float, limits: tuple[float, float], hollow: bool) -> None:
    """One effect with its interval, which ends in an arrow where it goes beyond the axis."""
    color, marker = LOOKS[row["finding"]]
    ends = [row["low"], row["high"]]  # NaN if there is no interval
    ax.plot(np.clip(ends, *limits), [y, y], color=color, linewidth=1.0 if hollow else 1.5, zorder=2)
    for edge, beyond, arrow in ((limits[0], ends[0] < limits[0], "<"), (limits[1], ends[1] > limits[1], ">")):
        if beyond:
            ax.plot(edge, y, arrow, color=color, markersize=3.5, clip_on=False, zorder=3)
    if limits[0] <= row["effect"] <= limits[1]:
        face = "white" if hollow else color
        ax.plot(row["effect"], y, marker, color=color, markerfacecolor=face, markersize=4, zorder=4)


def _axis(ax: Axes, unit: str, factor: float) -> None:
    """The panel's title, and the ticks of its axis, whose ends are a `factor` apart."""
    ax.spines["left"].set_visible(False)
    ax.set_title(UNITS[unit], fontweight="bold")
    ax.tick_params(labelsize=7)
    if unit == "times":
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if factor < 30 else (1,), numticks=7))
        ax.xaxis.set_major_formatter(lambda x, _: f"{digits(x, unit)}×")
        ax.xaxis.set_minor_formatter(NullFormatter())
    else:
        ax.xaxis.set_major_locator(MaxNLocator(nbins=6))
    if unit == "share":
        ax.xaxis.set_major_formatter(PercentFormatter(1.0))


def _handles(kernels: list[str], main: str) -> list[Artist]:
    """The entries of the legend."""
    looks = LOOKS.items()
    handles = [Line2D([], [], color=of, marker=marker, markersize=4, label=finding) for finding, (of, marker) in looks]
    point: Any = {"color": "black", "marker": "o", "markersize": 4, "linestyle": ""}
    for kernel in kernels:
        filled = "black" if kernel == main else "white"
        handles.append(Line2D([], [], **point, markerfacecolor=filled, label=f"{kernel}: {words.KERNELS[kernel]}"))
    threshold = Line2D([], [], color="black", linestyle="", marker="|", markersize=8, label="threshold")
    arrow = Line2D([], [], color="0.4", marker=">", markersize=3.5, label="the interval goes on")
    return [*handles, threshold, Patch(**CLAIMED, label="where the claim says that it lies"), arrow]

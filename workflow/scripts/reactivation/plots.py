"""Drawing, and nothing else: metric tables in, figures and the numbers they show out."""

import itertools
import math
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .job import InputError

STATISTICS = ["mean", "low", "high", "seeds"]
STYLES = ("-", "--", ":", "-.")
SWITCH = {"color": "0.35", "linewidth": 0.8, "linestyle": (0, (2, 2))}
LABELS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss (nats)",
    "forgetting": "forgetting (accuracy lost)",
    "spectral_norm": "max eigenvalue of the NTK",
    "trace": "trace of the NTK",
    "effective_rank": "effective rank of the NTK",
    "alignment": "kernel alignment $A$",
    "kernel_distance": "kernel distance $S$",
    "kernel_velocity": "kernel velocity (1/epoch)",
    "cross_task_overlap": "cross-task overlap",
}
AXES = {"lr": "learning rate", "batch_size": "batch size", "limit_per_class": "images per class"}
KERNELS = {"sum": "NTK of the summed logits", "trace": "NTK, mean over outputs"}
BLOCKS = {"all": "all tasks", "current": "current task"}
REFERENCES = {
    "init": "from initialisation",
    "task_start": "from the task's start",
    "previous": "from the checkpoint before",
}


# ------------------------------------------------------------------------------------------- what is drawn
def curves(spec: dict[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    """What the figure `spec` shows of the tables of its runs.

    One row per panel (from 0), value of the color axis, block and epoch: mean, low and high over the seeds that
    have a value there, how many these are, and the task.
    """
    parts = []
    for i, panel in enumerate(spec["panels"]):
        rows = _rows(panel, runs)
        if rows.empty:
            raise InputError(
                f"panel {i} ({panel['metric']}, {', '.join(panel['block'])}) has nothing to draw: the metric is undefined "
                "there, as it is on fewer than two probe images"
            )
        rank = {value: i for i, value in enumerate(_ordered(rows[spec["color"]]))}
        rows = rows.assign(rank=rows[spec["color"]].map(rank)).sort_values(["rank", "block", "step"], kind="stable")
        grouped = rows.groupby([spec["color"], "block", "task", "step", "epoch"], sort=False)["value"]
        drawn = grouped.agg(mean="mean", low="min", high="max", seeds="count").reset_index()
        parts.append(drawn.assign(panel=i, metric=panel["metric"]))
    columns = ["panel", "metric", spec["color"], "block", "task", "step", "epoch", *STATISTICS]
    return pd.concat(parts, ignore_index=True)[columns]


def _ordered(axis: pd.Series) -> list:
    """The values of an axis in order. Numbers come first: `default`, a word, stands for a key that is not given."""
    return sorted(axis.unique(), key=lambda value: (isinstance(value, str), value))


def switches(spec: dict[str, Any], runs: pd.DataFrame) -> list[float]:
    """Epochs at which a task but the last ends, in any of the runs."""
    ends = runs.groupby([spec["color"], "task"])["epoch"].max().reset_index()
    return sorted(ends.loc[ends["task"] < ends["task"].max(), "epoch"].unique())


def _rows(panel: dict[str, Any], runs: pd.DataFrame) -> pd.DataFrame:
    metric = panel["metric"]
    rows = runs[runs["metric"] == metric]
    if of_kernel(panel):
        rows = rows[rows["kernel"] == panel["kernel"]]
    if metric == "kernel_distance":
        rows = rows[rows["reference"] == panel["reference"]]
    if metric == "kernel_velocity":
        rows = rows[rows["dt"] == panel["dt"]]
    current = rows["block"] == "task" + rows["task"].astype(str)
    shown = [
        rows[current].assign(block="current") if b == "current" else rows[rows["block"] == b] for b in panel["block"]
    ]
    return pd.concat(shown)


# ------------------------------------------------------------------------------------------------- drawing
def draw(spec: dict[str, Any], drawn: pd.DataFrame, switches: list[float]) -> Figure:
    """The figure of what `curves` returned: a panel per metric, bands from the lowest to the highest seed."""
    panels = spec["panels"]
    columns = min(3, len(panels))
    rows = math.ceil(len(panels) / columns)
    with matplotlib.rc_context(STYLE):
        below = 0.9 if len(panels) == rows * columns else 0  # inches for the legend, where no cell is free for it
        figure = Figure(figsize=(3.1 * columns + 0.2, 2.5 * rows + 0.3 + below), layout="constrained")
        # A velocity ends dt before the last epoch: only on a common axis does the switch stand at the same place.
        cells = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        kernels = {KERNELS[panel["kernel"]] for panel in panels if of_kernel(panel)}
        values = _ordered(drawn[spec["color"]])
        colors = dict(zip(values, _sequential(len(values)), strict=True))
        for i, (ax, panel) in enumerate(zip(cells, panels, strict=False)):
            _draw_panel(ax, panel, drawn[drawn["panel"] == i], spec["color"], colors, len(kernels) > 1)
            for end in switches:
                ax.axvline(end, **SWITCH, zorder=0)
            ax.set_title(f"({chr(97 + i)})", loc="left", fontweight="bold")
            ax.tick_params(labelbottom=True)
        for ax in cells[len(panels) :]:
            ax.set_axis_off()
        title = kernels.pop() if len(kernels) == 1 else None
        handles = _handles(spec, drawn, colors)
        if len(cells) > len(panels):
            cells[len(panels)].legend(handles=handles, title=title, loc="center left", alignment="left")
        else:
            figure.legend(handles=handles, title=title, loc="outside lower center", ncols=columns, alignment="left")
        if spec["title"]:
            figure.suptitle(spec["title"], fontsize=10)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write the figure in the format of the path's ending."""
    with matplotlib.rc_context(STYLE):  # read again when saving: resolution, and fonts as text in a PDF
        figure.savefig(path)


STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 200,
}


def _sequential(n: int) -> list:
    """Colors of n ordered values, told apart also by the colour-blind and in grey; no near-white end."""
    palette = matplotlib.colormaps["viridis"]
    return [palette(0.0 if n == 1 else 0.88 * i / (n - 1)) for i in range(n)]


def _draw_panel(
    ax: Axes, panel: dict[str, Any], drawn: pd.DataFrame, axis: str, colors: dict, several_kernels: bool
) -> None:
    for value, color in colors.items():
        for block, style in zip(panel["block"], itertools.cycle(STYLES), strict=False):
            curve = drawn[(drawn[axis] == value) & (drawn["block"] == block)]
            for _, piece in _pieces(curve, block):
                ax.plot(piece["epoch"], piece["mean"], style, color=color)
                ax.fill_between(piece["epoch"], piece["low"], piece["high"], color=color, alpha=0.2, linewidth=0)
    ax.set_yscale(panel["scale"])
    if panel["scale"] == "linear":
        ax.ticklabel_format(axis="y", scilimits=(-3, 4))
        if panel["metric"] == "test_accuracy":
            ax.set_ylim(0, 1)
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_ylabel("\n".join([LABELS[panel["metric"]], *_details(panel, several_kernels)]))


def _details(panel: dict[str, Any], several_kernels: bool) -> list[str]:
    """What the name of the metric leaves open."""
    details = []
    if panel["metric"] == "kernel_distance":
        details.append(REFERENCES[panel["reference"]])
    if panel["metric"] == "kernel_velocity":
        details.append(f"over {panel['dt']} epoch{'s' if panel['dt'] > 1 else ''}")
    if several_kernels and of_kernel(panel):
        details.append(KERNELS[panel["kernel"]])
    return details


def of_kernel(panel: dict[str, Any]) -> bool:
    """Whether the panel's metric is one of kernels rather than of predictions."""
    return not panel["metric"].startswith(("test_", "forgetting"))


def _pieces(curve: pd.DataFrame, block: str):
    """A curve in pieces between which no line belongs: the current task's test set changes at a switch."""
    return curve.groupby("task") if block == "current" else [(None, curve)]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _handles(spec: dict[str, Any], drawn: pd.DataFrame, colors: dict) -> list[Artist]:
    """The legend of all panels together: colors, line styles, band, switch."""
    name = AXES.get(spec["color"], spec["color"])
    handles: list[Artist] = [Line2D([], [], color=c, label=f"{name} {_text(value)}") for value, c in colors.items()]
    styles: dict[str, list[str]] = {}
    for i, panel in enumerate(spec["panels"]):
        for block, style in zip(panel["block"], itertools.cycle(STYLES), strict=False):
            if panel["block"] != ["all"]:
                block = BLOCKS.get(block, block.replace("task", "task ").replace("-", ", "))
                styles.setdefault(style, []).append(f"({chr(97 + i)}) {block}")
    handles += [Line2D([], [], color="0.2", linestyle=style, label="; ".join(t)) for style, t in styles.items()]
    seeds = int(drawn["seeds"].max())
    if seeds > 1:
        handles.append(Patch(color="0.2", alpha=0.2, linewidth=0, label=f"lowest to highest of {seeds} seeds"))
    return [*handles, Line2D([], [], **SWITCH, label="task switch")]

"""The keys of figures: what each panel draws."""

import itertools
from typing import Annotated, Any, Literal, get_args

import pydantic
from pydantic import AfterValidator, Field, StrictInt

from reactivation.catalogue import PANEL_METRICS
from reactivation.study.values import Digits, Kernel, Name, Positive, Strict, Text, distinct

FigureName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]
Reference = Literal["init", "task_start", "previous"]


Metric: Any = Literal[PANEL_METRICS]
PanelKind = Literal["curves", "summary", "spectrum", "convergence"]


class Panel(Strict):
    """Keys that all panels have."""

    experiment: str | None = None
    """A name under `experiments`; by default the figure's."""
    color: str | None = None
    """An axis of the grid, or `layer`; by default the figure's."""
    where: dict[str, Any] = {}
    """One value for each axis of the grid that has several; added to the figure's."""
    title: Text = ""
    """Text next to the panel's letter; by default the panel's own `where`."""
    kernel: Kernel = "sum"
    """Which kernel (for metrics of kernels only)."""


class Others(Strict):
    """A table of numbers from elsewhere, such as published ones, drawn as open circles over a panel's curves.

    It is a CSV file with one row for each number. It has the column `epoch`, of the run from its start (`step` in a
    panel whose `time` is `iterations`); `task`, if the panel has several blocks: rows of task 2 go with `task2`, or
    `task2_train`; and the axis that the panel's colors show. If it has a column for another axis of the grid, only rows
    of the panel's value are drawn. Other columns are ignored.
    """

    path: str
    """Path of the file, below `data_root` unless absolute."""
    value: str
    """The column that holds the numbers."""
    label: Text = "published"
    """What the legend calls them."""


class Curves(Panel):
    """One metric over time: a curve for each value of one axis, with a band over seeds."""

    kind: Literal["curves"]
    metric: Metric
    """What is drawn."""
    reference: Reference = "init"
    """What `kernel_distance`, `kernel_distance_unbiased` and `eigenvector_rotation` are measured from."""
    dt: Positive | None = None
    """Which of the experiment's `velocity_dt`; by default its first."""
    block: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Parts of the test set or probe: `all`, `task1`, `task2`, …, `current`. Line styles tell them apart, or colors if
    these show no axis. A task's part of the test set has all its classes; its part of the probe has those that no
    earlier task has. A probe with held-out images also has `train`, `held_out`, `task1_train`, …. `kernel_distance`,
    `kernel_velocity`, `block_norm` and `cross_task_overlap` also have pairs such as `task1-task2`, between the images
    of two tasks. The default is `task1-task2` for `cross_task_overlap`, `current` for `accuracy_within_task`,
    and `all` otherwise."""
    scale: Literal["linear", "log"] | None = None
    """Vertical axis; by default logarithmic for velocities, linear otherwise."""
    time: Literal["epoch", "tasks", "iterations", "since_switch"] = "epoch"
    """Horizontal axis. `epoch`; `tasks`: tasks done, which aligns runs that differ in epochs per task; `iterations`:
    steps of the optimizer. `since_switch`: the time since a switch, logarithmic from the first step after it to the end
    of the task, with the task before it, linear, to the left; velocities are shown if their dt lies within one task."""
    unit: Literal["epochs", "steps"] | None = None
    """What the time since a switch is counted in (`time: since_switch` only); by default epochs."""
    task: Annotated[StrictInt, Field(ge=2), Digits] | None = None
    """Which task begins at the switch (`time: since_switch` only); by default 2."""
    others: Others | None = None
    """Numbers from elsewhere, drawn over the curves."""


class Summary(Panel):
    """One number per run against one axis: seeds as points, a line through their means."""

    kind: Literal["summary"]
    metric: Metric
    """The metric that gives the number."""
    statistic: Literal["last", "max", "drop", "recovery"]
    """What is taken over one task. `last`: the last value; `max`: the largest; `drop`: how far the metric falls below
    its value at the switch; `recovery`: how much of that it regains by the task's end. A drop and a recovery are shares
    of the value at the switch."""
    task: Annotated[StrictInt, Field(ge=1), Digits] = 2
    """Which task."""
    x: str = "similarity"
    """`similarity` of the task to the one before, or an axis of the grid with numbers."""
    reference: Reference = "init"
    """What `kernel_distance`, `kernel_distance_unbiased` and `eigenvector_rotation` are measured from."""
    dt: Positive | None = None
    """Which of the experiment's `velocity_dt`; by default its first."""
    block: Name | None = None
    """Part of the probe or test set; as in `curves`."""
    scale: Literal["linear", "log"] = "linear"
    """Vertical axis."""


class Spectrum(Panel):
    """The leading eigenvalues of one configuration's kernel over time, with bands over seeds."""

    kind: Literal["spectrum"]
    leading: Positive = 8
    """How many eigenvalues."""
    block: Name = "all"
    """Part of the probe."""
    scale: Literal["linear", "log"] = "log"
    """Vertical axis."""


def _geometric(widths: list[int]) -> list[int]:
    """Check that widths grow by one factor: otherwise the slope that theory expects is not −1/2."""
    growth = [wide / narrow for narrow, wide in itertools.pairwise(widths)]
    if not growth or min(growth) <= 1 or max(growth) > 1.01 * min(growth):
        raise ValueError("should grow by one factor, such as [16, 32, 64, 128]")
    return widths


class Convergence(Panel):
    """The distance between kernels of untrained networks of one width and of the next, against the width.

    The networks are the experiment's, but always in `ntk` parametrization: only there the kernel has a limit at
    infinite width. They are not trained, so the figure needs no run of the experiment.
    """

    kind: Literal["convergence"]
    widths: Annotated[list[Positive], Field(min_length=3), AfterValidator(_geometric)]
    """Widths of the networks: at least three, which grow by one factor."""
    initialisations: Annotated[StrictInt, Field(ge=2), Digits] = 20
    """Number of networks of each width."""


AnyPanel = Annotated[Curves | Summary | Spectrum | Convergence, Field(discriminator="kind")]


class Figure(Strict):
    """Panels of one kind or several."""

    kind: PanelKind = "curves"
    """Kind of the panels that do not name their own."""
    experiment: str | None = None
    """A name under `experiments`, for the panels that do not name their own."""
    color: str | None = None
    """The axis of the grid that colors show. Or `layer`, for curves of each layer's share of the kernel, if the
    experiment has `layers: true`. Not needed if there is one configuration."""
    where: dict[str, Any] = {}
    """One value for each other axis that has several."""
    panels: Annotated[list[AnyPanel], Field(min_length=1, max_length=12)]
    """What each panel draws."""
    columns: Annotated[StrictInt, Field(ge=1, le=6), Digits] = 3
    """Number of panels in a row."""
    beside: str | None = None
    """Another figure that has the same panels: each panel here takes the vertical scale of its counterpart there."""
    title: Text = ""
    """Text above the figure."""
    caption: str = ""
    """Plain text next to the figure in the report, and not in the figure: what it shows and what to look for."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _kinds(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("panels"), list):
            return raw
        kind = {"kind": raw.get("kind") if raw.get("kind") in get_args(PanelKind) else "curves"}
        return {**raw, "panels": [kind | panel if isinstance(panel, dict) else panel for panel in raw["panels"]]}

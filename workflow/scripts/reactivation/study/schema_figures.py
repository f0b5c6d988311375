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
    """What all panels have."""

    experiment: str | None = None
    """By default the figure's."""
    color: str | None = None
    """By default the figure's."""
    where: dict[str, Any] = {}
    """One value for each axis of the grid that has several; added to the figure's."""
    title: Text = ""
    """Beside the panel's letter; by default the panel's own `where`."""
    kernel: Kernel = "sum"
    """Which kernel (kernel metrics only)."""


class Curves(Panel):
    """One metric over time: a curve for each value of one axis, with a band over seeds."""

    kind: Literal["curves"]
    metric: Metric
    """What is drawn."""
    reference: Reference = "init"
    """What `kernel_distance` and `eigenvector_rotation` are measured from."""
    dt: Positive | None = None
    """Which of the experiment's `velocity_dt`; by default its first."""
    block: Annotated[list[Name], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Parts of the test set or probe, told apart by line style, or by color where no axis is: `all`, `task1`, `task2`, …, `current`. A task's part of the
    test set has all its classes, its part of the probe those that it is the first to bring. Of a probe with held-out images
    also `train`, `held_out`, `task1_train`, …. Between two tasks' images, pairs such as `task1-task2`: of `kernel_distance`,
    `kernel_velocity`, `block_norm` and `cross_task_overlap`, whose default it is. Otherwise `all`."""
    scale: Literal["linear", "log"] | None = None
    """Vertical axis; by default logarithmic for velocities, linear otherwise."""
    time: Literal["epoch", "tasks"] = "epoch"
    """Horizontal axis: epochs, or tasks done, on which runs with other epochs per task lie together."""


class Summary(Panel):
    """One number per run against one axis: seeds as points, a line through their means."""

    kind: Literal["summary"]
    metric: Metric
    """Of what the number is."""
    statistic: Literal["last", "max", "drop", "recovery"]
    """Over one task: the last value, the largest; by how much the metric falls below its value at the switch, and how
    much of that it has regained at the task's end, both as shares of the value at the switch."""
    task: Annotated[StrictInt, Field(ge=1), Digits] = 2
    """Which task."""
    x: str = "similarity"
    """`similarity` of the task to the one before, or an axis of the grid with numbers."""
    reference: Reference = "init"
    """What `kernel_distance` and `eigenvector_rotation` are measured from."""
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
    """Each by one factor wider than the one before: otherwise the slope that theory expects is not −1/2."""
    growth = [wide / narrow for narrow, wide in itertools.pairwise(widths)]
    if not growth or min(growth) <= 1 or max(growth) > 1.01 * min(growth):
        raise ValueError("should grow by one factor, such as [16, 32, 64, 128]")
    return widths


class Convergence(Panel):
    """How far apart the kernels of untrained networks of one width and the next are, against the width.

    The networks are the experiment's, in `ntk` parametrization whatever its own, as only there the kernel has a limit for
    infinite width. They are not trained: the figure needs no run of the experiment.
    """

    kind: Literal["convergence"]
    widths: Annotated[list[Positive], Field(min_length=3), AfterValidator(_geometric)]
    """Of the networks: three at least, each by one factor wider than the one before."""
    initialisations: Annotated[StrictInt, Field(ge=2), Digits] = 20
    """Networks of each width."""


AnyPanel = Annotated[Curves | Summary | Spectrum | Convergence, Field(discriminator="kind")]


class Figure(Strict):
    """Panels of one kind or several."""

    kind: PanelKind = "curves"
    """Of the panels that do not say their own."""
    experiment: str | None = None
    """A name under `experiments`, of the panels that do not say their own."""
    color: str | None = None
    """The axis of the grid whose values the curves show, or `layer`: of curves, each layer's share of the kernel, where the
    experiment has `layers: true`. Not needed where there is one configuration."""
    where: dict[str, Any] = {}
    """One value for each other axis that has several."""
    panels: Annotated[list[AnyPanel], Field(min_length=1, max_length=12)]
    """What each panel draws."""
    columns: Annotated[StrictInt, Field(ge=1, le=6), Digits] = 3
    """Panels side by side."""
    beside: str | None = None
    """Another figure, with the same panels among its own: each panel is drawn again on that one's vertical scale."""
    title: Text = ""
    """Above the figure."""
    caption: str = ""
    """Beside the figure in the report, as plain text: what it shows and what to look for. It is not drawn."""

    @pydantic.model_validator(mode="before")
    @classmethod
    def _kinds(cls, raw: Any) -> Any:
        if not isinstance(raw, dict) or not isinstance(raw.get("panels"), list):
            return raw
        kind = {"kind": raw.get("kind") if raw.get("kind") in get_args(PanelKind) else "curves"}
        return {**raw, "panels": [kind | panel if isinstance(panel, dict) else panel for panel in raw["panels"]]}

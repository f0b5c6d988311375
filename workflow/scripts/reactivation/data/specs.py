"""The types of the specs that planning hands to jobs.

At run time specs are plain dicts, which Snakemake stores and compares. This file is imported for type checkers only
(`if TYPE_CHECKING`), so no job depends on it.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

Dataset = dict[str, Any]  # an entry of `datasets`; each source has keys of its own
Row = dict[str, Any]  # a row of a table
Axes = dict[str, Any]  # the value of each axis of the grid


class Images(TypedDict):
    """Which images of a data set an experiment uses."""

    classes: list[int]
    limit_per_class: int | None
    seed: int
    held_out: NotRequired[float]  # the share of each class's training images that is held out, if any is


class Task(TypedDict):
    """A task: its classes, the share of each class's images, and how many images of every earlier task it replays."""

    classes: list[int]
    weights: list[float]
    replay: int
    replay_drawn: NotRequired[str]  # there if replayed images are drawn anew in each epoch


class Split(TypedDict):
    """The tasks so far and the data set of their images; `seed` is the run's, there if images are drawn by it."""

    dataset: Dataset
    images: Images
    tasks: list[Task]
    seed: NotRequired[int]


class Probe(TypedDict):
    """Images on which kernels are evaluated: `size` training images, `held_out` test or held-out images.

    `images` has the classes from which they are drawn.
    """

    dataset: Dataset
    images: Images
    size: int
    held_out: int
    seed: int
    groups: NotRequired[list[list[int]]]  # the classes of each task, if images are spread over tasks
    draw: NotRequired[int]  # which of several probes, unless it is the first


class Model(TypedDict):
    """A network. `base_width` is there if the parametrization is mup; the keys after it depend on `name`."""

    name: str
    width: int
    parametrization: str
    base_width: NotRequired[int]
    depth: NotRequired[int]
    activation: NotRequired[str]
    norm: NotRequired[str]
    channels: NotRequired[int]


class Training(TypedDict):
    """How a segment is trained. Only a linearised twin has `dynamics`."""

    lr: float
    batch_size: int
    precision: str
    optimizer: str
    momentum: float
    weight_decay: float
    dynamics: NotRequired[str]
    optimizer_state: NotRequired[str]  # there if the state of the optimizer goes on over the switch


class Checkpoints(TypedDict):
    """When weights are kept: every so many epochs, and after 1, 2, 4, 8, … steps."""

    every: int
    log_spaced: bool


class Segment(TypedDict):
    """All that determines the weights of a segment, which trains the last of `tasks` for the last of `epochs`."""

    dataset: Dataset
    images: Images
    tasks: list[Task]
    epochs: list[int]
    model: Model
    training: Training
    checkpoints: Checkpoints
    seed: int


class Kernels(TypedDict):
    """Which kernels of a segment are computed."""

    segment: Segment
    kernels: list[str]
    layers: NotRequired[bool]


class Run(TypedDict):
    """What a run's table needs besides kernels and tests. A run of kernels from elsewhere has no `tasks`."""

    experiment: str
    axes: Axes
    seed: int
    tasks: NotRequired[list[Task]]
    epochs: Sequence[float]
    similarity: list[float | None]
    kernels: list[str]
    velocity_dt: list[int]
    overlap_rank: int
    eigenvectors: int
    alignment_labels: NotRequired[str]  # integer; one-hot labels without it


class Convergence(TypedDict):
    """Untrained networks of several widths, and the probe on which their kernels are compared."""

    experiment: str
    probe: Probe
    model: dict[str, Any]  # without a width
    kernels: list[str]
    widths: list[int]
    initialisations: int


class Others(TypedDict):
    """A table of others' numbers: its position among the figure's, and which of its rows belong to a panel."""

    table: int
    sha256: str  # of the table, so that a figure is drawn again when it changes
    value: str  # its column with the numbers
    label: str
    time: str  # its column with the time: epoch or step
    tasks: dict[str, int | None]  # the task of each block's rows; None for all rows
    where: Axes  # the value of each axis that the panel does not show, for tables that have its column


class Panel(TypedDict, total=False):
    """A panel of a figure with every default filled in. Which keys it has depends on its `kind`."""

    kind: str  # curves, summary, spectrum, convergence
    metric: str
    words: str  # this and the next four are from the metric's entry in the catalogue
    detail: str
    bounded: bool
    signed: bool
    limits: list[float] | None
    kernel: str | None  # None if the metric has no kernel; likewise reference and dt
    reference: str | None
    dt: int | None
    block: list[str]
    scale: str
    time: str
    unit: str  # only of the time since a switch: epochs or steps
    others: Others  # only if others' numbers are drawn over the curves
    title: str
    statistic: str
    task: int
    x: str
    leading: int
    widths: list[int]
    initialisations: int
    color: str | None  # the axis that colors show
    chance: dict[str, list[str]]  # what the metric has by chance, if that is drawn: words, and one metric or two
    own: Axes  # the panel's `where`
    axes: list[str]  # the axes of its experiment's grid
    draws: int  # the number of probes that bands go over, if several
    runs: list[str]
    beside: int | None  # position in the figure `beside` of the panel whose scale it takes


class Figure(TypedDict):
    """A figure; `beside` names the figure whose scales it takes."""

    panels: list[Panel]
    columns: int
    title: str
    beside: str | None


class Claims(TypedDict):
    """Settings of all claims, and the name, thresholds, runs and kernels of each claim that is tested."""

    kernel: str
    min_seeds: int
    confidence: float
    tested: list[dict[str, Any]]

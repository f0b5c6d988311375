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


class Task(TypedDict):
    """A task: its classes, the share of each class's images, and how many images of every earlier task it replays."""

    classes: list[int]
    weights: list[float]
    replay: int


class Split(TypedDict):
    """The tasks so far and the data set of their images; `seed` is the run's, there if images are drawn by it."""

    dataset: Dataset
    images: Images
    tasks: list[Task]
    seed: NotRequired[int]


class Probe(TypedDict):
    """Images on which kernels are evaluated: `size` training images, `held_out` test images."""

    dataset: Dataset
    images: Images
    size: int
    held_out: int
    seed: int


class Model(TypedDict):
    """A network. `base_width` is there if the parametrization is mup; the keys after it depend on `name`."""

    name: str
    width: int
    parametrization: str
    base_width: NotRequired[int]
    depth: NotRequired[int]
    activation: NotRequired[str]
    norm: NotRequired[str]


class Training(TypedDict):
    """How a segment is trained. Only a linearised twin has `dynamics`."""

    lr: float
    batch_size: int
    precision: str
    optimizer: str
    momentum: float
    weight_decay: float
    dynamics: NotRequired[str]


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


class Convergence(TypedDict):
    """Untrained networks of several widths, and the probe on which their kernels are compared."""

    experiment: str
    probe: Probe
    model: dict[str, Any]  # without a width
    kernels: list[str]
    widths: list[int]
    initialisations: int


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
    title: str
    statistic: str
    task: int
    x: str
    leading: int
    widths: list[int]
    initialisations: int
    color: str | None  # the axis that colors show
    own: Axes  # the panel's `where`
    axes: list[str]  # the axes of its experiment's grid
    runs: list[str]
    beside: int | None  # position in the figure `beside` of the panel whose scale it takes


class Figure(TypedDict):
    """A figure; `beside` names the figure whose scales it takes."""

    panels: list[Panel]
    columns: int
    title: str
    beside: str | None


class Claims(TypedDict):
    """Settings of all claims, and the thresholds and runs of each claim that is tested."""

    kernel: str
    min_seeds: int
    confidence: float
    tested: dict[str, dict[str, Any]]

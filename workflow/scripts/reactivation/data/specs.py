"""What planning hands to jobs: the types of specs. At run time they are plain dicts, which Snakemake stores and compares.

Imported for type checkers only (`if TYPE_CHECKING`): no job depends on this file.
"""

from collections.abc import Sequence
from typing import Any, NotRequired, TypedDict

Dataset = dict[str, Any]  # an entry of `datasets`; each source has keys of its own
Row = dict[str, Any]  # of a table
Axes = dict[str, Any]  # values by axis of the grid


class Images(TypedDict):
    """Which images of a data set an experiment uses."""

    classes: list[int]
    limit_per_class: int | None
    seed: int


class Task(TypedDict):
    """Classes, the share of each one's images, and how many images of every earlier task are mixed in."""

    classes: list[int]
    weights: list[float]
    replay: int


class Split(TypedDict):
    """Tasks so far, as images of a data set; the run's `seed`, where anything is drawn."""

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
    """A network; `base_width` where the parametrization is mup, and the network's own keys."""

    name: str
    width: int
    parametrization: str
    base_width: NotRequired[int]
    depth: NotRequired[int]
    activation: NotRequired[str]
    norm: NotRequired[str]


class Training(TypedDict):
    """How a segment is trained; `dynamics` where it is a linearised twin's."""

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
    """All that determines the weights of a segment: the last of its tasks is the one that it trains, for its last epochs."""

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
    """What the table of a run needs beside kernels and tests. Kernels from elsewhere come without `tasks`."""

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
    """A panel of a figure with every default in its place; which keys it has depends on its `kind`."""

    kind: str  # curves, summary, spectrum, convergence
    metric: str
    words: str  # this and the next four are what the catalogue says of the metric
    detail: str
    bounded: bool
    signed: bool
    limits: list[float] | None
    kernel: str | None  # None: the metric is not one of kernels; likewise reference and dt
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
    color: str | None  # the axis that colors tell apart
    own: Axes  # the panel's `where`
    axes: list[str]  # of its experiment's grid
    runs: list[str]
    beside: int | None  # the panel of the other figure whose scale it takes


class Figure(TypedDict):
    """A figure; `beside` names the figure whose scales it takes."""

    panels: list[Panel]
    columns: int
    title: str
    beside: str | None


class Claims(TypedDict):
    """What holds for all claims, and of each that is tested its thresholds and runs."""

    kernel: str
    min_seeds: int
    confidence: float
    tested: dict[str, dict[str, Any]]

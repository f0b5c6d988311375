"""The keys of scenarios: which tasks there are, in which order."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictInt

from reactivation.study.values import Digits, Natural, Positive, Share, Strict, distinct, no_bool


class Scenario(Strict):
    """Keys that all scenarios have."""

    limit_per_class: Positive | None = None
    """Use only this many training images of each class (drawn once, by `data_seed`); by default all."""
    data_seed: Natural = 0
    """Seed by which images are drawn; shared by all runs, whatever their own seed."""
    replay: Natural = 0
    """Experience replay: number of images of every earlier task that each task replays (drawn by the run's seed)."""
    replay_drawn: Literal["once", "each_epoch"] = "once"
    """Whether replayed images are drawn once, the same ones for all later tasks, or anew in each epoch."""
    held_out: Annotated[float, Field(ge=0, lt=1), BeforeValidator(no_bool)] = 0.0
    """Share of each class's training images that is never trained on (drawn once, by `data_seed`). If there is one,
    tests are taken on these images instead of the data set's test images, and the probe's `held_out` images are among
    them."""


class ClassSplit(Scenario):
    """Consecutive, disjoint groups of classes, one group a task."""

    kind: Literal["class_split"]
    tasks: Positive
    """Number of tasks."""
    classes_per_task: Positive
    """Classes of each task."""
    class_order: Annotated[list[Natural], AfterValidator(distinct)] | None = None
    """Class indices in the order in which tasks take them; by default 0, 1, 2, …"""


class SlidingWindow(Scenario):
    """Each task has the classes in a window that moves on: the paper's E_i, new classes together with old ones."""

    kind: Literal["sliding_window"]
    classes: Positive
    """Classes over which windows slide. Tests and the probe cover all of them, so that runs with other shifts
    share their first task."""
    window: Positive
    """Classes of each task."""
    shift: Natural
    """Number of classes by which the window moves from task to task; the i of E_i."""
    tasks: Annotated[StrictInt, Field(ge=2), Digits] = 2
    """Number of tasks."""
    class_order: Annotated[list[Natural], AfterValidator(distinct)] | None = None
    """Class indices in the order in which windows pass them; by default 0, 1, 2, …"""


class Mixture(Scenario):
    """Two tasks with the same classes at different frequencies (the paper's experiments Ẽ_α).

    Each task is a mixture of two groups of classes, a data set D̃_α of the paper: the images of D̃_0 (all images of
    the classes `first`), with a share α of them replaced by images of `second`.
    """

    kind: Literal["mixture"]
    first: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """Classes of D̃_0."""
    second: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """Classes of D̃_1."""
    start: Share
    """α of the first task."""
    alpha: Share
    """α of the second task."""


class SequenceTask(Strict):
    """One task of a sequence."""

    classes: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """Its classes."""
    weights: list[Annotated[float, Field(gt=0, le=1), BeforeValidator(no_bool)]] | None = None
    """Share of each class's images that is used; by default all."""
    epochs: Positive | None = None
    """Epochs of this task; by default those of `training`."""


class Sequence(Scenario):
    """Any list of tasks: A → B → A, gradual drifts.

    A task's similarity to the one before is |D ∩ D'| / |D ∪ D'| over classes if all classes of each are equally
    frequent, otherwise 1 − ½Σ|p − q| of their frequencies. These are the paper's two formulas; their values cannot be
    compared.
    """

    kind: Literal["sequence"]
    classes: Annotated[list[Natural], AfterValidator(distinct)] | None = None
    """Classes that tests and the probe cover; by default those of the tasks. Sequences that begin alike share
    segments only if they cover the same classes."""
    tasks: Annotated[list[SequenceTask], Field(min_length=1)]
    """The tasks, in order."""


AnyScenario = Annotated[ClassSplit | SlidingWindow | Mixture | Sequence, Field(discriminator="kind")]

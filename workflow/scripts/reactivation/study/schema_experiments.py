"""The keys of experiments: trainings with every combination of a grid, or kernels from elsewhere."""

from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Discriminator, Field, StrictBool, StrictInt, Tag

from reactivation.study.schema_imported import FORMS, AxisName, AxisValue, KernelFile, is_imported
from reactivation.study.schema_models import AnyModel, Training
from reactivation.study.schema_scenarios import AnyScenario
from reactivation.study.values import Digits, Kernel, Natural, Positive, Strict, distinct

# Each section of an experiment that a grid can vary, with the forms that it may have.
SECTIONS = {
    "scenario": get_args(get_args(AnyScenario)[0]),
    "model": get_args(get_args(AnyModel)[0]),
    "training": (Training,),
}


class Checkpoints(Strict):
    """The steps of each task at which weights are kept and kernels computed; the last step is always one."""

    every: Positive = 1
    """Epochs from one checkpoint to the next."""
    log_spaced: StrictBool = True
    """Also after 1, 2, 4, 8, … steps of each task: the kernel moves fastest right after a switch."""


class Probe(Strict):
    """The fixed images on which kernels are evaluated."""

    size: Annotated[StrictInt, Field(ge=2), Digits] = 32
    """Number of training images."""
    held_out: Natural = 0
    """Number of test images in addition, or of held-out training images if the scenario holds some out."""
    seed: Natural = 0
    """Seed by which images are drawn; shared by all runs."""
    tasks: Annotated[list[Positive], Field(min_length=1), AfterValidator(distinct)] | None = None
    """Only images of these tasks' classes, such as [1]; by default of all classes that a task may have."""
    balance: Literal["classes", "tasks"] = "classes"
    """What images are spread over, as evenly as can be: the classes; or the tasks, with any images of the classes that
    a task is the first to have."""
    draws: Positive = 1
    """Number of probes, drawn independently. Each run has its kernels and metrics on each of them, told apart by the
    axis `draw` (0, 1, …). Bands of figures then go over seeds and probes. Trainings are shared."""


class Metrics(Strict):
    """Choices in the definitions of metrics."""

    velocity_dt: Annotated[list[Positive], Field(min_length=1), AfterValidator(distinct)] = [1]
    """Time steps dt, in epochs, of the kernel velocity S(Θ_t, Θ_t+dt)/dt."""
    overlap_rank: Positive = 5
    """Number of leading gradient directions of each task that `cross_task_overlap` compares."""
    eigenvectors: Positive = 5
    """Number of leading eigenvectors of a kernel whose rotation and alignment with labels are measured; at most all of
    them."""
    alignment_labels: Literal["one_hot", "integer"] = "one_hot"
    """The labels with which `alignment` compares the kernel. `one_hot`: YYᵀ of one-hot labels Y. `integer`: yyᵀ of the
    class numbers y, as eq. 3 is written. `eigenvector_alignment` always takes one-hot labels."""


class Experiment(Strict):
    """One scenario, trained with every combination of the grid and every seed."""

    dataset: str
    """A name under `datasets`."""
    scenario: AnyScenario
    """The tasks and their order."""
    model: AnyModel
    """The network."""
    training: Training
    """How it is trained."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1), AfterValidator(distinct)]] = {}
    """Lists of values for keys of `scenario`, `model` or `training`; runs take every combination."""
    checkpoints: Checkpoints = Checkpoints()
    """When weights are kept and kernels computed."""
    probe: Probe = Probe()
    """Images on which kernels are evaluated."""
    kernels: Annotated[list[Kernel], Field(min_length=1), AfterValidator(distinct)] = ["sum", "trace"]
    """`sum`: kernel of the summed logits' gradient; `trace`: mean over outputs of the per-output kernels."""
    layers: StrictBool = False
    """Whether each layer's share of these kernels is computed too, for panels with `color: layer`. In resnet18, a stage
    counts as a layer. Experiments that differ in this share trainings, but not kernels."""
    metrics: Metrics = Metrics()
    """Choices in the definitions of metrics."""


class Imported(Strict):
    """Kernels from elsewhere: nothing is trained, and metrics, claims and figures run on the kernels in files."""

    model_config = ConfigDict(title="`kernels: {path: …}`")

    kernels: KernelFile
    """Where the files are."""
    grid: dict[AxisName, Annotated[list[AxisValue], Field(min_length=1), AfterValidator(distinct)]] = {}
    """Lists of values that tell files, and so runs, apart; each under a name of your choice, such as `width`."""
    metrics: Metrics = Metrics()
    """Choices in the definitions of metrics."""


AnyExperiment = Annotated[
    Annotated[Experiment, Tag(FORMS[0])] | Annotated[Imported, Tag(FORMS[1])],
    Discriminator(lambda experiment: FORMS[is_imported(experiment)]),
]

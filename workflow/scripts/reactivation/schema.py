"""The keys of a study's config, their types, ranges, defaults and meaning: the only source of these.

`config/schema.yaml` is written from here (`make schema`), for editors and for reading.
"""

from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Discriminator, Field, StrictBool, StrictInt, Tag

from .fields import (
    Digits,
    ExperimentName,
    Kernel,
    LearningRate,
    Name,
    Natural,
    Positive,
    Share,
    Strict,
    distinct,
    no_bool,
)
from .schema_claims import Claims
from .schema_figures import AnyPanel, Figure
from .schema_imported import FORMS, AxisName, AxisValue, KernelFile, is_imported

TORCHVISION_CLASSES = {"CIFAR10": 10, "CIFAR100": 100}


# ------------------------------------------------------------------------------------------------- data sets
class Glyphs(Strict):
    """Letters drawn from the fonts that matplotlib ships; needs no download."""

    source: Literal["glyphs"]
    image_size: Annotated[StrictInt, Field(ge=8, le=256), Digits] = 16
    """Height and width in pixels."""
    classes: Annotated[StrictInt, Field(ge=2, le=100), Digits] = 10
    """How many different letters."""
    train_per_class: Positive = 300
    """Training images of each class."""
    test_per_class: Positive = 50
    """Test images of each class."""
    seed: Natural = 0
    """Which images are drawn."""


class Torchvision(Strict):
    """CIFAR-10 or CIFAR-100 in the form that torchvision downloads."""

    source: Literal["torchvision"]
    name: Literal["CIFAR10", "CIFAR100"]
    """torchvision's name of the data set."""
    root: str = "."
    """Folder that holds torchvision's own folder, below `data_root` unless absolute."""
    download: StrictBool = False
    """Fetch the data set into `root` if it is not there."""

    @property
    def classes(self) -> int:
        return TORCHVISION_CLASSES[self.name]


class ImageFolder(Strict):
    """Any images, as `<root>/{train,test}/<class>/*`, in a folder or in a tarball of one."""

    source: Literal["image_folder"]
    root: str
    """The folder, or a .tar, .tar.gz, .tar.xz or .tar.bz2 of it, below `data_root` unless absolute."""
    image_size: Annotated[StrictInt, Field(ge=8, le=1024), Digits]
    """Images are cropped to their central square and resized to this many pixels a side."""
    classes: Annotated[StrictInt, Field(ge=2), Digits]
    """How many classes the folder holds; they are numbered in the alphabetical order of their names."""


Dataset = Annotated[Glyphs | Torchvision | ImageFolder, Field(discriminator="source")]


# ------------------------------------------------------------------------------------------------- scenarios
class Scenario(Strict):
    """What all scenarios have."""

    limit_per_class: Positive | None = None
    """Use only this many training images of each class (drawn once, by `data_seed`); by default all."""
    data_seed: Natural = 0
    """Which images are drawn; shared by all runs, whatever their own seed."""
    replay: Natural = 0
    """Experience replay: mix so many images of every earlier task into each task (drawn once, by the run's seed)."""


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
    """Each task has the classes in a window that moves on: the paper's E_i, new classes beside old ones."""

    kind: Literal["sliding_window"]
    classes: Positive
    """Classes over which windows slide. Tests and the probe cover all of them, so that runs with other shifts
    share their first task."""
    window: Positive
    """Classes of each task."""
    shift: Natural
    """By how many classes each window lies further than the one before; i of E_i."""
    tasks: Annotated[StrictInt, Field(ge=2), Digits] = 2
    """Number of tasks."""
    class_order: Annotated[list[Natural], AfterValidator(distinct)] | None = None
    """Class indices in the order in which windows pass them; by default 0, 1, 2, …"""


class Mixture(Scenario):
    """Two tasks of the same classes at other frequencies: mixtures of two groups (the paper's D̃_α).

    D̃_α has the images of D̃_0 (all those of the classes `first`), but a share α of them replaced by those of `second`.
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

    A task's similarity to the one before is |D ∩ D'| / |D ∪ D'| over classes where all classes of both are equally frequent,
    otherwise 1 − ½Σ|p − q| of their frequencies: the paper's two formulas, which do not compare.
    """

    kind: Literal["sequence"]
    classes: Annotated[list[Natural], AfterValidator(distinct)] | None = None
    """Classes that tests and the probe cover; by default those of the tasks. Sequences that begin alike share their
    segments only if they cover the same."""
    tasks: Annotated[list[SequenceTask], Field(min_length=1)]
    """The tasks, in order."""


AnyScenario = Annotated[ClassSplit | SlidingWindow | Mixture | Sequence, Field(discriminator="kind")]


# ------------------------------------------------------------------------------------- networks and training
class Model(Strict):
    """What all networks have; they have one output per class of the data set."""

    width: Positive
    """Channels of every convolution (of the first stage of resnet18, whose usual width is 64); units of a layer."""
    parametrization: Literal["pytorch", "standard", "ntk", "mup"] = "pytorch"
    """Initialisation, scaling and learning rates of layers: PyTorch's defaults; Kaiming normal (He et al. 2015); 1/√fan-in
    in the forward pass (Jacot et al. 2018); maximal update (Yang et al. 2022)."""
    base_width: Positive = 64
    """Of `mup` only: the width at which it is `standard`, from which initialisation and learning rates are scaled."""


class CNN(Model):
    """Three times [3×3 convolution, ReLU, 2×2 max-pooling], then one linear layer (the paper's)."""

    name: Literal["cnn"]


class MLP(Model):
    """Fully connected layers on the flattened image."""

    name: Literal["mlp"]
    depth: Positive = 2
    """Hidden layers."""
    activation: Literal["relu", "tanh", "gelu"] = "relu"
    """After each hidden layer."""


class RNN(Model):
    """A recurrent network that reads the image row by row (tanh), then one linear layer on its last state."""

    name: Literal["rnn"]


class ResNet18(Model):
    """The residual network of He et al. (2016) for small images: a 3×3 stem, four stages of two blocks."""

    name: Literal["resnet18"]
    norm: Literal["batch", "group"] = "batch"
    """Batch normalization, or group normalization (Wu & He 2018), which does not mix images."""


AnyModel = Annotated[CNN | MLP | RNN | ResNet18, Field(discriminator="name")]


class Training(Strict):
    """Cross-entropy over all classes of the data set, without augmentation; a new optimizer for each task."""

    epochs: Positive
    """Epochs of each task."""
    lr: LearningRate
    """Learning rate: a number, or arithmetic with `width`, such as `0.1/width`."""
    batch_size: Positive = 64
    """Images in an optimizer step."""
    precision: Literal["float32", "bf16"] = "float32"
    """Of the products in training and tests: bf16 has 8 significant bits, and leaves weights, their updates and kernels in
    float32. It speeds up wide networks where the hardware knows it, and slows down others. On a GPU, float32 is TF32."""
    dynamics: Literal["network", "linearized"] = "network"
    """What is trained: the network, or in each task its first-order expansion around the weights that the network has when the
    task starts, on the same batches: what the network would be, were its kernel static. A linearised twin trains its network
    too."""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """Stochastic gradient descent, or Adam (Kingma & Ba 2015, with PyTorch's β and ε)."""
    momentum: Annotated[float, Field(ge=0, lt=1), BeforeValidator(no_bool)] = 0.0
    """Of sgd."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)] = 0.0
    """Added to the gradient, times the weights (L2)."""


# Each section of an experiment that a grid can vary, with the forms that it may have.
SECTIONS = {
    "scenario": get_args(get_args(AnyScenario)[0]),
    "model": get_args(get_args(AnyModel)[0]),
    "training": (Training,),
}


# ----------------------------------------------------------------------------------------------- experiments
class Checkpoints(Strict):
    """At which steps of each task weights are kept and kernels computed; its last step always is one."""

    every: Positive = 1
    """Every so many epochs."""
    log_spaced: StrictBool = True
    """Also after 1, 2, 4, 8, … steps of each task: the kernel moves fastest right after a switch."""


class Probe(Strict):
    """The fixed images on which kernels are evaluated, as evenly spread over the scenario's classes as can be."""

    size: Annotated[StrictInt, Field(ge=2), Digits] = 32
    """Number of training images."""
    held_out: Natural = 0
    """Number of test images beside them."""
    seed: Natural = 0
    """Which images are drawn; shared by all runs."""


class Metrics(Strict):
    """Choices in the definitions of metrics."""

    velocity_dt: Annotated[list[Positive], Field(min_length=1), AfterValidator(distinct)] = [1]
    """Time steps dt, in epochs, of the kernel velocity S(Θ_t, Θ_t+dt)/dt."""
    overlap_rank: Positive = 5
    """Leading gradient directions of each task that `cross_task_overlap` compares."""
    eigenvectors: Positive = 5
    """Leading eigenvectors of a kernel whose rotation and alignment with labels are measured; no more count than a kernel has."""


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
    """`sum`: of the gradient of the summed logits; `trace`: mean over outputs of the per-output kernels."""
    layers: StrictBool = False
    """Also the share of each layer in these kernels, which panels with `color: layer` draw. Of resnet18, a stage is a layer.
    Experiments share trainings all the same, but kernels only if they agree on this."""
    metrics: Metrics = Metrics()
    """Choices in the definitions of metrics."""


class Imported(Strict):
    """Kernels from elsewhere: nothing is trained, and metrics, claims and figures run on the kernels in files."""

    model_config = ConfigDict(title="`kernels: {path: …}`")

    kernels: KernelFile
    """Where the files are."""
    grid: dict[AxisName, Annotated[list[AxisValue], Field(min_length=1), AfterValidator(distinct)]] = {}
    """Lists of values by which files, and so runs, are told apart, each under a name of your choice, such as `width`."""
    metrics: Metrics = Metrics()
    """Choices in the definitions of metrics."""


AnyExperiment = Annotated[
    Annotated[Experiment, Tag(FORMS[0])] | Annotated[Imported, Tag(FORMS[1])],
    Discriminator(lambda experiment: FORMS[is_imported(experiment)]),
]


# --------------------------------------------------------------------------------------------------- figures
FigureName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


class Keeping(Strict):
    """What stays on disk. Not part of a run's identity."""

    keep: Literal["all", "final", "none"] = "all"
    """Of a segment's weights, once its kernels exist: all checkpoints; the final weights, from which the next task starts;
    nothing, once that has been trained. What is not kept is trained again when code or config ask for other kernels."""


class Study(Strict):
    """One config file: its experiments and its figures, in `results/<study>/`."""

    study: Name
    """Name of the study's folder under `results/`."""
    seeds: Annotated[list[Natural], Field(min_length=1), AfterValidator(distinct)]
    """One run each; they move the initialisation and the order of batches."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and compute kernels; `auto` takes a GPU if there is one, and jobs of a cluster ask for it. Not part of
    a run's identity."""
    data_root: str = "data"
    """Folder of data sets that are read from disk. Not part of a run's identity."""
    checkpoints: Keeping = Keeping()
    """Which weights stay on disk."""
    save_every: Annotated[float, Field(ge=0, allow_inf_nan=False), BeforeValidator(no_bool)] = 60
    """Seconds after which a job saves its state: what it loses, at most, when it is killed. Not part of a run's identity."""
    flops_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False), BeforeValidator(no_bool)] | None = None
    """Of the device: `snakemake budget` counts hours by it, and jobs of a cluster ask for time. By default budget measures
    this machine, in a few seconds, and jobs ask for more time than most devices need."""
    datasets: dict[Name, Dataset] = {}
    """Data sets by name."""
    experiments: Annotated[dict[ExperimentName, AnyExperiment], Field(min_length=1)]
    """Experiments by name."""
    figures: dict[FigureName, Figure] = {}
    """Figures by name, which is also their target: `snakemake fig4`."""
    claims: Claims = Claims()
    """Which of the paper's claims are tested, on which experiment, against which thresholds."""


def schema_text() -> str:
    """The schema that editors check config files against: config/schema.yaml, written by `make schema`."""
    schema = Study.model_json_schema()
    for form in (form for forms in SECTIONS.values() for form in forms):
        schema["$defs"][form.__name__].pop("required")  # the grid may give it
    for panel in get_args(get_args(AnyPanel)[0]):
        schema["$defs"][panel.__name__]["required"].remove("kind")  # the figure gives it
    text = yaml.safe_dump(_for_editors(schema), sort_keys=False, allow_unicode=True, width=110)
    return "# Written by `make schema` from workflow/scripts/reactivation/schema.py.\n" + text


def _for_editors(schema: Any) -> Any:
    """Without the titles that pydantic makes up from the keys' names, and with `anyOf` for `oneOf`.

    Without the key that says which form is meant, as where the grid gives it, several forms fit.
    """
    if isinstance(schema, list):
        return [_for_editors(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    # A key of ours may be called title as well: its value is then a mapping.
    kept = {k: v for k, v in schema.items() if k != "discriminator" and (k != "title" or isinstance(v, dict))}
    return {"anyOf" if k == "oneOf" else k: _for_editors(v) for k, v in kept.items()}


if __name__ == "__main__":
    print(schema_text(), end="")

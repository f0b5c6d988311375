"""The keys of a study's config, their types, ranges, defaults and meaning: the only source of these.

`config/schema.yaml` is written from here (`make schema`), for editors and for reading.
"""

import re
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

TORCHVISION_CLASSES = {"CIFAR10": 10, "CIFAR100": 100}


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("Input should be a number")
    return value


def _digits(value: Any) -> Any:
    """Snakemake leaves numbers inside `--config key=[1,2]` as strings."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?\d+", value) else value


def _distinct(values: list) -> list:
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ValueError(f"names {twice[0]!r} twice")
    return values


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=40)]
# No dash: in the name of a run it ends that of the experiment.
ExperimentName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]*$", max_length=40)]
Digits = BeforeValidator(_digits)
Natural = Annotated[StrictInt, Field(ge=0), Digits]
Positive = Annotated[StrictInt, Field(ge=1), Digits]
# Not strict: PyYAML reads 1e-3 as a string.
PositiveNumber = Annotated[float, BeforeValidator(_no_bool), Field(gt=0, allow_inf_nan=False)]

Kernel = Literal["sum", "trace"]
Reference = Literal["init", "task_start", "previous"]
KERNEL_METRICS = Literal[
    "spectral_norm",
    "trace",
    "effective_rank",
    "alignment",
    "kernel_distance",
    "kernel_velocity",
    "cross_task_overlap",
]
TEST_METRICS = Literal["test_accuracy", "test_loss", "forgetting"]


class Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", use_attribute_docstrings=True, protected_namespaces=())


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


# ----------------------------------------------------------------------------------------------- experiments
class ClassSplit(Strict):
    """Consecutive, disjoint groups of classes, one group a task."""

    kind: Literal["class_split"]
    tasks: Positive
    """Number of tasks."""
    classes_per_task: Positive
    """Classes of each task."""
    class_order: Annotated[list[Natural], AfterValidator(_distinct)] | None = None
    """Class indices in the order in which tasks take them; by default 0, 1, 2, …"""
    limit_per_class: Positive | None = None
    """Use only this many training images of each class (drawn once, by `data_seed`); by default all."""
    data_seed: Natural = 0
    """Which images are drawn; shared by all runs, whatever their own seed."""


class Model(Strict):
    """The network; it has one output per class of the data set."""

    name: Literal["cnn"] = "cnn"
    """`cnn`: three times [3×3 convolution, ReLU, 2×2 max-pooling], then one linear layer."""
    width: Positive
    """Channels of every convolution."""


class Training(Strict):
    """Plain SGD on the cross-entropy over all classes of the data set, with no momentum and no augmentation."""

    epochs: Positive
    """Epochs of each task."""
    lr: PositiveNumber
    """Learning rate."""
    batch_size: Positive = 64
    """Images in an optimizer step."""


class Checkpoints(Strict):
    """At which steps of each task weights are kept and kernels computed; its last step always is one."""

    every: Positive = 1
    """Every so many epochs."""
    log_spaced: StrictBool = True
    """Also after 1, 2, 4, 8, … steps of each task: the kernel moves fastest right after a switch."""


class Probe(Strict):
    """The fixed training images on which kernels are evaluated, as evenly spread over the classes as can be."""

    size: Annotated[StrictInt, Field(ge=2), Digits] = 32
    """Number of images."""
    seed: Natural = 0
    """Which images are drawn; shared by all runs."""


class Metrics(Strict):
    """Choices in the definitions of metrics."""

    velocity_dt: Annotated[list[Positive], Field(min_length=1), AfterValidator(_distinct)] = [1]
    """Time steps dt, in epochs, of the kernel velocity S(Θ_t, Θ_t+dt)/dt."""
    overlap_rank: Positive = 5
    """Leading gradient directions of each task that `cross_task_overlap` compares."""


class Experiment(Strict):
    """One scenario, trained with every combination of the grid and every seed."""

    dataset: str
    """A name under `datasets`."""
    scenario: ClassSplit
    """The tasks and their order."""
    model: Model
    """The network."""
    training: Training
    """How it is trained."""
    grid: dict[str, Annotated[list[Any], Field(min_length=1), AfterValidator(_distinct)]] = {}
    """Lists of values for keys of `scenario`, `model` or `training`; runs take every combination."""
    checkpoints: Checkpoints = Checkpoints()
    """When weights are kept and kernels computed."""
    probe: Probe = Probe()
    """Images on which kernels are evaluated."""
    kernels: Annotated[list[Kernel], Field(min_length=1), AfterValidator(_distinct)] = ["sum", "trace"]
    """`sum`: of the gradient of the summed logits; `trace`: mean over outputs of the per-output kernels."""
    metrics: Metrics = Metrics()
    """Choices in the definitions of metrics."""


# --------------------------------------------------------------------------------------------------- figures
class Panel(Strict):
    """One metric against epochs."""

    metric: Literal[KERNEL_METRICS, TEST_METRICS]
    """What is drawn."""
    kernel: Kernel = "sum"
    """Which kernel (kernel metrics only)."""
    reference: Reference = "init"
    """What `kernel_distance` is measured from."""
    dt: Positive | None = None
    """Which of the experiment's `velocity_dt`; by default its first."""
    block: Annotated[list[Name], Field(min_length=1), AfterValidator(_distinct)] | None = None
    """Parts of the probe or test set, told apart by line style: `all`, `task1`, `task2`, …, `current`;
    for `cross_task_overlap` pairs such as `task1-task2`, which is also its default. Otherwise `all`."""
    scale: Literal["linear", "log"] | None = None
    """Vertical axis; by default logarithmic for velocities, linear otherwise."""


class Curves(Strict):
    """Panels of curves over epochs, one curve for each value of one axis, with bands over seeds."""

    kind: Literal["curves"]
    experiment: str
    """A name under `experiments`."""
    color: str
    """The axis of the grid whose values the curves show."""
    where: dict[str, Any] = {}
    """One value for each other axis that has several."""
    panels: Annotated[list[Panel], Field(min_length=1, max_length=12)]
    """What each panel draws."""
    title: str = ""
    """Above the figure."""


FigureName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=40)]


class Study(Strict):
    """One config file: its experiments and its figures, in `results/<study>/`."""

    study: Name
    """Name of the study's folder under `results/`."""
    seeds: Annotated[list[Natural], Field(min_length=1), AfterValidator(_distinct)]
    """One run each; they move the initialisation and the order of batches."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train and compute kernels; `auto` takes a GPU if there is one. Not part of a run's identity."""
    data_root: str = "data"
    """Folder of data sets that are read from disk. Not part of a run's identity."""
    datasets: Annotated[dict[Name, Dataset], Field(min_length=1)]
    """Data sets by name."""
    experiments: Annotated[dict[ExperimentName, Experiment], Field(min_length=1)]
    """Experiments by name."""
    figures: dict[FigureName, Curves] = {}
    """Figures by name, which is also their target: `snakemake fig4`."""


def schema_text() -> str:
    """The schema that editors check config files against: config/schema.yaml, written by `make schema`."""
    schema = Study.model_json_schema()
    for section in (ClassSplit, Model, Training):
        schema["$defs"][section.__name__].pop("required")  # the grid may give it
    text = yaml.safe_dump(_untitled(schema), sort_keys=False, allow_unicode=True, width=110)
    return "# Written by `make schema` from workflow/scripts/reactivation/schema.py.\n" + text


def _untitled(schema: Any) -> Any:
    """Without the titles that pydantic makes up from the keys' names."""
    if isinstance(schema, list):
        return [_untitled(part) for part in schema]
    if isinstance(schema, dict):
        # A key of ours may be called title as well: its value is then a mapping.
        return {k: _untitled(v) for k, v in schema.items() if k != "title" or isinstance(v, dict)}
    return schema


if __name__ == "__main__":
    print(schema_text(), end="")

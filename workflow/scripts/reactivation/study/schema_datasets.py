"""The keys of data sets: where images come from."""

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt

from reactivation.data.facts import TORCHVISION
from reactivation.study.values import Digits, Natural, Positive, Strict, no_bool


def _each_colour(value: Any) -> list[float]:
    """Three finite numbers, one for each colour; one number stands for all three."""
    values = value if isinstance(value, list) else [value] * 3
    if len(values) != 3:
        raise ValueError(f"should be a number, or one for each of the three colours, not {len(values)}")
    try:
        numbers = [float(no_bool(each)) for each in values]  # PyYAML reads 1e-3 as text
    except (TypeError, ValueError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("should be a finite number, or one for each of the three colours")
    return numbers


def _positive(values: list[float]) -> list[float]:
    if min(values) <= 0:
        raise ValueError(f"should be greater than 0, since images are divided by it; {min(values):g} is not")
    if not 1e-3 <= min(values) <= max(values) <= 1:
        raise ValueError("should be from 0.001 to 1: images have values from 0 to 1, not to 255")
    return values


def _in_range(values: list[float]) -> list[float]:
    if not 0 <= min(values) <= max(values) <= 1:
        raise ValueError("should be from 0 to 1, as the values of images are; divide numbers for 0 to 255 by 255")
    return values


Colours = Annotated[float | list[float], BeforeValidator(_each_colour)]


class Normalise(Strict):
    """The numbers by which images are normalised: (image − mean) / std, for images between 0 and 1."""

    mean: Annotated[Colours, AfterValidator(_in_range)]
    """A number, or one for each of red, green and blue."""
    std: Annotated[Colours, AfterValidator(_positive)]
    """A number, or one for each colour."""


class Source(Strict):
    """Keys that all data sets have."""

    normalise: Normalise | None = None
    """How images are normalised; by default by mean and standard deviation of each colour over all training images."""


class Glyphs(Source):
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
    """Seed by which images are drawn."""


class Torchvision(Source):
    """CIFAR-10 or CIFAR-100 in the form that torchvision downloads."""

    source: Literal["torchvision"]
    name: Literal["CIFAR10", "CIFAR100"]
    """The data set's name in torchvision."""
    root: str = "."
    """Folder that holds torchvision's own folder, below `data_root` unless absolute."""
    download: StrictBool = False
    """Fetch the data set into `root` if it is not there."""

    @property
    def classes(self) -> int:
        return TORCHVISION[self.name][0]


class ImageFolder(Source):
    """Any images, as `<root>/{train,test}/<class>/*`, in a folder or in a tarball of one."""

    source: Literal["image_folder"]
    root: str
    """The folder, or a .tar, .tar.gz, .tar.xz or .tar.bz2 of it, below `data_root` unless absolute."""
    image_size: Annotated[StrictInt, Field(ge=8, le=1024), Digits]
    """Images are cropped to their central square and resized to this many pixels a side."""
    classes: Annotated[StrictInt, Field(ge=2), Digits]
    """How many classes the folder holds; they are numbered in the alphabetical order of their names."""


Dataset = Annotated[Glyphs | Torchvision | ImageFolder, Field(discriminator="source")]

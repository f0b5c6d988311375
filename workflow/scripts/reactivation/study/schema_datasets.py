"""The keys of data sets: where images come from."""

from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt

from reactivation.data.facts import TORCHVISION
from reactivation.study.values import Digits, Natural, Positive, Strict


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
    """Seed by which images are drawn."""


class Torchvision(Strict):
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

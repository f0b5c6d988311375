"""What the config says about a data set, known before it is read."""

from typing import Any

Spec = dict[str, Any]  # an entry of `datasets`
Counts = tuple[list[int], list[int]]  # training and test images of each class

TORCHVISION = {"CIFAR10": (10, 5000, 1000), "CIFAR100": (100, 500, 100)}
"""Number of classes of each of torchvision's data sets, and of training and test images of each class."""
TORCHVISION_SIZE = 32  # pixels a side


def stated_counts(spec: Spec) -> Counts | None:
    """Images of each class as the config states them; None where it does not, as for a folder of images."""
    if spec["source"] == "torchvision":
        classes, train, test = TORCHVISION[spec["name"]]
    elif "train_per_class" in spec:
        classes, train, test = spec["classes"], spec["train_per_class"], spec["test_per_class"]
    else:
        return None
    return [train] * classes, [test] * classes


def image_size(spec: Spec) -> int:
    """Pixels a side."""
    return TORCHVISION_SIZE if spec["source"] == "torchvision" else spec["image_size"]


def held_out_count(images: int, share: float) -> int:
    """How many of a class's training images are held out of training."""
    return round(share * images)


def class_count(spec: Spec) -> int:
    """Number of classes."""
    return TORCHVISION[spec["name"]][0] if spec["source"] == "torchvision" else spec["classes"]

"""What is known of a data set before it is read, from its config."""

from typing import Any

Spec = dict[str, Any]  # an entry of `datasets`
Counts = tuple[list[int], list[int]]  # training and test images of each class

TORCHVISION = {"CIFAR10": (10, 5000, 1000), "CIFAR100": (100, 500, 100)}
"""Of torchvision's data sets: classes, training and test images of each class."""
TORCHVISION_SIZE = 32  # pixels


def stated_counts(spec: Spec) -> Counts | None:
    """How many images each class has, where the config tells; None for a folder of images."""
    if spec["source"] == "image_folder":
        return None
    if spec["source"] == "torchvision":
        classes, train, test = TORCHVISION[spec["name"]]
    else:
        classes, train, test = spec["classes"], spec["train_per_class"], spec["test_per_class"]
    return [train] * classes, [test] * classes


def image_size(spec: Spec) -> int:
    """Pixels a side."""
    return TORCHVISION_SIZE if spec["source"] == "torchvision" else spec["image_size"]


def class_count(spec: Spec) -> int:
    """How many classes the data set has."""
    return TORCHVISION[spec["name"]][0] if spec["source"] == "torchvision" else spec["classes"]

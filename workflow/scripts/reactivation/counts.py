"""How many images a data set has, where its config tells."""

from typing import Any

Counts = tuple[list[int], list[int]]  # training and test images of each class


def stated_counts(spec: dict[str, Any]) -> Counts | None:
    """Of the data set that `spec` (an entry of `datasets`) describes; None for a folder of images."""
    if spec["source"] == "glyphs":
        return [spec["train_per_class"]] * spec["classes"], [spec["test_per_class"]] * spec["classes"]
    if spec["source"] == "torchvision":
        return {"CIFAR10": ([5000] * 10, [1000] * 10), "CIFAR100": ([500] * 100, [100] * 100)}[spec["name"]]
    return None

"""Which images belong to a task, and which are the probe: indices into a data set, never images.

Every draw comes from a stream named after the class alone, so that a class keeps its images whatever tasks it is
in: runs that share a beginning share its images, and a probe image is one that is trained on.
"""

from typing import Any

import numpy as np

from .job import InputError
from .seeds import generator


def class_images(labels: np.ndarray, label: int, limit: int | None, seed: int) -> np.ndarray:
    """Indices of the images of one class that are used, in a random order that does not depend on `limit`."""
    indices = np.flatnonzero(labels == label)
    if limit is not None and limit > len(indices):
        raise InputError(f"limit_per_class is {limit}, but class {label} has {len(indices)} training images: lower it")
    return generator(seed, "images", label).permutation(indices)[:limit]


def split(spec: dict[str, Any], train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """Sorted indices of each task's images.

    `spec` has `tasks` (the classes of each) and `images` (all classes of the scenario, the limit, the seed).
    Returns `task<k>_train` and `task<k>_test` for k = 1, 2, …, and `test`, the test images of the whole scenario.
    """
    images = spec["images"]
    used = {c: class_images(train_labels, c, images["limit_per_class"], images["seed"]) for c in images["classes"]}
    indices = {"test": np.flatnonzero(np.isin(test_labels, images["classes"]))}
    for k, classes in enumerate(spec["tasks"], start=1):
        indices[f"task{k}_train"] = np.sort(np.concatenate([used[c] for c in classes]))
        indices[f"task{k}_test"] = np.flatnonzero(np.isin(test_labels, classes))
    return indices


def balanced_probe(spec: dict[str, Any], train_labels: np.ndarray) -> np.ndarray:
    """Indices of `spec["size"]` training images, as evenly spread over the scenario's classes as can be.

    Sorted by class. Where the size is no multiple of the number of classes, the extra images are spread evenly
    over the classes too, so that tasks stay balanced.
    """
    images, size = spec["images"], spec["size"]
    classes = images["classes"]
    chosen = []
    for i, label in enumerate(classes):
        wanted = (i + 1) * size // len(classes) - i * size // len(classes)
        available = class_images(train_labels, label, images["limit_per_class"], images["seed"])
        if wanted > len(available):
            raise InputError(
                f"a probe of {size} images needs {wanted} of class {label}, which has {len(available)}: lower probe.size"
            )
        chosen.append(generator(spec["seed"], "probe", label).permutation(available)[:wanted])
    return np.concatenate(chosen)


def first_task(labels: np.ndarray, tasks: list[list[int]]) -> np.ndarray:
    """For each label, the number (from 1) of the first task that has it; 0 where none has."""
    task = np.zeros(len(labels), dtype=np.int64)
    for k in range(len(tasks), 0, -1):
        task[np.isin(labels, tasks[k - 1])] = k
    return task

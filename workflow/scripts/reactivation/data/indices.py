"""Which images belong to a task, and which are the probe: indices into a data set, never images.

Every draw comes from a stream that is named after the class alone. So a class keeps its images in any task, runs that
share a beginning share images, and a larger selection of a class contains every smaller one.
"""

from typing import TYPE_CHECKING

import numpy as np

from reactivation.errors import InputError
from reactivation.seeds import generator

if TYPE_CHECKING:
    from reactivation.data import specs


def class_images(labels: np.ndarray, label: int, limit: int | None, seed: int) -> np.ndarray:
    """Indices of the images of one class that are used, in a random order that does not depend on `limit`."""
    indices = np.flatnonzero(labels == label)
    if limit is not None and limit > len(indices):
        raise InputError(f"limit_per_class is {limit}, but class {label} has {len(indices)} training images: lower it")
    return generator(seed, "images", label).permutation(indices)[:limit]


def split(spec: "specs.Split", train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """Sorted indices of each task's images.

    Returns `task<k>_train` for k = 1, 2, …, and `test`, the test images of the whole scenario. A replayed image that is
    also the task's own is there twice. InputError if there are not enough images.
    """
    images = spec["images"]
    used = {c: class_images(train_labels, c, images["limit_per_class"], images["seed"]) for c in images["classes"]}
    own: list[np.ndarray] = []
    indices = {"test": np.flatnonzero(np.isin(test_labels, images["classes"]))}
    for k, task in enumerate(spec["tasks"], start=1):
        earlier = [replayed(own[j], task["replay"], j + 1, spec) for j in range(k - 1)] if task["replay"] else []
        own.append(
            np.concatenate([share(used[c], w, c, spec) for c, w in zip(task["classes"], task["weights"], strict=True)])
        )
        indices[f"task{k}_train"] = np.sort(np.concatenate([own[-1], *earlier]))
    return indices


def share(images: np.ndarray, weight: float, label: int, spec: "specs.Split") -> np.ndarray:
    """A share of a class's images, drawn once per seed of a run. A larger share contains every smaller one."""
    if weight == 1:
        return images
    count = round(weight * len(images))
    if count == 0:
        raise InputError(
            f"a share of {weight:g} of class {label}'s {len(images)} images rounds to 0: "
            "raise weights or alpha, or use more images"
        )
    return generator(spec["seed"], "share", label).permutation(images)[:count]


def replayed(images: np.ndarray, count: int, task: int, spec: "specs.Split") -> np.ndarray:
    """`count` images of an earlier task, drawn once per seed of a run, so the same in all later tasks."""
    if count > len(images):
        raise InputError(f"replay is {count}, but task {task} has {len(images)} images: lower it")
    return generator(spec["seed"], "replay", task).permutation(np.sort(images))[:count]


def balanced_probe(spec: "specs.Probe", train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """`spec["size"]` training images and `spec["held_out"]` test images, spread over the classes as evenly as possible.

    Returns `index` (into the training or the test images), `label` and `held_out` (True for test images), each (n,),
    training images first, sorted by class. If a size is not a multiple of the number of classes, the extra images are
    spread evenly too, so that tasks stay balanced.
    """
    images = spec["images"]
    train = _spread(spec, "size", spec["size"], train_labels, images["limit_per_class"])
    test = _spread(spec, "held_out", spec["held_out"], test_labels, None)
    return {
        "index": np.concatenate([train, test]),
        "label": np.concatenate([train_labels[train], test_labels[test]]),
        "held_out": np.repeat([False, True], [len(train), len(test)]),
    }


def _spread(spec: "specs.Probe", key: str, size: int, labels: np.ndarray, limit: int | None) -> np.ndarray:
    """Indices of `size` images, spread over the probe's classes as evenly as possible; `key` names the size."""
    images, chosen = spec["images"], [np.empty(0, dtype=np.int64)]
    for i, label in enumerate(images["classes"]):
        wanted = (i + 1) * size // len(images["classes"]) - i * size // len(images["classes"])
        available = class_images(labels, label, limit, images["seed"])
        if wanted > len(available):
            raise InputError(
                f"a probe of {size} images needs {wanted} of class {label}, which has {len(available)}: "
                f"lower probe.{key}"
            )
        chosen.append(generator(spec["seed"], "probe", label).permutation(available)[:wanted])
    return np.concatenate(chosen)


def first_task(labels: np.ndarray, tasks: "list[specs.Task]") -> np.ndarray:
    """For each label, the number (from 1) of the first task that has it; 0 if no task has it."""
    task = np.zeros(len(labels), dtype=np.int64)
    for k in range(len(tasks), 0, -1):
        task[np.isin(labels, tasks[k - 1]["classes"])] = k
    return task

"""Which images belong to a task, and which are the probe: indices into a data set, never images.

Every draw comes from a stream that is named after the class alone. So a class keeps its images in any task, runs that
share a beginning share images, and a larger selection of a class contains every smaller one.
"""

from typing import TYPE_CHECKING, Literal

import numpy as np

from reactivation.data.facts import held_out_count
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


def parted(labels: np.ndarray, label: int, images: "specs.Images") -> tuple[np.ndarray, np.ndarray]:
    """Indices of the images of one class that are trained on, and of those that are held out, if any; both random.

    A larger share held out contains every smaller one.
    """
    used, share = class_images(labels, label, images["limit_per_class"], images["seed"]), images.get("held_out", 0)
    count = held_out_count(len(used), share)
    if share and not 0 < count < len(used):
        raise InputError(
            f"a share of {share:g} of class {label}'s {len(used)} training images rounds to "
            f"{'all of them: lower' if count else '0: raise'} scenario.held_out, or use more images"
        )
    return used[: len(used) - count], used[len(used) - count :]


def split(spec: "specs.Split", train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """Sorted indices of each task's images.

    Returns `task<k>_train` for k = 1, 2, …, and the images of the whole scenario that tests are taken on: `test`, its
    test images, or, if training images are held out, `held_out`, which are among the training images. A replayed image
    that is also the task's own is there twice; one that is drawn anew in each epoch is not there. InputError if there
    are not enough images.
    """
    images = spec["images"]
    parts = {c: parted(train_labels, c, images) for c in images["classes"]}
    used = {c: trained for c, (trained, _) in parts.items()}
    own: list[np.ndarray] = []
    if images.get("held_out"):
        indices = {"held_out": np.sort(np.concatenate([held_out for _, held_out in parts.values()]))}
    else:
        indices = {"test": np.flatnonzero(np.isin(test_labels, images["classes"]))}
    for k, task in enumerate(spec["tasks"], start=1):
        earlier = [replayed(own[j], task, j + 1, spec) for j in range(k - 1)] if task["replay"] else []
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


def replayed(images: np.ndarray, task: "specs.Task", earlier: int, spec: "specs.Split") -> np.ndarray:
    """The images of an earlier task that `task` replays, drawn once per seed of a run, so the same in all later tasks.

    None if the training draws them anew in each epoch.
    """
    count = task["replay"]
    if count > len(images):
        raise InputError(f"replay is {count}, but task {earlier} has {len(images)} images: lower it")
    if "replay_drawn" in task:
        return np.empty(0, np.int64)
    return generator(spec["seed"], "replay", earlier).permutation(np.sort(images))[:count]


def balanced_probe(spec: "specs.Probe", train_labels: np.ndarray, test_labels: np.ndarray) -> dict[str, np.ndarray]:
    """`spec["size"]` training images and `spec["held_out"]` others, spread as evenly as possible.

    The others are test images, or held-out training images if the scenario holds some out. All are spread over
    `spec["groups"]` of classes if there are any, otherwise over the classes. Returns `index` (into the training or the
    test images), `label` and `held_out` (True for the others), each (n,), training images first, in the order of the
    groups or classes; and `in_train` (n,), True everywhere, if the others are training images. If a size is not a
    multiple of the number of groups or classes, the extra images are spread evenly too, so that tasks stay balanced.
    InputError if there are not enough images, or if a further probe could only have those of the first.
    """
    images = spec["images"]
    parts = {label: parted(train_labels, label, images) for label in images["classes"]}
    train = _spread(spec, "size", {label: trained for label, (trained, _) in parts.items()})
    if images.get("held_out"):
        labels, others = train_labels, {label: held_out for label, (_, held_out) in parts.items()}
    else:
        labels = test_labels
        others = {label: class_images(labels, label, None, images["seed"]) for label in images["classes"]}
    test = _spread(spec, "held_out", others)
    probe = {
        "index": np.concatenate([train, test]),
        "label": np.concatenate([train_labels[train], labels[test]]),
        "held_out": np.repeat([False, True], [len(train), len(test)]),
    }
    return probe | ({"in_train": np.full(len(probe["index"]), True)} if images.get("held_out") else {})


def _spread(spec: "specs.Probe", key: Literal["size", "held_out"], by_class: dict[int, np.ndarray]) -> np.ndarray:
    """Indices of as many images as the probe's `key` says, spread over its groups as evenly as possible."""
    size, chosen = spec[key], [np.empty(0, dtype=np.int64)]
    groups = spec.get("groups") or [[label] for label in spec["images"]["classes"]]
    draw, spare = ["draw", spec["draw"]] if "draw" in spec else [], 0
    for i, group in enumerate(groups):
        wanted = (i + 1) * size // len(groups) - i * size // len(groups)
        available = np.concatenate([by_class[label] for label in group])
        spare += len(available) - wanted
        if wanted > len(available):
            which = f"class {group[0]}, which has" if len(group) == 1 else f"classes {group}, which have"
            raise InputError(f"a probe of {size} images needs {wanted} of {which} {len(available)}: lower probe.{key}")
        chosen.append(generator(spec["seed"], "probe", *group, *draw).permutation(available)[:wanted])
    if draw and size and not spare:
        raise InputError(
            f"probe.draws has no other images to draw: probe.{key} is {size}, and all {size} images are in it; "
            f"lower probe.{key}, or set draws: 1"
        )
    return np.concatenate(chosen)


def first_task(labels: np.ndarray, tasks: "list[specs.Task]") -> np.ndarray:
    """For each label, the number (from 1) of the first task that has it; 0 if no task has it."""
    task = np.zeros(len(labels), dtype=np.int64)
    for k in range(len(tasks), 0, -1):
        task[np.isin(labels, tasks[k - 1]["classes"])] = k
    return task

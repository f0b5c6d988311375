"""The HDF5 file of a data set: images, labels, the names of classes."""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np

from reactivation.storage.files import check, reading
from reactivation.storage.hdf5 import add, new_hdf5

BLOCK = 256  # images written or read at once


def write_dataset(
    path: str | Path,
    samples: Iterable[tuple[str, str, np.ndarray]],
    attributes: Callable[[], dict] = dict,
    normalise: dict[str, list[float]] | None = None,
) -> None:
    """Write `(part, class, image)` samples, block by block; part is "train" or "test", image (H, W, 3) uint8.

    The file has `/<part>/images` (N, H, W, 3) uint8 and `/<part>/labels` (N,) int64. Its attributes are

    * `class_names`, in alphabetical order; labels are positions in it;
    * `mean` and `std` (3,), by which images are normalised: those of `normalise`, or else of the training images'
      channels, in [0, 1]; a constant channel then has `std` 1;
    * `digest`, of all images and labels;
    * those that `attributes()` returns, which is called at the end.
    """
    with new_hdf5(path) as file:
        content = hashlib.sha256()
        names: dict[str, list[str]] = {"train": [], "test": []}
        pending: dict[str, list[np.ndarray]] = {"train": [], "test": []}
        counts = np.zeros((3, 256))  # how often each value occurs in each channel of the training images

        def put(part: str) -> None:
            block = np.stack(pending[part])
            pending[part].clear()
            if part not in file:
                add(file, f"{part}/images", block[:0], (64, *block.shape[1:]))
            content.update(block.data)
            images = file[f"{part}/images"]
            images.resize(len(images) + len(block), axis=0)
            images[-len(block) :] = block
            file.flush()  # while `images` lives: see add
            if part == "train":
                for channel, count in enumerate(counts):
                    count += np.bincount(block[..., channel].ravel(), minlength=256)

        for part, name, image in samples:
            names[part].append(name)
            pending[part].append(image)
            if len(pending[part]) == BLOCK:
                put(part)
        for part in pending:
            if pending[part]:
                put(part)
        classes = sorted(set(names["train"]))
        for part in names:
            labels = np.searchsorted(classes, names[part]).astype(np.int64)
            content.update(labels.data)
            add(file, f"{part}/labels", labels)
        values, shares = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
        mean = shares @ values
        deviation = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
        std = np.where(deviation < 1e-6, 1.0, deviation)  # a constant channel, up to rounding
        if normalise:
            mean, std = (np.array(normalise[key], dtype=np.float64) for key in ("mean", "std"))
        file.attrs.update(class_names=classes, mean=mean, std=std, digest=content.hexdigest(), **attributes())


def read_source_digest(path: str | Path) -> str | None:
    """The attribute `source_digest` of a data set's file; None if there is no file, or an old one without it."""
    if not Path(path).exists():
        return None
    with reading(path), h5py.File(path) as file:
        return file.attrs.get("source_digest")


def read_digest(path: str | Path) -> str:
    """The digest of all images and labels of a data set's file, and of nothing else."""
    with reading(path), h5py.File(path) as file:
        return file.attrs["digest"]


def read_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training and of the test images."""
    with reading(path), h5py.File(path) as file:
        labels = [file[f"{part}/labels"][:] for part in ("train", "test")]
        for part, of_part in zip(("train", "test"), labels, strict=True):
            check(len(of_part) == len(file[f"{part}/images"]), f"{part} should have as many labels as images")
        return tuple(labels)


def read_images(path: str | Path, part: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, H, W, 3) uint8 and labels (n,) at `indices`, in their order."""
    with reading(path), h5py.File(path) as file:
        images, labels = file[f"{part}/images"], file[f"{part}/labels"][:]
        check(images.ndim == 4 and images.dtype == np.uint8, f"{part} should have images (N, H, W, 3) of bytes")
        check(len(labels) == len(images), f"{part} should have as many labels as images")
        labels = labels[indices]
        order = np.argsort(indices, kind="stable")
        ascending = indices[order]
        pixels = np.empty((len(indices), *images.shape[1:]), np.uint8)
        # Blocks: h5py's selection by index list is far slower than reading everything, which may not fit in memory.
        for start in range(0, len(images), BLOCK):
            first, end = np.searchsorted(ascending, [start, start + BLOCK])
            if first < end:
                low, high = ascending[first], ascending[end - 1] + 1
                pixels[order[first:end]] = images[low:high][ascending[first:end] - low]
        return pixels, labels


def read_probe_images(path: str | Path, probe: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, H, W, 3) uint8 and labels (n,) of a probe: training images, then held-out images."""
    in_train = probe.get("in_train", ~probe["held_out"])
    parts = [
        read_images(path, part, probe["index"][in_train == there])
        for part, there in (("train", True), ("test", False))
        if (in_train == there).any()
    ]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def read_normalisation(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (3,) by which images in [0, 1] are normalised."""
    with reading(path), h5py.File(path) as file:
        mean, std = file.attrs["mean"], file.attrs["std"]
        sound = bool(np.isfinite([mean, std]).all() and np.shape(mean) == (3,) and (std > 0).all())
        check(sound, "mean or std is invalid")
        return mean, std


def read_class_count(path: str | Path) -> int:
    """Number of classes of the data set."""
    with reading(path), h5py.File(path) as file:
        return len(file.attrs["class_names"])

"""The files under results/: their layouts, and the only code that reads or writes them.

Every file is written under a temporary name and renamed when it is whole.
"""

import contextlib
import csv
import json
import os
import shutil
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import InputError, one_line

BLOCK = 256  # images written or read at once


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`; renamed to it at the end, removed on an error."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays: writers choose a format by it.
    temporary = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _reading(path: str | Path) -> Iterator[None]:
    """Name the file that an error comes from."""
    try:
        yield
    except (OSError, KeyError, ValueError, EOFError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is damaged ({one_line(error)}): delete it and run again") from error


# -------------------------------------------------------------------------------------------------- data sets
def write_dataset(path: str | Path, samples: Iterable[tuple[str, str, np.ndarray]], attributes: dict) -> None:
    """Write `(part, class, image)` samples, part "train" or "test", image (H, W, 3) uint8, block by block.

    `/<part>/images` (N, H, W, 3) uint8, `/<part>/labels` (N,) int64: positions in the alphabetical `class_names`;
    `mean` and `std` (3,) of the training images' channels, in [0, 1]; 1 for the deviation of a constant channel.
    """
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        names: dict[str, list[str]] = {"train": [], "test": []}
        pending: dict[str, list[np.ndarray]] = {"train": [], "test": []}
        counts = np.zeros((3, 256))  # of each channel's values, in the training images

        def flush(part: str) -> None:
            block = np.stack(pending[part])
            pending[part].clear()
            if part not in file:
                shape = block.shape[1:]
                file.create_dataset(f"{part}/images", (0, *shape), "u1", maxshape=(None, *shape), chunks=(64, *shape))
            images = file[f"{part}/images"]
            images.resize(len(images) + len(block), axis=0)
            images[-len(block) :] = block
            if part == "train":
                for channel, count in enumerate(counts):
                    count += np.bincount(block[..., channel].ravel(), minlength=256)

        for part, name, image in samples:
            names[part].append(name)
            pending[part].append(image)
            if len(pending[part]) == BLOCK:
                flush(part)
        for part in pending:
            if pending[part]:
                flush(part)
        classes = sorted(set(names["train"]))
        for part in names:
            file[f"{part}/labels"] = np.searchsorted(classes, names[part]).astype(np.int64)
        values, shares = np.arange(256) / 255, counts / counts.sum(1, keepdims=True)
        mean = shares @ values
        deviation = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(1))
        std = np.where(deviation < 1e-6, 1.0, deviation)  # what rounding leaves of a constant channel
        file.attrs.update(class_names=classes, mean=mean, std=std, **attributes)


def read_source_state(path: str | Path) -> str | None:
    """The attribute `source_state` of a data set's file, or None if there is no file."""
    if not Path(path).exists():
        return None
    with _reading(path), h5py.File(path) as file:
        return file.attrs["source_state"]


def read_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training and of the test images."""
    with _reading(path), h5py.File(path) as file:
        return file["train/labels"][:], file["test/labels"][:]


def read_images(path: str | Path, part: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, H, W, 3) uint8 and labels (n,) at `indices`, in their order."""
    with _reading(path), h5py.File(path) as file:
        images, labels = file[f"{part}/images"], file[f"{part}/labels"][:][indices]
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
    """Images (n, H, W, 3) uint8 and labels (n,) of a probe: training images, then held-out test images."""
    held_out = probe["held_out"]
    parts = [
        read_images(path, part, probe["index"][held_out == test])
        for part, test in (("train", False), ("test", True))
        if (held_out == test).any()
    ]
    return np.concatenate([images for images, _ in parts]), np.concatenate([labels for _, labels in parts])


def read_normalisation(path: str | Path) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean and standard deviation (3,) of the training images' channels, in [0, 1]; the number of classes."""
    with _reading(path), h5py.File(path) as file:
        return file.attrs["mean"], file.attrs["std"], len(file.attrs["class_names"])


# ------------------------------------------------------------------------------------------- indices, tables
def write_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    with _reading(path), Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def write_rows(path: str | Path, rows: list[dict[str, Any]]) -> None:
    """A CSV with one line per row; columns are the first row's keys; floats keep all their digits."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: str | Path, content: dict) -> None:
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


# ------------------------------------------------------------------------------------------------ checkpoints
def write_checkpoint(path: str | Path, model, step: int, epoch: float) -> None:
    """Weights of `model` after `step` optimizer steps and `epoch` epochs, both since the run's initialisation."""
    import torch

    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with atomic(path) as temporary, temporary.open("wb") as file:
        # A file object, not a path: torch writes a path's name into the archive, and the temporary one is random.
        torch.save({"step": step, "epoch": epoch, "model": state}, file)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """`step`, `epoch` and `model` (a state dict) of a checkpoint."""
    import pickle

    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = one_line(error).split(". ")[0]  # torch goes on with advice on untrusted files
        raise InputError(f"{path} is no readable checkpoint ({reason}): delete its segment's folder") from error


def link(checkpoint: str | Path, path: str | Path) -> None:
    """Give `checkpoint` a second, lasting name, at no cost where the file system has hard links."""
    with atomic(path) as temporary:
        try:
            os.link(checkpoint, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(checkpoint, temporary)


# ---------------------------------------------------------------------------------------------------- kernels
def write_kernels(
    path: str | Path,
    kernels: dict[str, np.ndarray],
    step: np.ndarray,
    epoch: np.ndarray,
    probe: dict[str, np.ndarray],
    attributes: dict[str, Any],
) -> None:
    """`/kernels/<kind>` (T, n, n) float64, `/step` and `/epoch` (T,), `/probe/{index,label,held_out,task}` (n,)."""
    with atomic(path) as temporary, h5py.File(temporary, "w") as file:
        for kind, stack in kernels.items():
            file.create_dataset(f"kernels/{kind}", data=stack, chunks=(1, *stack.shape[1:]))
        file["step"], file["epoch"] = step, epoch
        for key, values in probe.items():
            file[f"probe/{key}"] = values
        file.attrs.update(attributes)


def read_kernels(path: str | Path) -> dict[str, Any]:
    """`kernels` {kind: (T, n, n)}, `step`, `epoch` (T,), `probe` {index, label, held_out, task: (n,)} of one segment."""
    with _reading(path), h5py.File(path) as file:
        return {
            "kernels": {kind: stack[:] for kind, stack in file["kernels"].items()},
            "step": file["step"][:],
            "epoch": file["epoch"][:],
            "probe": {key: values[:] for key, values in file["probe"].items()},
        }


# ------------------------------------------------------------------------------------------------------ tables
def read_evaluation(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a segment's evaluation.csv: step, epoch, class, images, test_accuracy, test_loss."""
    kinds = {
        "step": int,
        "epoch": float,
        "class": int,
        "images": int,
        "test_accuracy": float,
        "test_loss": float,
    }
    with _reading(path), Path(path).open(newline="", encoding="utf-8") as file:
        return [{key: kinds[key](value) for key, value in row.items()} for row in csv.DictReader(file)]


def read_tables(paths: Iterable[str | Path]):
    """The metric tables of several runs as one pandas data frame, with the name of each in the column `run`."""
    import pandas as pd

    tables = []
    for path in paths:
        with _reading(path):
            tables.append(pd.read_csv(path).assign(run=Path(path).stem))
    return pd.concat(tables, ignore_index=True)

"""The files under results/: their layouts, and the only code that reads or writes them.

They are whole or absent, and damaged ones are named: see files.py.
"""

import csv
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import one_line
from .files import add, atomic, check, new_hdf5, reading, write_text

BLOCK = 256  # images written or read at once


# -------------------------------------------------------------------------------------------------- data sets
def write_dataset(
    path: str | Path, samples: Iterable[tuple[str, str, np.ndarray]], attributes: Callable[[], dict] = dict
) -> None:
    """Write `(part, class, image)` samples, part "train" or "test", image (H, W, 3) uint8, block by block.

    `/<part>/images` (N, H, W, 3) uint8, `/<part>/labels` (N,) int64: positions in the alphabetical `class_names`;
    `mean` and `std` (3,) of the training images' channels, in [0, 1]; 1 for the deviation of a constant channel;
    `digest` of all images and labels; `attributes()`, called at the end, which may take minutes to come.
    """
    with new_hdf5(path) as file:
        content = hashlib.sha256()
        names: dict[str, list[str]] = {"train": [], "test": []}
        pending: dict[str, list[np.ndarray]] = {"train": [], "test": []}
        counts = np.zeros((3, 256))  # of each channel's values, in the training images

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
        std = np.where(deviation < 1e-6, 1.0, deviation)  # what rounding leaves of a constant channel
        file.attrs.update(class_names=classes, mean=mean, std=std, digest=content.hexdigest(), **attributes())


def read_source_state(path: str | Path) -> str | None:
    """The attribute `source_state` of a data set's file, or None if there is no file."""
    if not Path(path).exists():
        return None
    with reading(path), h5py.File(path) as file:
        return file.attrs["source_state"]


def read_digest(path: str | Path) -> str:
    """What stands for all images and labels of a data set's file, and for nothing else."""
    with reading(path), h5py.File(path) as file:
        return file.attrs["digest"]


def read_labels(path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the training and of the test images."""
    with reading(path), h5py.File(path) as file:
        labels = [file[f"{part}/labels"][:] for part in ("train", "test")]
        for part, of_part in zip(("train", "test"), labels, strict=True):
            check(len(of_part) == len(file[f"{part}/images"]), f"as many labels as images are expected in {part}")
        return tuple(labels)


def read_images(path: str | Path, part: str, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, H, W, 3) uint8 and labels (n,) at `indices`, in their order."""
    with reading(path), h5py.File(path) as file:
        images, labels = file[f"{part}/images"], file[f"{part}/labels"][:]
        check(images.ndim == 4 and images.dtype == np.uint8, f"images (N, H, W, 3) of bytes are expected in {part}")
        check(len(labels) == len(images), f"as many labels as images are expected in {part}")
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
    with reading(path), h5py.File(path) as file:
        mean, std = file.attrs["mean"], file.attrs["std"]
        check(
            bool(np.isfinite([mean, std]).all() and np.shape(mean) == (3,) and (std > 0).all()), "mean or std is none"
        )
        return mean, std, len(file.attrs["class_names"])


# ------------------------------------------------------------------------------------------- indices, tables
def write_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    with reading(path), Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def write_rows(path: str | Path, rows: list[dict[str, Any]], columns: Collection[str] | None = None) -> None:
    """A CSV with one line per row; columns are by default the first row's keys; floats keep all their digits."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys() if columns is None else columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def write_json(path: str | Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    with reading(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))


# ------------------------------------------------------------------------------------------------ checkpoints
def write_checkpoint(path: str | Path, weights: dict[str, Any], step: int, epoch: float) -> None:
    """The state dict `weights` after `step` optimizer steps and `epoch` epochs, both since the run's initialisation."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    write_tensors(path, {"step": step, "epoch": epoch, "model": state})


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """`step`, `epoch` and `model` (a state dict) of a checkpoint."""
    import torch

    with reading(path, "no readable checkpoint", "delete its segment's folder and run again"):
        checkpoint = read_tensors(path)
        finite = all(torch.isfinite(tensor).all() for tensor in checkpoint["model"].values())
        check(finite and {"step", "epoch"} <= checkpoint.keys(), "weights that are finite, step and epoch are expected")
        return checkpoint


def write_tensors(path: str | Path, content: dict[str, Any]) -> None:
    """Tensors, numbers and text, in lists and dicts."""
    import torch

    with atomic(path) as temporary, temporary.open("wb") as file:
        # A file object, not a path: torch writes a path's name into the archive, and the temporary one is random.
        torch.save(content, file)


def read_tensors(path: str | Path) -> dict[str, Any]:
    """What `write_tensors` wrote, on the CPU. Nothing but tensors, numbers and text is read: no code is run."""
    import pickle

    import torch

    with zipfile.ZipFile(path) as archive:
        check(archive.testzip() is None, "its checksums are wrong")  # which torch does not compare
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(one_line(error).split(". ")[0]) from error  # torch goes on with advice on untrusted files


def read_state(path: str | Path) -> dict[str, Any]:
    """What a job saved of itself, with `write_tensors`."""
    with reading(path, remedy="delete it and run again, from this job's start"):
        return read_tensors(path)


# ---------------------------------------------------------------------------------------------------- kernels
def write_kernels(
    path: str | Path,
    kernels: dict[str, np.ndarray],
    step: np.ndarray,
    epoch: np.ndarray,
    probe: dict[str, np.ndarray],
    attributes: dict[str, Any],
    layers: dict[str, dict[str, np.ndarray]] | None = None,
) -> None:
    """`/kernels/<kind>` (T, n, n) float64, `/step` and `/epoch` (T,), `/probe/{index,label,held_out,task}` (n,).

    And `/layers/<layer>/<kind>`, each layer's share of `kernels`, if given: HDF5 sorts names, the attribute `order` of
    `/layers` has them as the network has its layers.
    """
    with new_hdf5(path) as file:
        for layer, share in (layers or {}).items():
            for kind, stack in share.items():
                add(file, f"layers/{layer}/{kind}", stack, (1, *stack.shape[1:]))
        if layers:
            file["layers"].attrs["order"] = list(layers)
        for kind, stack in kernels.items():
            add(file, f"kernels/{kind}", stack, (1, *stack.shape[1:]))
        for name, values in {"step": step, "epoch": epoch, **{f"probe/{key}": v for key, v in probe.items()}}.items():
            add(file, name, values)
        file.attrs.update(attributes)


def read_kernels(path: str | Path) -> dict[str, Any]:
    """Of one segment: `kernels` {kind: (T, n, n)}, `step`, `epoch` (T,), `probe` {index, label, held_out, task: (n,)}.

    And `layers`, in the network's order: {layer: {kind: (T, n, n)}}, empty where they were not asked for; `diverged`: None,
    or the step, epoch and task of the first checkpoint whose kernels were not finite.
    """
    with reading(path), h5py.File(path) as file:
        read = {
            "kernels": {kind: stack[:] for kind, stack in file["kernels"].items()},
            "layers": _read_layers(file),
            "step": file["step"][:],
            "epoch": file["epoch"][:],
            "probe": {key: values[:] for key, values in file["probe"].items()},
            "diverged": json.loads(file.attrs.get("diverged", "null")),
        }
        times, images = len(read["step"]), len(read["probe"]["label"])
        check(all(len(values) == images for values in read["probe"].values()), "parts of its probe differ in length")
        check(len(read["epoch"]) == times and bool((np.diff(read["step"]) > 0).all()), "its steps do not ascend")
        stacks = {f"kernels/{kind}": stack for kind, stack in read["kernels"].items()}
        for layer, share in read["layers"].items():
            check(share.keys() == read["kernels"].keys(), f"layers/{layer} has not the kernels of the whole network")
            stacks |= {f"layers/{layer}/{kind}": stack for kind, stack in share.items()}
        for name, stack in stacks.items():
            wanted = (times, images, images)
            check(stack.shape == wanted, f"{name} has the shape {stack.shape}, not {wanted}")
            check(bool(np.isfinite(stack).all()), f"{name} is not finite everywhere")
    return read


def _read_layers(file: Any) -> dict[str, dict[str, np.ndarray]]:
    order = file["layers"].attrs.get("order", list(file["layers"])) if "layers" in file else []
    return {layer: {kind: stack[:] for kind, stack in file[f"layers/{layer}"].items()} for layer in order}


# ------------------------------------------------------------------------------------------------------ tables
def _whole(path: str | Path) -> str:
    """The text of a table, whose last line is whole."""
    text = Path(path).read_text(encoding="utf-8")
    check(text.endswith("\n"), "it is cut off")
    return text


EVALUATION = {"step": int, "epoch": float, "class": int, "images": int, "test_accuracy": float, "test_loss": float}
FUNCTION = {"step": int, "epoch": float, "part": str, "class": int, "images": int, "distance": float, "change": float}


def read_rows(path: str | Path, kinds: dict[str, Callable[[str], Any]]) -> list[dict[str, Any]]:
    """Rows of a table with the columns `kinds`: of a segment's evaluation.csv, EVALUATION; of function-<hash>.csv, FUNCTION."""
    with reading(path):
        reader = csv.DictReader(io.StringIO(_whole(path)))
        check(list(reader.fieldnames or ()) == list(kinds), f"the columns {', '.join(kinds)} are expected")
        return [{key: kinds[key](value) for key, value in row.items()} for row in reader]


def read_table(path: str | Path):
    """A table as a pandas data frame."""
    import pandas as pd

    with reading(path):
        return pd.read_csv(io.StringIO(_whole(path)))


def read_tables(paths: Iterable[str | Path], column: str = "value"):
    """Tables as one pandas data frame, with the name of each in the column `run`; `column` must be finite.

    The metric tables of runs, or with the column `mean` the numbers of a figure.
    """
    import pandas as pd

    tables = []
    for path in paths:
        table = read_table(path)
        with reading(path):
            check(len(table) > 0 or column != "value", "it has no rows")  # a figure may have none
            check(bool(np.isfinite(table[column].astype(float)).all()), f"{column} is not finite everywhere")
        tables.append(table.assign(run=Path(path).stem))
    return pd.concat(tables, ignore_index=True)

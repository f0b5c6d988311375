"""Read files of kernels that were computed elsewhere (docs/data-format.md), and say what is wrong with one.

`structure` reads everything except the kernels, so that a study can be planned. `read_imported` reads and checks the
kernels too.
"""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reactivation.errors import InputError
from reactivation.storage.files import check, reading

ROUNDING = 1e-5  # share of the largest entry or eigenvalue by which float32 may break symmetry, or fall below 0


def structure(path: str | Path, kinds: Collection[str]) -> dict[str, Any]:
    """Everything that a file says about its run, except its kernels. InputError says what is wrong with the file.

    `kernels`: those of `kinds` that it has; `epochs`: those of each task; `parts`: the tasks with at least two images
    of the probe; `held_out`: whether the probe has held-out images; `steps`: whether it says the steps of
    checkpoints.
    """
    with _opened(path) as file:
        found, steps = _layout(file, kinds), "step" in file
    of_task = found["probe"]["task"]
    ends = found["epoch"][np.append(np.diff(found["task"]) > 0, True)]
    return {
        "kernels": found["kernels"],
        "epochs": np.diff(ends, prepend=0.0).round(9).tolist(),
        "parts": [
            int(k) for k, count in zip(*np.unique(of_task, return_counts=True), strict=True) if k > 0 and count > 1
        ],
        "held_out": bool(found["probe"]["held_out"].any()),
        "steps": steps,
    }


def read_imported(path: str | Path, kinds: Collection[str]) -> list[dict[str, Any]]:
    """The kernels of each task, as `storage.kernels.read_kernels` returns those of a segment.

    They are float64, and symmetric to the bit. InputError unless the file's were finite, symmetric and positive
    semi-definite, up to rounding.
    """
    with _opened(path) as file:
        found = _layout(file, kinds)
        kernels = {kind: file[f"kernels/{kind}"][:].astype(np.float64) for kind in found["kernels"]}
        for kind, stack in kernels.items():
            _check_values(f"kernels/{kind}", stack)
            kernels[kind] = (stack + stack.swapaxes(1, 2)) / 2
    members = [found["task"] == k for k in range(1, found["task"][-1] + 1)]
    return [
        {
            "kernels": {kind: stack[of_task] for kind, stack in kernels.items()},
            "layers": {},
            "step": found["step"][of_task],
            "epoch": found["epoch"][of_task],
            "probe": found["probe"],
        }
        for of_task in members
    ]


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[h5py.File]:
    with reading(path, "not a file of kernels", "correct it as docs/data-format.md says"):
        there = Path(path).exists()
        check(Path(path).is_file() or not there, "it is not a file")
    if not there:
        raise InputError(f"there is no {path}: put the file there, or name its folder with --config data_root=FOLDER")
    with reading(path, "not a file of kernels", "correct it as docs/data-format.md says"):
        with Path(path).open("rb"):  # its error says why it cannot be opened
            check(h5py.is_hdf5(path), "it is not an HDF5 file")
        with h5py.File(path) as file:
            yield file


def _layout(file: h5py.File, kinds: Collection[str]) -> dict[str, Any]:
    """Everything but the kernels; `kernels` has only the names of those that the file has."""
    label, epoch = _whole(file, "probe/label"), _numbers(file, "epoch")
    times, images = len(epoch), len(label)
    check(
        times > 0 and images > 1,
        f"{times} checkpoints of {images} images are too few: at least 1 checkpoint and 2 images are needed",
    )
    check(epoch[0] >= 0 and bool((np.diff(epoch) > 0).all()), "epoch does not ascend from 0 or later")
    step = _whole(file, "step", times, np.arange(times))
    check(bool((np.diff(step) > 0).all()), "step does not ascend")
    task = _whole(file, "task", times, np.ones(times))
    check(task[0] == 1 and set(np.diff(task)) <= {0, 1}, "task does not count 1, 2, … without gaps")
    probe = {
        "label": label,
        "task": _whole(file, "probe/task", images, np.zeros(images)),
        "held_out": _whole(file, "probe/held_out", images, np.zeros(images)).astype(bool),
    }
    check(probe["task"].min() >= 0, "probe/task is below 0")
    names = [kind for kind in kinds if kind in file.get("kernels", ())]
    check(bool(names), f"it has none of {', '.join(f'kernels/{kind}' for kind in kinds)}")
    for kind in names:
        _check_shape(file, f"kernels/{kind}", (times, images, images))
    return {"kernels": names, "step": step, "epoch": epoch, "task": task, "probe": probe}


def _numbers(file: h5py.File, name: str, count: int | None = None, default: np.ndarray | None = None) -> np.ndarray:
    """The data set `name`, of `count` (None: any) finite numbers; `default` if it is not there."""
    if default is not None and name not in file:
        return default
    _check_shape(file, name, (count,))
    values = file[name][:]
    check(bool(np.isfinite(values).all()), f"{name} is not finite everywhere")
    return values.astype(np.float64)


def _whole(file: h5py.File, name: str, count: int | None = None, default: np.ndarray | None = None) -> np.ndarray:
    values = _numbers(file, name, count, default)
    whole = (values == np.round(values)) & (np.abs(values) < 2**53)
    check(bool(whole.all()), f"{name} does not hold whole numbers")
    return values.astype(np.int64)


def _check_shape(file: h5py.File, name: str, shape: tuple[int | None, ...]) -> None:
    """Raise ValueError unless the data set has real numbers in that shape; None in `shape` is any length."""
    found = file.get(name)
    check(isinstance(found, h5py.Dataset), f"it has no data set {name}")
    check(found.dtype.kind in "biuf", f"{name} does not hold real numbers")
    fits = len(found.shape) == len(shape) and all(w in (None, n) for n, w in zip(found.shape, shape, strict=True))
    check(fits, f"{name} has the shape {found.shape}, not {str(shape).replace('None', 'any')}")


def _check_values(name: str, stack: np.ndarray) -> None:
    """Raise ValueError, with the number of the first checkpoint whose kernel is invalid."""
    for t, K in enumerate(stack):
        where = f"{name}[{t}] is not"
        check(bool(np.isfinite(K).all()), f"{where} finite everywhere")
        check(bool(np.abs(K - K.T).max() <= ROUNDING * np.abs(K).max()), f"{where} symmetric")
        values = np.linalg.eigvalsh(K)
        check(values[0] >= -ROUNDING * np.abs(values).max(), f"{where} positive semi-definite")

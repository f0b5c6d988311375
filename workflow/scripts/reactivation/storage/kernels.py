"""The HDF5 file of a segment's kernels."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reactivation.storage.files import check, reading
from reactivation.storage.hdf5 import add, new_hdf5


def write_kernels(
    path: str | Path,
    kernels: dict[str, np.ndarray],
    step: np.ndarray,
    epoch: np.ndarray,
    probe: dict[str, np.ndarray],
    attributes: dict[str, Any],
    layers: dict[str, dict[str, np.ndarray]] | None = None,
) -> None:
    """Write `/kernels/<kind>` (T, n, n) float64, `/step` and `/epoch` (T,), `/probe/{index,label,held_out,task}` (n,).

    Each layer's share of `kernels`, if given, goes to `/layers/<layer>/<kind>`. HDF5 sorts names, so the attribute
    `order` of `/layers` lists the layers in the network's order.
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
    """Read `kernels` {kind: (T, n, n)}, `step`, `epoch` (T,) and `probe` {index, label, held_out, task: (n,)}.

    Also `layers` {layer: {kind: (T, n, n)}}, in the network's order, empty if they were not computed; and `diverged`:
    None, or the step, epoch and task of the first checkpoint whose kernels were not finite. InputError if the file is
    damaged.
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
            check(share.keys() == read["kernels"].keys(), f"layers/{layer} has other kernels than the whole network")
            stacks |= {f"layers/{layer}/{kind}": stack for kind, stack in share.items()}
        for name, stack in stacks.items():
            wanted = (times, images, images)
            check(stack.shape == wanted, f"{name} has the shape {stack.shape}, not {wanted}")
            check(bool(np.isfinite(stack).all()), f"{name} is not finite everywhere")
    return read


def _read_layers(file: Any) -> dict[str, dict[str, np.ndarray]]:
    order = file["layers"].attrs.get("order", list(file["layers"])) if "layers" in file else []
    return {layer: {kind: stack[:] for kind, stack in file[f"layers/{layer}"].items()} for layer in order}

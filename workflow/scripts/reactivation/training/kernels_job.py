"""The job of the rule `ntk`: the kernels of every checkpoint of one segment, from its files to one HDF5 file."""

import contextlib
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from reactivation.data.indices import first_task
from reactivation.errors import InputError
from reactivation.jobs.memory import memory_limit
from reactivation.jobs.provenance import host, provenance, versions
from reactivation.jobs.workplace import workplace
from reactivation.ntk import empirical_ntk
from reactivation.ntk.guards import default_memory_limit
from reactivation.storage.arrays import read_arrays, write_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_class_count, read_digest
from reactivation.storage.files import archive_digest
from reactivation.storage.kernels import write_kernels
from reactivation.storage.receipts import checkpoint_paths
from reactivation.training import networks
from reactivation.training.batches import probe_images
from reactivation.training.device import device_name, set_up_device

if TYPE_CHECKING:
    from reactivation.data import specs

PACKAGES = ("torch", "numpy", "h5py", "numba")
SAVE_EVERY = 1  # seconds between saves, at least: a kill loses the kernel in progress anyway

Row = dict[str, Any]  # one checkpoint: its kernels by name, digest, step, epoch, seconds, peak_bytes


def kernels_job(
    segment: str,
    name: str,
    spec: "specs.Kernels",
    code: list[str],
    inputs: Any,
    output: str,
    resources: Any,
    where: dict[str, Any],
    threads: int,
) -> None:
    """Write the kernels called `name` of the segment called `segment` to the file `output`.

    `inputs`: paths `dataset`, `probe` and `checkpoints`, a folder. `resources`: those that the job asked Snakemake for.
    `where`: `device`, `record_host` and, where `verify` makes kernels again, `first`, the number of checkpoints.
    Finished kernels are saved until the job is done, so that another job can go on from them.
    """
    started = time.time()
    read = {"dataset": read_digest(inputs["dataset"]), "probe": archive_digest(inputs["probe"])}
    with workplace(segment, name, spec=spec, code=code, versions=versions(PACKAGES), inputs=read) as folder:
        chosen = set_up_device(where["device"], threads)
        probe = read_arrays(inputs["probe"])
        images = probe_images(chosen, inputs["dataset"], probe)
        x, _ = images.batch()
        of = spec["segment"]
        model = networks.build(of["model"], images.image_size, read_class_count(inputs["dataset"])).to(chosen).eval()
        paths = checkpoint_paths(inputs["checkpoints"])[: where.get("first")]
        rows, diverged = kernels_of(paths, model, x, spec, resources, folder / "kernels.npz")
        if diverged:
            print(f"diverged: the kernels at step {diverged['step']} of the run are not finite")
        table = stacked(rows) if rows else empty(kernel_names(model, spec), len(x))
        labels = images.labels.cpu().numpy()
        write_kernels(
            output,
            {kind: table[kind] for kind in spec["kernels"]},
            table["step"],
            table["epoch"],
            probe | {"task": first_task(labels, of["tasks"])},
            {
                **provenance(spec, code, started, PACKAGES),
                **host(where),
                "device": device_name(chosen),
                "dtype": str(x.dtype).removeprefix("torch."),
                "diverged": json.dumps(diverged),
                "seconds_per_checkpoint": table["seconds"],
                "peak_bytes_per_checkpoint": table["peak_bytes"],
            },
            {layer: {kind: table[f"{layer}/{kind}"] for kind in spec["kernels"]} for layer in layers(model, spec)},
        )


def kernels_of(
    paths: list[Path], model: nn.Module, x: Tensor, spec: "specs.Kernels", resources: Any, saved: Path
) -> tuple[list[Row], dict | None]:
    """Rows of the checkpoints before the first whose kernels are not finite; its step, epoch and task, or None.

    Kernels of the same weights that a killed job left in the file `saved` are taken from there.
    """
    rows = rows_in(saved)
    names, count = kernel_names(model, spec), len(paths)
    most, total = default_memory_limit(x.device), 8 * count * len(x) ** 2 * len(names)
    limit = memory_limit(resources, model, x.device.type == "cuda", most, total)
    last, wait = time.monotonic(), float(SAVE_EVERY)
    found: list[Row] = []
    proved = False
    for i, path in enumerate(paths):
        digest = archive_digest(path)
        if digest not in rows:
            prove = i == count - 1 or not proved  # the first that this job computes, and the last
            rows[digest] = {"checkpoint": digest, **kernels_row(path, model, x, spec, limit, prove)}
            proved = True
            seconds = rows[digest]["seconds"]
            left = timedelta(seconds=int(seconds * (count - i - 1)))
            at = f"checkpoint {i + 1}/{count}  epoch {rows[digest]['epoch']:.3f}"
            print(f"{at}  {seconds:.2f} s  {left} left", flush=True)
        row = rows[digest]
        if not all(np.isfinite(row[name]).all() for name in names):
            task = len(spec["segment"]["tasks"])
            return found, {"step": int(row["step"]), "epoch": float(row["epoch"]), "task": task}
        found.append(row)
        if time.monotonic() - last > wait:
            began = time.monotonic()
            write_arrays(saved, **stacked(list(rows.values())))
            last = time.monotonic()
            wait = max(SAVE_EVERY, 20 * (last - began))  # large probes take longer: 5 % of the time at most
    return found, None


def rows_in(saved: Path) -> dict[str, Row]:
    """The rows that a killed job saved, by the digests of their checkpoints."""
    if not saved.exists():
        return {}
    found = read_arrays(saved)
    print(f"{len(found['checkpoint'])} checkpoints' kernels were saved: going on after them")
    return {digest: {key: found[key][i] for key in found} for i, digest in enumerate(found["checkpoint"])}


def kernels_row(path: Path, model: nn.Module, x: Tensor, spec: "specs.Kernels", limit: int, prove: bool) -> Row:
    """The kernels of one checkpoint, computed in `limit` bytes, and proved if so asked."""
    checkpoint = read_checkpoint(path)
    model.load_state_dict(checkpoint["model"])
    reset_peak(x.device)
    began = time.perf_counter()
    try:
        computed = kernels_by_name(model, x, spec, limit, prove)
    except ValueError as error:  # there is no such kernel, or it could not be proved
        raise InputError(f"{path.name}: {error}") from error
    seconds = time.perf_counter() - began
    return {
        **computed,
        "step": np.int64(checkpoint["step"]),
        "epoch": np.float64(checkpoint["epoch"]),
        "seconds": np.float64(seconds),
        "peak_bytes": np.int64(peak_bytes(x.device)),
    }


def kernels_by_name(
    model: nn.Module, x: Tensor, spec: "specs.Kernels", limit: int, prove: bool
) -> dict[str, np.ndarray]:
    """The kernels (n, n) of a network, by `kernel_names`. A layer's kernel is the sum of its modules' shares."""
    per_layer = bool(layers(model, spec))
    options: Any = {"per_layer": per_layer, "memory_limit": limit, "prove": prove}
    computed = empirical_ntk(model, x, kernels=spec["kernels"], **options)
    found: dict[str, Any] = dict.fromkeys(kernel_names(model, spec), 0.0) | computed
    for module, share in computed.layers.items():
        for kind in spec["kernels"]:
            found[f"{networks.layer_of(module)}/{kind}"] += share[kind]
    return found


def kernel_names(model: nn.Module, spec: "specs.Kernels") -> list[str]:
    """`<kind>` for each kind of kernel, and `<layer>/<kind>` for each layer's share."""
    kinds = spec["kernels"]
    return [*kinds, *(f"{layer}/{kind}" for layer in layers(model, spec) for kind in kinds)]


def layers(model: nn.Module, spec: "specs.Kernels") -> list[str]:
    """The layers whose shares are computed: empty unless the spec asks for them."""
    return networks.layer_names(model) if spec.get("layers") else []


def stacked(rows: list[Row]) -> dict[str, np.ndarray]:
    """Stack rows with the same keys into one array for each key."""
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def empty(names: list[str], images: int) -> dict[str, np.ndarray]:
    """What `stacked` would return for no rows."""
    table = dict.fromkeys(names, np.empty((0, images, images))) | {"step": np.empty(0, dtype=np.int64)}
    return table | {key: np.empty(0) for key in ("epoch", "seconds", "peak_bytes")}


def reset_peak(device: torch.device) -> None:
    """Start counting the peak of memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak is then that of the job so far
            Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device: torch.device) -> int:
    """Peak bytes since `reset_peak`: allocated by torch on a GPU, of the whole process on Linux, else 0 (unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)

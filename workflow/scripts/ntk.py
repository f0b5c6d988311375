"""Compute the kernels of every checkpoint of one segment."""

from reactivation.job import logged

# isort: split
import contextlib
import json
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import torch
from reactivation import files, models, storage
from reactivation.memory import memory_limit
from reactivation.ntk import default_memory_limit, empirical_ntk
from reactivation.provenance import provenance, versions
from reactivation.state import workplace
from reactivation.tasks import first_task
from reactivation.training import Images, device_name, set_up_device

PACKAGES = ("torch", "numpy", "h5py", "numba")
KINDS, LAYERS = snakemake.params.spec["kernels"], snakemake.params.spec.get("layers", False)
INPUT, SPEC, SEGMENT = snakemake.input, snakemake.params.spec["segment"], snakemake.wildcards.segment
SAVE_EVERY = 1  # second at least: a kernel that is being computed when the job is killed is lost anyway


def reset_peak(device):
    """Start counting the peak of memory anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):  # no Linux, or not allowed: the peak is then that of the job so far
            Path("/proc/self/clear_refs").write_text("5")


def peak_bytes(device):
    """Peak bytes since `reset_peak`: allocated by torch on a GPU, of the whole process on Linux, else 0 (unknown)."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM")), 0)


def layers(model):
    """Those whose shares are computed: none unless asked for."""
    return models.layer_names(model) if LAYERS else []


def names(model):
    """Of the kernels of each checkpoint: `<kind>`, and of each layer `<layer>/<kind>`."""
    return [*KINDS, *(f"{layer}/{kind}" for layer in layers(model) for kind in KINDS)]


def kernels_by_name(model, x, limit):
    """The kernels (n, n) of a network, as `names` has them: of a layer with several modules the sum of their shares."""
    computed = empirical_ntk(model, x, kernels=KINDS, per_layer=LAYERS, memory_limit=limit)
    found = dict.fromkeys(names(model), 0.0) | computed
    for module, share in computed.layers.items():
        for kind in KINDS:
            found[f"{models.layer_of(module)}/{kind}"] += share[kind]
    return found


def kernels_of(
    paths: list[Path], model: torch.nn.Module, x: torch.Tensor, saved: Path
) -> tuple[list[dict[str, np.ndarray]], dict | None]:
    """Of each checkpoint before the first whose kernels are not finite: step, epoch, kernels, `seconds` and `peak_bytes`;
    and of that one, if any, step, epoch and task.

    Kernels of the same weights that a killed job left in `saved` are taken from there.
    """
    found = storage.read_arrays(saved) if saved.exists() else {"checkpoint": []}
    rows = {digest: {key: found[key][i] for key in found} for i, digest in enumerate(found["checkpoint"])}
    if rows:
        print(f"{len(rows)} kernels were saved")
    last, wait, of_paths = time.monotonic(), SAVE_EVERY, []
    kernels, most = 8 * len(paths) * len(x) ** 2 * len(names(model)), default_memory_limit(x.device)
    limit = memory_limit(snakemake.resources, model, x.device.type == "cuda", most, kernels)
    for i, path in enumerate(paths):
        digest = files.archive_digest(path)
        if digest not in rows:
            checkpoint = storage.read_checkpoint(path)
            model.load_state_dict(checkpoint["model"])
            reset_peak(x.device)
            began = time.perf_counter()
            computed = kernels_by_name(model, x, limit)
            seconds = time.perf_counter() - began
            rows[digest] = {
                **computed,
                "checkpoint": digest,
                "step": np.int64(checkpoint["step"]),
                "epoch": np.float64(checkpoint["epoch"]),
                "seconds": np.float64(seconds),
                "peak_bytes": np.int64(peak_bytes(x.device)),
            }
            left = timedelta(seconds=int(seconds * (len(paths) - i - 1)))
            at = f"checkpoint {i + 1}/{len(paths)}  epoch {checkpoint['epoch']:.3f}"
            print(f"{at}  {seconds:.2f} s  {left} left", flush=True)
        row = rows[digest]
        if not all(np.isfinite(row[name]).all() for name in names(model)):
            return of_paths, {"step": int(row["step"]), "epoch": float(row["epoch"]), "task": len(SPEC["tasks"])}
        of_paths.append(row)
        if time.monotonic() - last > wait:
            began = time.monotonic()
            storage.write_arrays(saved, **stacked(list(rows.values())))
            last = time.monotonic()
            wait = max(SAVE_EVERY, 20 * (last - began))  # of a large probe, so as to be 5 % of the work at most
    return of_paths, None


def stacked(rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {key: np.stack([row[key] for row in rows]) for key in rows[0]}


def compute(saved: Path) -> None:
    """Write the output; what is computed so far goes to `saved`."""
    started = time.time()
    device = set_up_device(snakemake.config["where"]["device"], snakemake.threads)
    probe = storage.read_arrays(INPUT.probe)
    mean, std, classes = storage.read_normalisation(INPUT.dataset)
    pixels, labels = storage.read_probe_images(INPUT.dataset, probe)
    x, _ = Images.on(device, pixels, labels, mean, std).batch(slice(None))
    model = models.build(SPEC["model"], pixels.shape[1], classes).to(device).eval()
    paths = sorted(Path(INPUT.checkpoints).glob("step*.pt"))
    rows, diverged = kernels_of(paths, model, x, saved)
    if diverged:
        print(f"diverged: the kernels of step {diverged['step']} of the run are not finite")
    empty = dict.fromkeys(names(model), np.empty((0, len(x), len(x)))) | {"step": np.empty(0, dtype=np.int64)}
    empty |= {key: np.empty(0) for key in ("epoch", "seconds", "peak_bytes")}
    table = stacked(rows) if rows else empty
    storage.write_kernels(
        snakemake.output[0],
        {kind: table[kind] for kind in KINDS},
        table["step"],
        table["epoch"],
        probe | {"task": first_task(labels, SPEC["tasks"])},
        {
            **provenance(snakemake.params.spec, snakemake.params.code, started, PACKAGES),
            "device": device_name(device),
            "dtype": str(x.dtype).removeprefix("torch."),
            "diverged": json.dumps(diverged),
            "seconds_per_checkpoint": table["seconds"],
            "peak_bytes_per_checkpoint": table["peak_bytes"],
        },
        {layer: {kind: table[f"{layer}/{kind}"] for kind in KINDS} for layer in layers(model)},
    )


with logged(snakemake.log[0]):
    identity = {
        "spec": snakemake.params.spec,
        "code": snakemake.params.code,
        "versions": versions(PACKAGES),
        "inputs": {"dataset": storage.read_digest(INPUT.dataset), "probe": files.archive_digest(INPUT.probe)},
    }
    with workplace(SEGMENT, snakemake.wildcards.kernels, **identity) as place:
        compute(place / "kernels.npz")

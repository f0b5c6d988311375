"""Compute the kernels of every checkpoint of one segment."""

from reactivation.job import logged

# isort: split
import contextlib
import time
from pathlib import Path

import numpy as np
import torch
from reactivation import models, storage
from reactivation.ntk import empirical_ntk
from reactivation.provenance import provenance
from reactivation.tasks import first_task
from reactivation.training import Images, device_name, set_up_device


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


with logged(snakemake.log[0]):
    started = time.time()
    spec, kinds = snakemake.params.spec["segment"], snakemake.params.spec["kernels"]
    device = set_up_device(snakemake.config["where"]["device"], snakemake.threads)
    probe = storage.read_arrays(snakemake.input.probe)
    mean, std, classes = storage.read_normalisation(snakemake.input.dataset)
    pixels, labels = storage.read_probe_images(snakemake.input.dataset, probe)
    x, _ = Images.on(device, pixels, labels, mean, std).batch(slice(None))
    model = models.build(spec["model"], pixels.shape[1], classes).to(device).eval()

    paths = sorted(Path(snakemake.input.checkpoints).glob("step*.pt"))
    stacks = {kind: np.empty((len(paths), len(x), len(x))) for kind in kinds}
    step, epoch = np.empty(len(paths), dtype=np.int64), np.empty(len(paths))
    seconds, peak = np.empty(len(paths)), np.empty(len(paths), dtype=np.int64)
    for i, path in enumerate(paths):
        checkpoint = storage.read_checkpoint(path)
        model.load_state_dict(checkpoint["model"])
        step[i], epoch[i] = checkpoint["step"], checkpoint["epoch"]
        reset_peak(device)
        began = time.perf_counter()
        for kind, kernel in empirical_ntk(model, x, kernels=kinds).items():
            stacks[kind][i] = kernel
        seconds[i], peak[i] = time.perf_counter() - began, peak_bytes(device)
        print(f"checkpoint {i + 1}/{len(paths)}  epoch {epoch[i]:.3f}  {seconds[i]:.2f} s", flush=True)

    storage.write_kernels(
        snakemake.output[0],
        stacks,
        step,
        epoch,
        probe | {"task": first_task(labels, spec["tasks"])},
        {
            **provenance(snakemake.params.spec, snakemake.params.code, started, ("torch", "numpy", "h5py")),
            "device": device_name(device),
            "dtype": str(x.dtype).removeprefix("torch."),
            "seconds_per_checkpoint": seconds,
            "peak_bytes_per_checkpoint": peak,
        },
    )

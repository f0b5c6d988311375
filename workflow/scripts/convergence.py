"""Compare the kernels of untrained networks of each width with those of the next."""

from reactivation.job import logged

# isort: split
import time

import numpy as np
import torch
from reactivation import models, storage
from reactivation.convergence import distances
from reactivation.errors import InputError
from reactivation.memory import memory_limit
from reactivation.ntk import default_memory_limit, empirical_ntk
from reactivation.provenance import provenance
from reactivation.seeds import stream
from reactivation.training import Images, device_name, set_up_device

PACKAGES = ("torch", "numpy", "h5py", "numba")
SPEC, INPUT = snakemake.params.spec, snakemake.input
AT = {"task": 1, "step": 0, "epoch": 0.0, "progress": 0.0, "metric": "convergence", "layer": "", "block": "all"}


def kernels_at_initialisation(x: torch.Tensor, classes: int) -> dict[str, np.ndarray]:
    """Of each kind (widths, initialisations, n, n): every network has random weights of its own."""
    found: dict[str, list] = {kind: [] for kind in SPEC["kernels"]}
    for width in SPEC["widths"]:
        began = time.perf_counter()
        for i in range(SPEC["initialisations"]):
            torch.manual_seed(stream(i, "init", width))
            model = models.build(SPEC["model"] | {"width": width}, x.shape[-1], classes).to(x.device).eval()
            most = default_memory_limit(x.device)
            limit = memory_limit(snakemake.resources, model, x.device.type == "cuda", most)
            for kind, kernel in empirical_ntk(model, x, kernels=SPEC["kernels"], memory_limit=limit).items():
                if not np.isfinite(kernel).all():
                    raise InputError(
                        f"the kernel at initialisation is not finite at width {width}: choose other widths"
                    )
                found[kind].append(kernel)
        print(f"width {width}  {time.perf_counter() - began:.2f} s", flush=True)
    shape = (len(SPEC["widths"]), SPEC["initialisations"], len(x), len(x))
    return {kind: np.reshape(of_kind, shape) for kind, of_kind in found.items()}


with logged(snakemake.log[0]):
    started = time.time()
    device = set_up_device(snakemake.config["where"]["device"], snakemake.threads)
    mean, std, classes = storage.read_normalisation(INPUT.dataset)
    images = storage.read_probe_images(INPUT.dataset, storage.read_arrays(INPUT.probe))
    x, _ = Images.on(device, *images, mean, std).batch(slice(None))
    rows = []
    for kind, kernels in kernels_at_initialisation(x, classes).items():
        pairs = distances(kernels)
        for place in np.ndindex(pairs.shape):
            w, i, j = place
            widths = {"width": SPEC["widths"][w], "seed": i, "other": SPEC["widths"][w + 1], "other_seed": j}
            rows.append(
                {"experiment": SPEC["experiment"]} | widths | AT | {"kernel": kind, "value": float(pairs[place])}
            )
    storage.write_rows(snakemake.output.csv, rows)
    origin = provenance(SPEC, snakemake.params.code, started, PACKAGES) | {
        "config": SPEC,
        "device": device_name(device),
    }
    storage.write_json(snakemake.output.origin, origin)

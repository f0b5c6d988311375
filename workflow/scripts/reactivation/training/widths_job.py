"""The job of the rule `convergence`: how far kernels of untrained networks are from those of the next width."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reactivation.analysis.width_convergence import distances
from reactivation.data.images import Images
from reactivation.errors import InputError
from reactivation.jobs.memory import memory_limit
from reactivation.jobs.provenance import host, provenance, without_folders
from reactivation.ntk import empirical_ntk
from reactivation.ntk.guards import default_memory_limit
from reactivation.seeds import stream
from reactivation.storage.arrays import read_arrays
from reactivation.storage.datasets import read_class_count
from reactivation.storage.files import write_json
from reactivation.storage.rows import write_rows
from reactivation.training import networks
from reactivation.training.batches import probe_images
from reactivation.training.device import device_name, set_up_device

if TYPE_CHECKING:
    from reactivation.data import specs

PACKAGES = ("torch", "numpy", "h5py", "numba")
AT = {"task": 1, "step": 0, "epoch": 0.0, "progress": 0.0, "metric": "convergence", "layer": "", "block": "all"}


def widths_job(
    spec: "specs.Convergence",
    code: list[str],
    inputs: Any,
    outputs: Any,
    resources: Any,
    where: dict[str, Any],
    threads: int,
) -> None:
    """Write the distances of all pairs of networks of neighbouring widths to `csv`, their provenance to `origin`.

    `inputs`: paths `dataset` and `probe`. `where`: `device` and `record_host`.
    """
    started = time.time()
    chosen = set_up_device(where["device"], threads)
    images = probe_images(chosen, inputs["dataset"], read_arrays(inputs["probe"]))
    kernels = kernels_at_initialisation(spec, images, read_class_count(inputs["dataset"]), resources)
    rows = [row for kind, stack in kernels.items() for row in distance_rows(spec, kind, distances(stack))]
    write_rows(outputs["csv"], rows)
    about = {**host(where), "config": without_folders(spec), "device": device_name(chosen)}
    write_json(outputs["origin"], provenance(spec, code, started, PACKAGES) | about)


def kernels_at_initialisation(
    spec: "specs.Convergence", images: Images, classes: int, resources: Any
) -> dict[str, np.ndarray]:
    """Each kind of kernel (widths, initialisations, n, n), of networks with independent random weights."""
    x, _ = images.batch()
    found: dict[str, list] = {kind: [] for kind in spec["kernels"]}
    for width in spec["widths"]:
        began = time.perf_counter()
        for i in range(spec["initialisations"]):
            torch.manual_seed(stream(i, "init", width))
            model = networks.build(spec["model"] | {"width": width}, images.image_size, classes).to(x.device).eval()
            limit = memory_limit(resources, model, x.device.type == "cuda", default_memory_limit(x.device))
            computed = empirical_ntk(model, x, kernels=spec["kernels"], memory_limit=limit, prove=i == 0)
            for kind, kernel in computed.items():
                if not np.isfinite(kernel).all():
                    raise InputError(
                        f"the kernel at initialisation is not finite at width {width}: choose other widths"
                    )
                found[kind].append(kernel)
        print(f"width {width}  {time.perf_counter() - began:.2f} s", flush=True)
    shape = (len(spec["widths"]), spec["initialisations"], len(x), len(x))
    return {kind: np.reshape(of_kind, shape) for kind, of_kind in found.items()}


def distance_rows(spec: "specs.Convergence", kind: str, pairs: np.ndarray) -> list[dict[str, Any]]:
    """A row for each pair of networks; `pairs` (widths − 1, initialisations, initialisations)."""
    rows = []
    for place in np.ndindex(pairs.shape):
        w, i, j = place
        widths = {"width": spec["widths"][w], "seed": i, "other": spec["widths"][w + 1], "other_seed": j}
        rows.append({"experiment": spec["experiment"]} | widths | AT | {"kernel": kind, "value": float(pairs[place])})
    return rows

"""What a job asks a cluster for: minutes, memory, and memory of a GPU.

These are estimates from the plan, rather too high than too low: a job gets only what it asks for. A job that is cut off
nevertheless asks for more the next time, and goes on from what it saved.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reactivation.data.facts import Counts, class_count, image_size
from reactivation.jobs.memory import CONTEXT, COPIES, HELD, PROCESS
from reactivation.jobs.schedule import EVALUATION_BATCH, is_linearized
from reactivation.planning.network_sizes import FLOAT, network
from reactivation.planning.plan import Plan
from reactivation.planning.segment_costs import (
    convergence_operations,
    images_held,
    moments,
    probe_images,
    seed_count,
    segment_cost,
)

if TYPE_CHECKING:
    from reactivation.data import specs

RATE = {"cpu": 2e10, "cuda": 2e12}  # operations per second that most networks exceed, on one thread or on a GPU
STEP = {"cpu": 2e-3, "cuda": 5e-3}  # seconds of an optimizer step of the smallest network
CHECKPOINT = 1.0  # seconds that a checkpoint's kernels take at least
WRITING = 5e7  # bytes written per second
START = 300  # seconds: a busy file system may take minutes to hand out torch
MARGIN = 2  # factor on seconds: nodes differ in speed
KERNELS = (0.5e9, 4.3e9)  # bytes for computing kernels: the least, and the most that is of use


@dataclass(frozen=True)
class Request:
    """What one job asks for."""

    seconds: float
    working: float  # bytes besides the libraries
    device: str
    held: float = 0  # further bytes, which are never on a GPU

    @property
    def minutes(self) -> int:
        return math.ceil((START + MARGIN * self.seconds) / 60)

    @property
    def memory(self) -> int:
        """MB of main memory, enough with and without a GPU if `device` leaves that open."""
        return math.ceil((PROCESS[self.device] + self.working + self.held) / 1e6)

    @property
    def gpu_memory(self) -> int:
        """MB of a GPU's memory."""
        return 0 if self.device == "cpu" else math.ceil((CONTEXT + self.working) / 1e6)


def request(plan: Plan, name: str, counts: Counts, device: str, stated: float | None) -> Request:
    """What the training of the segment `name`, or the job of the kernels `name`, asks for.

    `counts`: the images of each class of its data set. `device` and `stated`: the study's `device` and
    `flops_per_second`.
    """
    kernels = plan.kernels.get(name)
    spec = plan.segments[kernels.segment if kernels else name].spec
    probe = (probe_images(plan, kernels), kernels.kinds, kernels.layers) if kernels else None
    cost, chip = segment_cost(spec, [probe] if probe else [], counts), "cpu" if device == "cpu" else "cuda"
    rate = stated or RATE[chip]
    seconds = cost.checkpoints * cost.weights / WRITING
    if probe:
        seconds += cost.contractions / rate + cost.checkpoints * CHECKPOINT + HELD * cost.kernels / WRITING
        return Request(seconds, kernel_bytes(spec, len(counts[0]), *probe[:2]), chip, HELD * cost.kernels)
    return Request(seconds + cost.training / rate + cost.steps * STEP[chip], training_bytes(spec, counts), chip)


def convergence_request(spec: "specs.Convergence", device: str, stated: float | None) -> Request:
    """What the kernels of untrained networks of several widths ask for; they are computed one after the other."""
    chip, probe = "cpu" if device == "cpu" else "cuda", spec["probe"]
    networks, images = len(spec["widths"]) * spec["initialisations"], probe["size"] + probe["held_out"]
    seconds = convergence_operations(spec) / (stated or RATE[chip]) + networks * CHECKPOINT
    results = networks * len(spec["kernels"]) * 8 * images**2
    widest = {"dataset": probe["dataset"], "model": spec["model"] | {"width": spec["widths"][-1]}}
    working = kernel_bytes(widest, class_count(probe["dataset"]), images, spec["kernels"])
    return Request(seconds, working, chip, 2 * results)


def training_bytes(spec: "specs.Segment", counts: Counts) -> float:
    """Bytes of a training: weights, gradients, moments, copies that wait to be written, state; activations; images."""
    of, size = network(spec["model"], image_size(spec["dataset"]), len(counts[0])), image_size(spec["dataset"])
    weights = of.bytes * (6 + 2 * moments(spec["training"]))
    largest = max(layer.outputs for layer in of.layers)
    # An expansion also has directional derivatives.
    kept, passing = (15, 2) if is_linearized(spec) else (6, 1)
    tested = EVALUATION_BATCH * passing * (2 * largest + of.outputs)
    activations = FLOAT * max(kept * spec["training"]["batch_size"] * of.outputs, tested)
    images = images_held(spec, counts) * 3 * size**2
    return weights + activations + 2 * images  # twice: a task's images are picked from blocks of all images


def kernel_bytes(spec: Any, classes: int, images: int, kinds: list[str]) -> float:
    """Bytes of kernels: weights, also as float64; cotangents of all layers, over half of which are 0; results."""
    of = network(spec["model"], image_size(spec["dataset"]), classes)
    cotangents = 2 * FLOAT * images * seed_count(of, kinds) * of.outputs
    results = 3 * 8 * (images * classes) ** 2 if "full" in kinds else 0
    return COPIES * of.bytes + min(max(cotangents, KERNELS[0]), KERNELS[1]) + results

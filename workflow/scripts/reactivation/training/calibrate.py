"""How fast this machine trains a plan's networks and computes their kernels."""

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from reactivation.data.facts import class_count, image_size
from reactivation.data.images import Images
from reactivation.ntk import empirical_ntk
from reactivation.planning.budget_table import Rates, data_bytes, lines_on_rates, table
from reactivation.planning.plan import Plan
from reactivation.planning.segment_costs import Cost, all_image_counts, costs, probe_images
from reactivation.training.device import allow_tf32
from reactivation.training.linearized import function_of
from reactivation.training.loop import step_on
from reactivation.training.networks import build
from reactivation.training.optimizer import new_optimizer

if TYPE_CHECKING:
    from reactivation.data import specs

PATIENCE = 2.0  # seconds that one measurement may take


def calibrate(plan: Plan, of_segments: dict[str, Cost], device: torch.device) -> tuple[Rates, Rates]:
    """Measure how fast this device trains the plan's networks and computes their kernels, from the smallest on.

    A CPU uses one thread, as in jobs. Whatever would take longer than PATIENCE is not measured. It gets the rate of the
    largest that was, which on a CPU is too slow rather than too fast.
    """
    training: Rates = []
    kernels: Rates = []
    for rates, key, measure in ((training, "step", _time_step), (kernels, "contraction", _time_kernels)):
        allow_tf32(key == "step")
        began = time.perf_counter()
        seen: set[tuple[float, str]] = set()
        for name in sorted(plan.segments, key=lambda name: getattr(of_segments[name], key)):
            work, precision = getattr(of_segments[name], key), plan.segments[name].spec["training"]["precision"]
            largest = max((of for of, _ in seen), default=0)
            # About the same rate; or nothing to do, as for kernels of linearised twins.
            if not work or (work, precision) in seen or largest < work < 4 * largest:
                continue
            if (rates and work / rates[-1][1] > PATIENCE) or time.perf_counter() - began > 4 * PATIENCE:
                break
            measured = work / measure(plan, name, device)
            if work == largest:  # measured in both precisions: the slower one counts
                measured = min(measured, rates.pop()[1])
            rates.append((work, measured))
            seen.add((work, precision))
    return training, kernels


def _random_images(spec: "specs.Segment", count: int, classes: int, device: torch.device) -> Images:
    rng, size = np.random.default_rng(0), image_size(spec["dataset"])
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Images.on(device, pixels, rng.integers(0, classes, count), np.full(3, 0.5), np.full(3, 0.25))


def _time_step(plan: Plan, name: str, device: torch.device) -> float:
    """Seconds that an optimizer step of a segment takes: the fastest of several, without the first."""
    spec = plan.segments[name].spec
    classes = class_count(spec["dataset"])
    batch = _random_images(spec, spec["training"]["batch_size"], classes, device)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # missing from torch's annotations
    model = build(spec["model"], image_size(spec["dataset"]), classes).to(device, **layout)
    optimizer = new_optimizer(model, spec["model"], spec["training"])
    precision = spec["training"]["precision"]
    function = function_of(model, spec)
    model.train()
    return _fastest(lambda: step_on(function, optimizer, *batch.batch(slice(None)), precision), device)


def _time_kernels(plan: Plan, name: str, device: torch.device) -> float:
    """Seconds that the kernels of one checkpoint of a segment take."""
    spec, classes = plan.segments[name].spec, class_count(plan.segments[name].spec["dataset"])
    model = build(spec["model"], image_size(spec["dataset"]), classes).to(device).eval()
    probes = [(probe_images(plan, k), k.kinds) for k in plan.kernels.values() if k.segment == name]

    def compute() -> None:
        for images, kinds in probes:
            x, _ = _random_images(spec, images, classes, device).batch(slice(None))
            empirical_ntk(model, x, kernels=kinds, prove=False)

    return _fastest(compute, device)


def _fastest(work: Any, device: torch.device) -> float:
    seconds: list[float] = []
    while len(seconds) < 2 or (len(seconds) < 20 and sum(seconds) < PATIENCE / 4):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - began)
    return min(seconds[1:])


def budget(
    plan: Plan, sources: dict[str, dict[str, Any]], keep: str, stated: float | None, device: torch.device
) -> str:
    """The table of `snakemake budget` as text, and what its numbers rest on."""
    counts, assumed = all_image_counts(plan, sources)
    of = costs(plan, counts)
    rates = ([(0.0, stated)], [(0.0, stated)]) if stated else calibrate(plan, of, device)
    alone = bool(stated) or device.type == "cuda"
    notes = [*lines_on_rates(rates, bool(stated), str(device)), f"checkpoints.keep is {keep}.", *assumed]
    return "\n".join([table(plan, of, data_bytes(plan, counts), keep, rates, alone), *notes])

"""What a study will take, before anything runs: trainings, checkpoints, disk, floating-point operations, hours.

All of it follows from the plan, the shapes of the networks, and how fast this machine trains and computes kernels.
"""

import os
import time
from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from .costs import (
    OVERHEAD,
    Cost,
    Counts,
    all_image_counts,
    class_count,
    convergence_operations,
    costs,
    image_size,
    probe_images,
    shares,
)
from .expansion import function_of
from .models import build
from .ntk import empirical_ntk
from .plan import Plan, Spec
from .sizes import network
from .training import Images, allow_tf32, new_optimizer, step_on

START = 1.5  # seconds that a job takes to start and to import torch
PATIENCE = 2.0  # seconds that one measurement may take


Rates = list[tuple[float, float]]  # operations of what was measured, ascending; operations per second


# ------------------------------------------------------------------------------------------------------- speed
def calibrate(plan: Plan, of_segments: dict[str, Cost], device: torch.device) -> tuple[Rates, Rates]:
    """How fast this device trains the plan's networks and computes their kernels, from the smallest on.

    One thread on a CPU, as jobs have. What would take longer than PATIENCE is not measured: the rate of the largest that was
    stands for it, which on a CPU is too slow rather than too fast.
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
            # Much the same rate; or nothing to do, as of kernels of linearised twins.
            if not work or (work, precision) in seen or largest < work < 4 * largest:
                continue
            if (rates and work / rates[-1][1] > PATIENCE) or time.perf_counter() - began > 4 * PATIENCE:
                break
            measured = work / measure(plan, name, device)
            if work == largest:  # in the other precision: the slower one counts
                measured = min(measured, rates.pop()[1])
            rates.append((work, measured))
            seen.add((work, precision))
    return training, kernels


def _random_images(spec: Spec, count: int, classes: int, device: torch.device) -> Images:
    rng, size = np.random.default_rng(0), image_size(spec["dataset"])
    pixels = rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return Images.on(device, pixels, rng.integers(0, classes, count), np.full(3, 0.5), np.full(3, 0.25))


def _time_step(plan: Plan, name: str, device: torch.device) -> float:
    """Seconds of an optimizer step of a segment: the fastest of some, after the first."""
    spec = plan.segments[name].spec
    classes = class_count(spec["dataset"])
    batch = _random_images(spec, spec["training"]["batch_size"], classes, device)
    layout: dict[str, Any] = {"memory_format": torch.channels_last}  # of which torch's annotations know nothing
    model = build(spec["model"], image_size(spec["dataset"]), classes).to(device, **layout)
    optimizer = new_optimizer(model, spec)
    precision = spec["training"]["precision"]
    function = function_of(model, spec)
    model.train()
    return _fastest(lambda: step_on(function, optimizer, *batch.batch(slice(None)), precision), device)


def _time_kernels(plan: Plan, name: str, device: torch.device) -> float:
    """Seconds of the kernels of one checkpoint of a segment."""
    spec, classes = plan.segments[name].spec, class_count(plan.segments[name].spec["dataset"])
    model = build(spec["model"], image_size(spec["dataset"]), classes).to(device).eval()
    probes = [(probe_images(plan, k), k.kinds) for k in plan.kernels.values() if k.segment == name]

    def compute() -> None:
        for images, kinds in probes:
            x, _ = _random_images(spec, images, classes, device).batch(slice(None))
            empirical_ntk(model, x, kernels=kinds)

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


def rate(rates: Rates, work: float) -> float:
    """Of the largest work that was measured and is no larger than `work`; of the smallest for what is smaller still."""
    return next((r for w, r in reversed(rates) if w <= work), rates[0][1])


# ------------------------------------------------------------------------------------------------------- table
def seconds(cost: Cost, rates: tuple[Rates, Rates]) -> float:
    """Of a segment's training and kernels, with the start of their jobs."""
    training, kernels = rates
    return cost.training / rate(training, cost.step) + cost.contractions / rate(kernels, cost.contraction) + 2 * START


def row(plan: Plan, names: Iterable[str], of: dict[str, Cost], sizes: dict, keep: str, rates, at_once: int) -> list:
    """Runs, segments, checkpoints, peak and final bytes, operations, seconds of some runs and untrained networks together."""
    names = list(names)
    runs = [name for name in names if name in plan.runs]
    untrained = [plan.convergences[name] for name in names if name in plan.convergences]
    segments = {name: of[name] for name in dict.fromkeys(s for run in runs for s in plan.runs[run].trained)}
    datasets = {plan.segments[name].dataset for name in segments} | {each.dataset for each in untrained}
    data = sum(sizes[dataset] for dataset in datasets)
    kept = {"all": lambda c: c.checkpoints, "final": lambda _: 1, "none": lambda _: 0}[keep]
    final = data + sum(kept(c) * c.weights + c.kernels for c in segments.values())
    final += sum(table_bytes(plan, run, of) for run in runs)
    # A core has at most one training, or the kernels of one, in hand; kernels come first.
    passing = max((c.state + (c.checkpoints - kept(c)) * c.weights for c in segments.values()), default=0)
    # With `none`, the final weights of segments that others go on from may all be waiting for these.
    of_parents = [plan.segments[name].parent for name in segments] if keep == "none" else []
    parents = {parent for parent in of_parents if parent is not None}
    peak = final + min(at_once, len(segments)) * passing + sum(of[name].weights for name in parents)
    initial = [convergence_operations(each.spec) for each in untrained]
    operations = sum(c.training + c.contractions for c in segments.values()) + sum(initial)
    work = sum(seconds(c, rates) for c in segments.values()) + sum(
        work / rate(rates[1], work) + START for work in initial
    )
    return [len(runs), len(segments), sum(c.checkpoints for c in segments.values()), peak, final, operations, work]


def needed(plan: Plan, figure: str) -> list[str]:
    """Runs and untrained networks that the target of a figure takes: its own, and those of the figure beside which it is drawn."""
    both = [plan.figures[name] for name in (figure, plan.figures[figure].beside) if name]
    return list(dict.fromkeys(name for of in both for name in (*of.runs, *of.convergences)))


def data_bytes(plan: Plan, counts: dict[str, Counts]) -> dict[str, float]:
    """Of each data set's file."""
    return {name: sum(map(sum, counts[name])) * 3.0 * image_size(spec) ** 2 for name, spec in plan.datasets.items()}


def table_bytes(plan: Plan, run: str, of: dict[str, Cost]) -> float:
    """Of a run's metric table: of each kernel ten numbers and the eigenvalues of each part of the probe, nine of each layer,
    six of each pair of tasks.
    """
    spec = plan.runs[run]
    if not spec.kernels:  # of twins a few rows; how many checkpoints a file from elsewhere has is not planned
        return sum(of[s].checkpoints for s in spec.segments) * 9.0 * (1 + len(spec.segments)) * OVERHEAD["row"]
    kernels, tasks, model = plan.kernels[spec.kernels[0]], len(spec.segments), plan.segments[spec.segments[0]].spec
    layers = shares(
        network(model["model"], image_size(model["dataset"]), class_count(model["dataset"])), kernels.layers
    )
    each = 10 * (1 + tasks) + 2 * probe_images(plan, kernels) + 9 * (layers - 1) + 3 * tasks * (tasks - 1)
    return sum(of[s].checkpoints for s in spec.segments) * len(spec.spec["kernels"]) * each * OVERHEAD["row"]


def table(plan: Plan, of: dict[str, Cost], sizes: dict[str, float], keep: str, rates, alone: bool) -> str:
    """One line per figure and one for the study. `alone`: jobs run one at a time, as on a GPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    at_once = 1 if alone else cores
    head = ["", "runs", "segments", "checkpoints", "peak GB", "final GB", "FLOPs", "hours" if alone else "core hours"]
    lines = [head]
    for name, names in [
        *((name, needed(plan, name)) for name in plan.figures),
        ("total", [*plan.runs, *plan.convergences]),
    ]:
        *counts, peak, final, operations, work = row(plan, names, of, sizes, keep, rates, at_once)
        numbers = [f"{count:,}" for count in counts]
        lines.append(
            [name, *numbers, _short(peak / 1e9), _short(final / 1e9), f"{operations:.1e}", _short(work / 3600)]
        )
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = "\n".join("  ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True))) for line in lines)  # fmt: skip
    chain = max(sum(seconds(of[s], rates) for s in run.trained) for run in plan.runs.values())
    wall = max(work / at_once, chain)
    where = "One job at a time" if alone else f"On {cores} cores"
    return f"{text}\n\n{where}, about {_time(wall)}; the longest run alone takes {_time(chain)}."


def _time(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{_short(seconds / length)} {unit}"
    return f"{seconds:.0f} seconds"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}" if value >= 0.001 else "<0.001"


def lines_on_rates(rates: tuple[Rates, Rates], stated: bool, device: str) -> list[str]:
    if stated:
        return [f"At {rates[0][0][1]:.2g} FLOP/s, as flops_per_second says, and {START} s for each job to start."]
    if not all(rates):
        return ["Nothing is trained."]
    spans = [f"{of[0][1] / 1e9:.1f} to {of[-1][1] / 1e9:.1f}" for of in rates]
    return [
        f"Measured here ({device}{'' if 'cuda' in device else ', one thread'}): {spans[0]} GFLOP/s in training and {spans[1]} "
        f"in kernels, from the smallest to the largest network tried; and {START} s for each job to start."
    ]


def budget(plan: Plan, sources: dict[str, Spec], keep: str, stated: float | None, device: torch.device) -> str:
    """The table and what it rests on."""
    counts, assumed = all_image_counts(plan, sources)
    of = costs(plan, counts)
    rates = ([(0.0, stated)], [(0.0, stated)]) if stated else calibrate(plan, of, device)
    alone = bool(stated) or device.type == "cuda"
    notes = [*lines_on_rates(rates, bool(stated), str(device)), f"checkpoints.keep is {keep}.", *assumed]
    return "\n".join([table(plan, of, data_bytes(plan, counts), keep, rates, alone), *notes])

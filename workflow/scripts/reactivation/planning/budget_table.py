"""What a study will take, before anything runs: trainings, checkpoints, disk, floating-point operations, hours.

All of it follows from the plan, the shapes of the networks, and how fast this machine trains and computes kernels.
"""

import os
from collections.abc import Iterable

from reactivation.data.facts import Counts, class_count, image_size
from reactivation.planning.network_sizes import network
from reactivation.planning.plan import Plan
from reactivation.planning.segment_costs import (
    OVERHEAD,
    Cost,
    convergence_operations,
    probe_images,
    shares,
)

START = 1.5  # seconds that a job takes to start and to import torch

Rates = list[tuple[float, float]]  # by measured work: its operations, ascending, and operations per second


def rate(rates: Rates, work: float) -> float:
    """Operations per second of the largest measured work that is no larger than `work`, or else of the smallest."""
    return next((r for w, r in reversed(rates) if w <= work), rates[0][1])


def seconds(cost: Cost, rates: tuple[Rates, Rates]) -> float:
    """Seconds that a segment's training and all that is measured on it take, with the start of their jobs."""
    training, kernels = rates
    work = cost.training / rate(training, cost.step) + cost.contractions / rate(kernels, cost.contraction)
    return work + cost.jobs * START


def row(plan: Plan, names: Iterable[str], of: dict[str, Cost], sizes: dict, keep: str, rates, at_once: int) -> list:
    """What the runs and untrained networks `names` take together: a row of the table.

    It has the numbers of runs, segments and checkpoints, peak and final bytes, operations and seconds. `of`: the cost
    of each segment; `sizes`: the bytes of each data set.
    """
    names = list(names)
    runs = [name for name in names if name in plan.runs]
    untrained = [plan.convergences[name] for name in names if name in plan.convergences]
    segments = {name: of[name] for name in dict.fromkeys(s for run in runs for s in plan.runs[run].trained)}
    datasets = {plan.segments[name].dataset for name in segments} | {each.dataset for each in untrained}
    data = sum(sizes[dataset] for dataset in datasets)
    kept = {"all": lambda c: c.checkpoints, "final": lambda _: 1, "none": lambda _: 0}[keep]
    final = data + sum(kept(c) * c.weights + c.passed * (keep != "none") + c.kernels for c in segments.values())
    final += sum(table_bytes(plan, run, of) for run in runs)
    # A core works on one segment at a time: its kernels are computed before another training starts.
    passing = max((c.state + (c.checkpoints - kept(c)) * c.weights for c in segments.values()), default=0)
    # With `none`, the final weights of all parents may be kept at once, until the next tasks are trained.
    of_parents = [plan.segments[name].parent for name in segments] if keep == "none" else []
    parents = {parent for parent in of_parents if parent is not None}
    peak = final + min(at_once, len(segments)) * passing + sum(of[name].weights + of[name].passed for name in parents)
    initial = [convergence_operations(each.spec) for each in untrained]
    operations = sum(c.training + c.contractions for c in segments.values()) + sum(initial)
    work = sum(seconds(c, rates) for c in segments.values()) + sum(
        work / rate(rates[1], work) + START for work in initial
    )
    return [len(runs), len(segments), sum(c.checkpoints for c in segments.values()), peak, final, operations, work]


def needed(plan: Plan, figure: str) -> list[str]:
    """The runs and untrained networks that a figure's target needs, with those of the figure in its `beside`."""
    both = [plan.figures[name] for name in (figure, plan.figures[figure].beside) if name]
    return list(dict.fromkeys(name for of in both for name in (*of.runs, *of.convergences)))


def data_bytes(plan: Plan, counts: dict[str, Counts]) -> dict[str, float]:
    """Bytes of each data set's file."""
    return {name: sum(map(sum, counts[name])) * 3.0 * image_size(spec) ** 2 for name, spec in plan.datasets.items()}


def table_bytes(plan: Plan, run: str, of: dict[str, Cost]) -> float:
    """Bytes of a run's metric table.

    For each kernel it has ten numbers and the eigenvalues of each part of the probe, nine numbers of each layer, and
    six of each pair of tasks.
    """
    spec = plan.runs[run]
    if not spec.kernels:  # twins have few rows; the size of files from elsewhere is not planned
        return sum(of[s].checkpoints for s in spec.segments) * 9.0 * (1 + len(spec.segments)) * OVERHEAD["row"]
    kernels, tasks, model = plan.kernels[spec.kernels[0]], len(spec.segments), plan.segments[spec.segments[0]].spec
    layers = shares(
        network(model["model"], image_size(model["dataset"]), class_count(model["dataset"])), kernels.layers
    )
    each = 10 * (1 + tasks) + 2 * probe_images(plan, kernels) + 9 * (layers - 1) + 3 * tasks * (tasks - 1)
    return sum(of[s].checkpoints for s in spec.segments) * len(spec.spec["kernels"]) * each * OVERHEAD["row"]


def table(plan: Plan, of: dict[str, Cost], sizes: dict[str, float], keep: str, rates, alone: bool) -> str:
    """The table as text: a line for each figure and one for the study. `alone`: jobs run one at a time, as on a GPU."""
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
    text = "\n".join(
        "  ".join(t.ljust(w) if i == 0 else t.rjust(w) for i, (t, w) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )
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
        f"Measured here ({device}{'' if 'cuda' in device else ', one thread'}): {spans[0]} GFLOP/s in training and "
        f"{spans[1]} in kernels, from the smallest to the largest network tried; and {START} s for each job to start."
    ]

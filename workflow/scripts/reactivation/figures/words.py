"""The words of figures: for metrics, axes, parts of the probe, and what a panel's colors tell apart."""

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from reactivation.data import specs

AXES = {
    "alpha": r"$\alpha$",
    "batch_size": "batch size",
    "draw": "probe",
    "epochs": "epochs per task",
    "limit_per_class": "images per class",
    "lr": "learning rate",
    "name": "network",
    "shift": "new classes",
    "similarity": "similarity to the task before",
    "weight_decay": "weight decay",
}
KERNELS = {"sum": "NTK of the summed logits", "trace": "NTK, mean over outputs"}
DYNAMICS = {"network": "network", "linearized": "linearised twin"}
BLOCKS = {
    "all": "all tasks",
    "current": "current task",
    "held_out": "held-out images",
    "probe": "probe",
    "train": "training images",
}
STATISTICS = {
    "last": "{metric}\nat the end of task {task}",
    "max": "largest {metric}\nin task {task}",
    "drop": "{metric}:\nrelative drop in task {task}",
    "recovery": "{metric}:\nrelative recovery in task {task}",
}
REFERENCES = {
    "init": "from initialisation",
    "task_start": "from the task's start",
    "previous": "from the checkpoint before",
}


def color_axis(panel: "specs.Panel") -> str | None:
    """What a panel's colors tell apart: an axis of the grid, eigenvalues, several parts of the probe, or None."""
    if panel["kind"] == "spectrum":
        return "index"
    several = panel["kind"] == "curves" and len(panel["block"]) > 1
    return panel["color"] or ("block" if several else None)


def half_of(panel: "specs.Panel") -> str:
    """`train` or `held_out` if all blocks of a panel are that half of a task; otherwise empty."""
    halves = {re.sub(r"^task\d+_?", "", block) for block in panel["block"]}
    return halves.pop() if len(halves) == 1 and halves <= {"train", "held_out"} else ""


def groups(panel: "specs.Panel") -> dict[str, str]:
    """What the color of each of a panel's blocks stands for: only the task, if the panel's label says which half."""
    half = half_of(panel)
    return {block: block.removesuffix(f"_{half}") if half else block for block in panel["block"]}


def metric(panel: "specs.Panel") -> str:
    """What a panel's vertical axis shows."""
    if panel["kind"] == "summary":
        return STATISTICS[panel["statistic"]].format(metric=panel["words"], task=panel["task"])
    return panel["words"]


def details(panel: "specs.Panel", drawn: pd.DataFrame, several_kernels: bool) -> list[str]:
    """What an axis label adds to the name of the metric."""
    found = []
    if panel["reference"] is not None:
        found.append(REFERENCES[panel["reference"]])
    if panel["dt"] is not None:
        found.append(f"over {panel['dt']} epoch{'s' if panel['dt'] > 1 else ''}")
    if panel["detail"]:
        found.append(panel["detail"])
    if several_kernels and panel["kernel"] is not None:
        found.append(KERNELS[panel["kernel"]])
    if panel["kind"] != "curves" and panel["block"] != ["all"]:
        found.append(block_name(panel["block"][0]))
    elif panel["kind"] == "curves" and color_axis(panel) == "block" and half_of(panel):
        found.append(BLOCKS[half_of(panel)])
    if panel["scale"] == "log" and (drawn["low"] <= 0).any():
        found.append("values ≤ 0 left out")
    return found


def text(value: Any) -> str:
    """A value of an axis as text."""
    if value is None:
        return "default"  # as metric tables say
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def entry(axis: str, value: Any) -> str:
    """The legend's entry for a color."""
    if axis == "block":
        return block_name(value)
    if axis == "index":
        return f"eigenvalue {value + 1}"  # the largest is number 1
    if axis == "dynamics":
        return DYNAMICS[value]
    return f"{AXES.get(axis, axis)} {text(value)}"


def block_name(block: str) -> str:
    """The name of a part of the probe or test set."""
    return BLOCKS.get(block, block.replace("task", "task ").replace("-", " with ").replace("_", " "))


def pooled(seeds: int, panels: "list[specs.Panel]", most: bool) -> str:
    """What bands go over: `seeds` runs (`most`: up to so many), which differ in the seed, and in the probe if there are
    several."""
    draws = {panel.get("draws", 1) for panel in panels}
    upto = "up to " if most else ""
    if draws == {1}:
        return f"{upto}{seeds} seeds"
    if len(draws) > 1:
        return f"{upto}{seeds} seeds and probes"
    number = seeds // draws.copy().pop()
    return f"{upto}{number} seed{'s' * (number != 1)} × {draws.pop()} probes"


def diverged(names: dict[str, list[str]]) -> str:
    """How many runs diverged, and what became of them, from what `diverged_runs` returns; at least one did."""
    runs, lost, left_out = len(names["runs"]), len(names["diverged"]), len(names["left_out"])
    if lost < runs:
        which = f"{lost} of {runs} runs diverged"
    else:
        which = {1: "the run diverged", 2: "both runs diverged"}.get(runs, f"all {runs} runs diverged")
    fates = [(left_out, "left out"), (lost - left_out, "drawn up to there")]
    fates = [(count, fate) for count, fate in fates if count]
    return f"{which}: " + (fates[0][1] if len(fates) == 1 else ", ".join(f"{count} {fate}" for count, fate in fates))


def mixed(versions: dict[str, list[str]]) -> str:
    """A line that names the packages of which several versions had a part in a figure; empty if there are none."""
    several = [f"{package} {' and '.join(found)}" for package, found in versions.items() if len(found) > 1]
    return f"Mixes results of {', '.join(several)}" if several else ""

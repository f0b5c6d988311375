"""What figures say: the words for metrics, axes, parts of the probe, and what a panel's colors tell apart."""

import re
from typing import Any

import pandas as pd

from .shown import FROM_REFERENCE, of_kernel

Spec = dict[str, Any]
METRICS = {
    "test_accuracy": "test accuracy",
    "test_loss": "test loss (nats)",
    "forgetting": "forgetting (accuracy lost)",
    "function_distance": "distance of functions (logits)",
    "function_error": "error of the function",
    "accuracy_error": "accuracy, twin − network",
    "forgetting_error": "forgetting, twin − network",
    "spectral_norm": "max eigenvalue",
    "trace": "trace of the kernel",
    "effective_rank": "effective rank",
    "alignment": "kernel alignment $A$",
    "kernel_distance": "kernel distance $S$",
    "kernel_velocity": "kernel velocity (1/epoch)",
    "cross_task_overlap": "cross-task overlap",
    "block_norm": "root mean square\nof the kernel's entries",
    "eigenvector_rotation": "rotation of\nleading eigenvectors",
    "eigenvector_alignment": "leading eigenvectors'\nalignment with labels",
    "eigenvalues": "eigenvalues",
    "convergence": r"$\Vert\Theta_w - \Theta_{w'}\Vert_F$, relative",
}
AXES = {
    "alpha": r"$\alpha$",
    "batch_size": "batch size",
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


def color_axis(panel: Spec) -> str | None:
    """What a panel's colors tell apart: an axis of the grid, eigenvalues, or parts of the probe where nothing else is."""
    if panel["kind"] == "spectrum":
        return "index"
    several = panel["kind"] == "curves" and len(panel["block"]) > 1
    return panel["color"] or ("block" if several else None)


def half_of(panel: Spec) -> str:
    """`train` or `held_out` where all blocks of a panel are that half of a task; else nothing."""
    halves = {re.sub(r"^task\d+_?", "", block) for block in panel["block"]}
    return halves.pop() if len(halves) == 1 and halves <= {"train", "held_out"} else ""


def groups(panel: Spec) -> dict[str, str]:
    """What colors tell apart of each of a panel's blocks: its task, where the panel's label says which half of it."""
    half = half_of(panel)
    return {block: block.removesuffix(f"_{half}") if half else block for block in panel["block"]}


def metric(panel: Spec) -> str:
    """What a panel's vertical axis shows."""
    name = METRICS.get(panel["metric"], panel["metric"].replace("_", " "))
    if panel["kind"] == "summary":
        return STATISTICS[panel["statistic"]].format(metric=name, task=panel["task"])
    return name


def details(panel: Spec, drawn: pd.DataFrame, several_kernels: bool) -> list[str]:
    """What the name of the metric leaves open."""
    found = []
    if panel["metric"] in FROM_REFERENCE:
        found.append(REFERENCES[panel["reference"]])
    if panel["metric"] == "kernel_velocity":
        found.append(f"over {panel['dt']} epoch{'s' if panel['dt'] > 1 else ''}")
    if panel["metric"] == "function_error":
        found.append("of its change in the task")
    if several_kernels and of_kernel(panel):
        found.append(KERNELS[panel["kernel"]])
    if panel["kind"] != "curves" and panel["block"] != ["all"]:
        found.append(block_name(panel["block"][0]))
    elif panel["kind"] == "curves" and color_axis(panel) == "block" and half_of(panel):
        found.append(BLOCKS[half_of(panel)])
    if panel["scale"] == "log" and (drawn["low"] <= 0).any():
        found.append("values ≤ 0 left out")
    return found


def text(value: Any) -> str:
    """A value of an axis."""
    if value is None:
        return "default"  # as metric tables say
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def entry(axis: str, value: Any) -> str:
    """What the legend says of a color."""
    if axis == "block":
        return block_name(value)
    if axis == "index":
        return f"eigenvalue {value + 1}"  # the largest is number 1
    if axis == "dynamics":
        return DYNAMICS[value]
    return f"{AXES.get(axis, axis)} {text(value)}"


def block_name(block: str) -> str:
    """A part of the probe or test set."""
    return BLOCKS.get(block, block.replace("task", "task ").replace("-", " with ").replace("_", " "))


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

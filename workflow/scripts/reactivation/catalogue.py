"""What each metric is called, where it has values, and how it is drawn: the one list that configs, figures and documents go by.

Names and words only; `analysis/` computes the numbers. No job that computes a result imports this: figures get what they
need of it among their parameters, so that a new word runs nothing again but what shows it.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric of the tables of runs."""

    words: str  # on the axis of a panel
    of: Literal["kernel", "tests", "twin"]  # kernels of networks; predictions; a linearised twin beside its network
    blocks: tuple[str, ...]  # kinds of parts of the probe, or of the test set, on which it has values
    per_layer: bool = False  # whether each layer's share of the kernel has it too
    reference: bool = (
        False  # whether it is measured from another kernel: at initialisation, the task's start, just before
    )
    rate: bool = False  # whether it is a change per epoch, over a time step dt, and drawn on a logarithmic scale
    bounded: bool = False  # whether it stays within bounds when kernels grow without any
    signed: bool = False  # whether its sign matters
    limits: tuple[float, float] | None = None  # of its axis, whatever its values are
    detail: str = ""  # what its words leave open
    drawn: bool = True  # whether panels name it as their metric


# Kinds of blocks: all images; each task's own; a task's training or held-out half; two tasks' images; the task at the
# time; tasks that others follow; the probe, of metrics on the test set.
PARTS = ("all", "task", "half", "current")
PAIRED = ("all", "task", "pair", "half", "current")
TESTED = ("all", "task", "current")

METRICS = {
    # One number of each kernel: functions of analysis/metrics.py under @per_kernel.
    "spectral_norm": Metric("max eigenvalue", "kernel", PARTS, per_layer=True),
    "trace": Metric("trace of the kernel", "kernel", PARTS, per_layer=True),
    "effective_rank": Metric("effective rank", "kernel", PARTS, per_layer=True, bounded=True),
    "block_norm": Metric("root mean square\nof the kernel's entries", "kernel", PAIRED, per_layer=True),
    # Kernels beside labels, other kernels, later ones.
    "alignment": Metric("kernel alignment $A$", "kernel", PARTS, per_layer=True, bounded=True),
    "kernel_distance": Metric("kernel distance $S$", "kernel", PAIRED, per_layer=True, reference=True, bounded=True),
    "kernel_velocity": Metric("kernel velocity (1/epoch)", "kernel", PAIRED, per_layer=True, rate=True, bounded=True),
    "cross_task_overlap": Metric("cross-task overlap", "kernel", ("pair",), bounded=True),
    "eigenvector_rotation": Metric(
        "rotation of\nleading eigenvectors", "kernel", ("all",), reference=True, bounded=True
    ),
    "eigenvector_alignment": Metric("leading eigenvectors'\nalignment with labels", "kernel", TESTED, bounded=True),
    # Predictions on the test set.
    "test_accuracy": Metric("test accuracy", "tests", TESTED, bounded=True, limits=(0, 1)),
    "test_loss": Metric("test loss (nats)", "tests", TESTED),
    "forgetting": Metric("forgetting (accuracy lost)", "tests", ("all", "earlier"), bounded=True),
    # A linearised twin beside its network.
    "function_distance": Metric("distance of functions (logits)", "twin", (*TESTED, "probe")),
    "function_error": Metric("error of the function", "twin", (*TESTED, "probe"), detail="of its change in the task"),
    "accuracy_error": Metric("accuracy, twin − network", "twin", TESTED, bounded=True, signed=True),
    "forgetting_error": Metric("forgetting, twin − network", "twin", ("all", "earlier"), bounded=True, signed=True),
    # What panels of a kind of their own show.
    "eigenvalues": Metric("eigenvalues", "kernel", PARTS, drawn=False),
    "convergence": Metric(r"$\Vert\Theta_w - \Theta_{w'}\Vert_F$, relative", "kernel", ("all",), drawn=False),
}
PER_KERNEL = ("spectral_norm", "trace", "effective_rank", "block_norm")
PANEL_METRICS = tuple(name for name, metric in METRICS.items() if metric.drawn)
LAYER_METRICS = tuple(name for name, metric in METRICS.items() if metric.per_layer)
WORDS = {name: metric.words for name, metric in METRICS.items()}


def is_of(metric: str | None, kind: Literal["kernel", "tests", "twin"]) -> bool:
    """Whether `metric` is one of that kind."""
    return metric in METRICS and METRICS[metric].of == kind

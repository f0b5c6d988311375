"""The one list of metrics: what each is called, where it has values, and how it is drawn.

It has names and words only; `analysis/` computes the numbers. No job that computes a result imports this file. Figures
get what they need from it among their parameters, so a new word re-runs only the figures that show it.
"""

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Metric:
    """One metric in the tables of runs."""

    words: str  # label of a panel's axis
    of: Literal["kernel", "tests", "twin"]  # measured on kernels; on test predictions; on a twin against its network
    blocks: tuple[str, ...]  # kinds of blocks (see below) on which it has values
    per_layer: bool = False  # whether each layer's share of the kernel has it too
    reference: bool = False  # whether it is measured from an earlier kernel: init, task_start or previous
    rate: bool = False  # whether it is a change per epoch over a time step dt
    logarithmic: bool = False  # whether its axis is logarithmic unless a panel says otherwise
    bounded: bool = False  # whether it stays bounded when kernels diverge
    signed: bool = False  # whether its sign matters
    labels: bool = False  # whether `metrics.alignment_labels` says with which labels it compares
    # What it has by chance, drawn behind its curves: the words of the legend, and a metric (a line) or two (a band).
    chance: dict[str, tuple[str, ...]] = field(default_factory=dict)
    limits: tuple[float, float] | None = None  # fixed limits of its axis
    detail: str = ""  # what `words` leaves open
    of_twins: bool = True  # of tests: whether twins have it too
    drawn: bool = True  # whether panels may name it as `metric`


# Kinds of blocks. all: every image; task: the images of each task; half: training or held-out images; pair: the images
# of one task against those of another; current: the task at the time; earlier: each task but the last; probe: the
# probe, for metrics that also have values on the test set.
PARTS = ("all", "task", "half", "current")
PAIRED = ("all", "task", "pair", "half", "current")
TESTED = ("all", "task", "current")

METRICS = {
    # One number of each kernel: functions of analysis/metrics.py under @per_kernel.
    "spectral_norm": Metric("max eigenvalue", "kernel", PARTS, per_layer=True),
    "trace": Metric("trace of the kernel", "kernel", PARTS, per_layer=True),
    "effective_rank": Metric("effective rank", "kernel", PARTS, per_layer=True, bounded=True),
    "block_norm": Metric("root mean square\nof the kernel's entries", "kernel", PAIRED, per_layer=True),
    # Kernels compared with labels, with other kernels, with later ones.
    "alignment": Metric(
        "kernel alignment $A$",
        "kernel",
        PARTS,
        per_layer=True,
        bounded=True,
        labels=True,
        chance={
            "identity kernel": ("alignment_identity",),
            "95 % of permuted labels": ("alignment_permuted_low", "alignment_permuted_high"),
        },
    ),
    "kernel_distance": Metric("kernel distance $S$", "kernel", PAIRED, per_layer=True, reference=True, bounded=True),
    "kernel_velocity": Metric(
        "kernel velocity (1/epoch)", "kernel", PAIRED, per_layer=True, rate=True, logarithmic=True, bounded=True
    ),
    # The same by unbiased CKA, which the number of images and the kernels' ranks do not shift.
    "alignment_unbiased": Metric(
        "kernel alignment $A_u$\n(unbiased)", "kernel", PARTS, per_layer=True, bounded=True, signed=True, labels=True
    ),
    "kernel_distance_unbiased": Metric(
        "kernel distance $S_u$\n(unbiased)", "kernel", PARTS, per_layer=True, reference=True, bounded=True
    ),
    "kernel_velocity_unbiased": Metric(
        "kernel velocity\n(unbiased, 1/epoch)",
        "kernel",
        PARTS,
        per_layer=True,
        rate=True,
        logarithmic=True,
        bounded=True,
    ),
    "cross_task_overlap": Metric("cross-task overlap", "kernel", ("pair",), bounded=True),
    "eigenvector_rotation": Metric(
        "rotation of\nleading eigenvectors", "kernel", ("all",), reference=True, bounded=True
    ),
    "eigenvector_alignment": Metric("leading eigenvectors'\nalignment with labels", "kernel", TESTED, bounded=True),
    # Predictions on the test set.
    "test_accuracy": Metric("test accuracy", "tests", TESTED, bounded=True, limits=(0, 1)),
    "test_loss": Metric("test loss (nats)", "tests", TESTED),
    "forgetting": Metric("forgetting (accuracy lost)", "tests", ("all", "earlier"), bounded=True),
    "accuracy_within_task": Metric(
        "accuracy within the task", "tests", ("task", "current"), bounded=True, limits=(0, 1), of_twins=False
    ),
    "forgetting_within_task": Metric(
        "forgetting within the task\n(accuracy lost)", "tests", ("all", "earlier"), bounded=True, of_twins=False
    ),
    # A linearised twin compared with its network.
    "function_distance": Metric("distance of functions (logits)", "twin", (*TESTED, "probe")),
    "function_error": Metric("error of the function", "twin", (*TESTED, "probe"), detail="of its change in the task"),
    "accuracy_error": Metric("accuracy, twin − network", "twin", TESTED, bounded=True, signed=True),
    "forgetting_error": Metric("forgetting, twin − network", "twin", ("all", "earlier"), bounded=True, signed=True),
    # Shown only by panels of alignment.
    "alignment_identity": Metric("alignment of the identity kernel", "kernel", PARTS, bounded=True, drawn=False),
    "alignment_permuted_low": Metric(
        "alignment with permuted labels, 2.5 % quantile", "kernel", PARTS, bounded=True, drawn=False
    ),
    "alignment_permuted_high": Metric(
        "alignment with permuted labels, 97.5 % quantile", "kernel", PARTS, bounded=True, drawn=False
    ),
    # Shown only by panels of a kind of their own.
    "eigenvalues": Metric("eigenvalues", "kernel", PARTS, logarithmic=True, drawn=False),
    "convergence": Metric(r"$\Vert\Theta_w - \Theta_{w'}\Vert_F$, relative", "kernel", ("all",), drawn=False),
}
PANEL_METRICS = tuple(name for name, metric in METRICS.items() if metric.drawn)
LAYER_METRICS = tuple(name for name, metric in METRICS.items() if metric.per_layer)
# In the order of menus: how well it learns first.
WORDS = {name: of.words for kind in ("tests", "twin", "kernel") for name, of in METRICS.items() if of.of == kind}
LOGARITHMIC = [name for name, metric in METRICS.items() if metric.logarithmic]


def is_of(metric: str | None, kind: Literal["kernel", "tests", "twin"]) -> bool:
    """Whether `metric` is measured on `kind`."""
    return metric in METRICS and METRICS[metric].of == kind

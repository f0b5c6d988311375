"""The columns, in order, of a study's tables: of runs, switches, accuracy, files, claims and figures.

Tables of runs also have one for each axis of the grid. The columns of a segment's tables are in rows.py.
"""

from collections.abc import Iterable

# results/<study>/runs/<run>.csv: the run, its axes, then time and measurements
RUN = ("experiment", "seed")
TIME = ("task", "similarity", "step", "epoch", "progress")
SERIES = ("metric", "kernel", "layer", "block", "reference", "dt", "index")  # these tell the curves of a run apart
METRICS = (*RUN, *TIME, *SERIES, "value")

# The other tables of a study begin with these, and have the axes between "experiment" and "seed"
ABOUT = ("run", "experiment", "seed")
SWITCHES = (  # reactivation.csv
    *("kernel", "task", "similarity", "starts", "ends", "dt", "distance", "path"),
    *("velocity_mean", "velocity_before", "velocity_at", "velocity_ratio", "velocity_last", "spike_epoch"),
    *("norm_before", "norm_lowest", "norm_last", "norm_drop", "norm_unrest", "norm_recovery"),
    *("drop_epochs", "recovery_epochs"),
    *("alignment_before", "alignment_after", "alignment_turn", "alignment_pace", "turn_epochs"),
    *("alignment_identity", "alignment_permuted_low", "alignment_permuted_high"),
    *("forgetting", "forgetting_within_task"),
    *("static_function_error", "static_accuracy_error", "static_forgetting_error"),
)
ACCURACY = ("trained", "task", "test_accuracy", "accuracy_within_task")  # accuracy.csv
FILES = ("task", "segment", "kernels", "function", "dataset", "split", "probe")  # files.csv
CLAIMS = (  # claims.csv
    *("claim", "kernel", "verdict", "statement", "measure", "finding", "holds", "effect", "low", "high", "unit"),
    *("sign", "threshold", "seeds", "name", "experiment", "where", "sentence"),
)

# results/<study>/figures/<figure>.csv: of these, in this order, those that some panel of the figure has
PANEL = ("panel", "kind", "metric")
AT = ("task", "step", "epoch", "progress")
STATISTICS = ("mean", "low", "high", "seeds")  # over seeds
SLOPE = ("slope", "slope_low", "slope_high")  # of a convergence


def figure_columns(axes: Iterable[str]) -> list[str]:
    """The columns of a figure whose panels are colored by `axes`, or drawn against them."""
    names = [*PANEL, *axes, "other", "block", "index", "seed"]
    return [*names, *AT, "since_switch", "value", *STATISTICS, *SLOPE, "diverged"]


# Columns of tables that have axes too: no axis may take these names. A convergence, which has `other` and SLOPE, has no
# axes.
BESIDE_AXES = frozenset({*METRICS, *ABOUT, *SWITCHES, *ACCURACY, *FILES, *figure_columns([])}) - {"other", *SLOPE}

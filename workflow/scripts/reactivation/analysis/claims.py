"""The paper's claims, and the measures by which each is judged, from the numbers of switches.

A claim has one measure or several. A measure is one number per seed. Some measures compare times within each run (the
velocity at a switch with that before it), others compare runs of one seed (widths, learning rates, new classes).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

LEAST = ("width", "task")  # a claim on every width and every switch is judged where its measure is least
DROP = "drop of the norm, beyond its falls before the switch"

Unit = Literal["times", "share", "epochs", "number"]
Limits = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """One measure of a claim. `values`: one per seed, NaN if undefined; for ratios, such as all `times`, logarithms."""

    name: str
    values: pd.Series
    threshold: float
    unit: Unit
    below: bool = False  # whether the effect should be smaller than the threshold
    ratio: bool = False  # whether `values` are logarithms of shares, because a share is a ratio of positive numbers

    @property
    def sign(self) -> str:
        return "<" if self.below else ">"


# ---------------------------------------------------------------------------------------------- measures' parts
def over_runs(rows: pd.DataFrame, values: pd.Series, least_of: tuple[str, ...] = ()) -> pd.Series:
    """One number per seed: the mean over its rows, or the least of the means at combinations of columns `least_of`.

    NaN if one of these means is undefined: it might be the least.
    """
    keys = [rows["seed"], *(rows[column] for column in least_of if column in rows)]
    means = values.groupby(keys, dropna=False).mean()
    return means.groupby("seed").agg(lambda part: part.min(skipna=False)) if least_of else means


def at(rows: pd.DataFrame, axis: str, which: Literal["min", "max"]) -> pd.DataFrame:
    """The rows at the smallest or largest value of an axis."""
    return rows[rows[axis] == getattr(rows[axis], which)()]


def of_tasks(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of tasks that follow a switch."""
    return rows[rows["task"] > 1]


def log(values: pd.Series) -> pd.Series:
    """Natural logarithms; −∞ for zeros."""
    with np.errstate(divide="ignore"):
        return np.log(values)


def recovery_time(rows: pd.DataFrame) -> pd.Series:
    """Epochs from the switch until the norm is back; if that takes longer than the task, the length of the task.

    0 where the norm did not fall by more than it does without a switch.
    """
    epochs = rows["recovery_epochs"].fillna(rows["ends"] - rows["starts"])
    return epochs.where(fall(rows) > 0, 0.0).where(fall(rows).notna())


def fall(rows: pd.DataFrame) -> pd.Series:
    """By how much the norm's drop exceeds the falls before the switch."""
    return rows["norm_drop"] - rows["norm_unrest"]


def per_doubling(rows: pd.DataFrame, column: str) -> pd.Series:
    """Per seed, the logarithm of the factor by which a column changes with each doubling of the width."""

    def slope(part: pd.DataFrame) -> float:
        means = log(part.groupby("width")[column].mean())
        return np.polyfit(np.log2(means.index.astype(float)), means, 1)[0] if len(means) > 1 else np.nan

    keys = [key for key in ("seed", "lr") if key in rows]
    slopes = {key: slope(part) for key, part in rows.groupby(keys, dropna=False)}
    return pd.Series(slopes).groupby(level=0).mean()


def rank_correlation(rows: pd.DataFrame, axis: str, column: str) -> pd.Series:
    """Per seed, Spearman's rank correlation of an axis and a column; 0 where the column does not vary."""
    found: dict[Any, float] = {}
    for seed, part in rows.groupby("seed"):
        means = part.groupby(axis)[column].mean().dropna()
        if len(means) > 1:
            ranks = means.rank()
            places = pd.Series(range(len(means)), index=means.index, dtype=float)  # in the order of the axis
            found[seed] = places.corr(ranks) if ranks.nunique() > 1 else 0.0
    return pd.Series(found, dtype=float)


def of_largest(part: pd.Series, largest: pd.Series) -> pd.Series:
    """The share part/largest; infinite where the largest is not positive, undefined where it is undefined."""
    return (part / largest).where((largest > 0) | largest.isna(), np.inf)


def by_axis(rows: pd.DataFrame, axis: str, column: str) -> pd.DataFrame:
    """Means of a column: one row per seed, one column per value of the axis in order."""
    return rows.groupby(["seed", axis])[column].mean().unstack()


# -------------------------------------------------------------------------------------------------- the claims
def wider_is_lazier(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    first = rows[rows["task"] == 1]
    for name, column in (("distance", "distance"), ("mean velocity", "velocity_mean")):
        name = f"{name} in the first task, over that at half the width"
        yield Measure(name, per_doubling(first, column), 1 - limits["fall"], "times", below=True)


def velocity_spikes(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    where = at_least(rows)
    spike = over_runs(rows, log(rows["velocity_ratio"]), LEAST)
    yield Measure(f"velocity across the switch, over that before{where}", spike, limits["ratio"], "times")
    back = over_runs(rows, log(rows["velocity_at"] / rows["velocity_last"]), LEAST)
    yield Measure(f"velocity across the switch, over that at the task's end{where}", back, limits["ratio"], "times")


def check_mark(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    where = at_least(rows)
    yield Measure(f"{DROP}{where}", over_runs(rows, fall(rows), LEAST), limits["drop"], "share")
    fell = rows["norm_drop"] > 0
    # A norm that overshoots does not make up for others.
    regained = (rows["norm_recovery"] / rows["norm_drop"]).clip(upper=1.0)
    regained = regained.where(fell, 0.0).where(rows["norm_drop"].notna())
    name = f"of the drop, regained at the task's end{where}"
    yield Measure(name, over_runs(rows, regained, LEAST), limits["recovery"], "share")
    times = log((recovery_time(rows) - rows["drop_epochs"]).clip(lower=0) / rows["drop_epochs"])
    times = times.where(fall(rows) > 0, 0.0).where(fall(rows).notna())  # what does not fall has no asymmetry
    name = f"time of recovery, over that of the drop{where}"
    yield Measure(name, over_runs(rows, times, LEAST), limits["asymmetry"], "times")


def drop_and_spike_coincide(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    lag = rows["drop_epochs"] - rows["spike_epoch"]
    together = lag.between(-1e-6, rows["dt"] + 1e-6) & (fall(rows) > 0)
    known = lag.notna() & fall(rows).notna()
    share = over_runs(rows, together.astype(float).where(known))
    yield Measure("switches where drop and spike coincide", share, limits["share"], "share")


def over_converged_recovers_last(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    times = by_axis(rows.assign(time=recovery_time(rows)), "lr", "time")
    longer = times.iloc[:, -1] - times.iloc[:, :-1].max(axis=1, skipna=False)
    yield Measure("longer recovery at the largest learning rate than at any other", longer, limits["longer"], "epochs")


def alignment_turns(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    turn = over_runs(rows, log(rows["alignment_turn"] / rows["alignment_pace"]))
    yield Measure(
        "change of alignment in the dt after the switch, over that in a dt before", turn, limits["ratio"], "times"
    )
    slow, fast = (over_runs(part, log(part["turn_epochs"])) for part in (at(rows, "lr", "min"), at(rows, "lr", "max")))
    yield Measure(
        "time of the turn at the smallest learning rate, over that at the largest",
        slow - fast,
        limits["slower"],
        "times",
    )


def repeats(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    where = ", at the switch where it is least"
    spike = over_runs(rows, log(rows["velocity_ratio"]), ("task",))
    yield Measure(f"velocity across the switch, over that before{where}", spike, limits["ratio"], "times")
    yield Measure(f"{DROP}{where}", over_runs(rows, fall(rows), ("task",)), limits["drop"], "share")


def new_classes_order(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    for name, column in (("drop", "norm_drop"), ("velocity", "velocity_at"), ("distance", "distance")):
        values = rank_correlation(rows, "shift", column)
        yield Measure(f"rank correlation of new classes and {name}", values, limits["rank_correlation"], "number")
    drops = by_axis(rows, "shift", "norm_drop")
    share = of_largest(drops[0], drops.max(axis=1))
    yield Measure("drop without new classes, of the largest", share, limits["unchanged"], "share", below=True)


def diminishing_returns(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    drops = by_axis(of_tasks(rows), "shift", "norm_drop")
    new = drops.columns.to_numpy(dtype=float)
    first, last = drops.iloc[:, 0], drops.iloc[:, -1]
    line = np.outer(last - first, (new - new[0]) / (new[-1] - new[0])) + first.to_numpy()[:, None]
    above = (drops - line).iloc[:, 1:-1].mean(axis=1, skipna=False) / (drops.max(axis=1) - drops.min(axis=1))
    above = above.where(last > first, -1.0).where(drops.notna().all(axis=1))  # what does not rise has no returns
    yield Measure("drop above a straight line, of its range", above, limits["concavity"], "share")


def frequencies_barely_matter(rows: pd.DataFrame, limits: Limits, beside: pd.DataFrame) -> Iterator[Measure]:
    rows, beside = of_tasks(rows), of_tasks(beside)
    for name, column in (("drop of the norm", "norm_drop"), ("velocity across the switch", "velocity_at")):
        ours, theirs = (by_axis(part, axis, column).max(axis=1) for part, axis in ((rows, "alpha"), (beside, "shift")))
        share = of_largest(ours, theirs)
        ratio = column == "velocity_at"  # a drop may be negative
        values, name = log(share) if ratio else share, f"largest {name}, of the largest with new classes"
        yield Measure(name, values, limits["share"], "share", below=True, ratio=ratio)


def lazy_networks_reactivate(
    rows: pd.DataFrame, limits: Limits, beside: pd.DataFrame | None = None
) -> Iterator[Measure]:
    rows = of_tasks(at(at(rows, "width", "max"), "lr", "min"))
    spike = over_runs(rows, log(rows["velocity_ratio"]))
    yield Measure("velocity across the switch, over that before", spike, limits["ratio"], "times")
    moved = over_runs(rows, rows["distance"])
    yield Measure("distance of the kernel at the task's end from that at the switch", moved, limits["moved"], "number")
    if beside is not None:
        theirs = of_tasks(at(beside, "width", "max"))
        theirs = at(theirs, "lr", "min") if "lr" in theirs and theirs["lr"].notna().any() else theirs
        wrong = over_runs(theirs, log(theirs["static_function_error"]))
        name = "error of the function that the static kernel predicts, of the function's change in the task"
        yield Measure(name, wrong, limits["mispredicted"], "share", ratio=True)


def at_least(rows: pd.DataFrame) -> str:
    """The axes of LEAST over which `over_runs` takes the least, in words."""
    places = {"width": "width", "task": "switch"}
    found = [places[column] for column in LEAST if column in rows and rows[column].nunique() > 1]
    return f", at the {' and '.join(found)} where it is least" if found else ""


# In the paper's order; the first is claim 1.
CLAIMS: dict[str, tuple[str, Callable[..., Iterator[Measure]]]] = {
    "wider_is_lazier": ("Wider is lazier: within a task, distance and velocity fall as width grows", wider_is_lazier),
    "velocity_spikes": ("At every switch the velocity spikes, at every width, then falls back", velocity_spikes),
    "check_mark": ("The norm drops sharply at the switch and recovers slowly, at every width", check_mark),
    "drop_and_spike_coincide": ("The drop and the spike coincide", drop_and_spike_coincide),
    "over_converged_recovers_last": (
        "Recovery takes longest in the over-converged phase (largest learning rate)",
        over_converged_recovers_last,
    ),
    "alignment_turns": (
        "Alignment turns at the switch, far more slowly in the under-converged phase (smallest learning rate)",
        alignment_turns,
    ),
    "repeats": ("The pattern repeats at each of several switches", repeats),
    "new_classes_order": (
        "The more new classes, the larger drop, velocity and distance; without any, no drop",
        new_classes_order,
    ),
    "diminishing_returns": ("Diminishing returns: the first few new classes do most", diminishing_returns),
    "frequencies_barely_matter": (
        "A shift of frequencies alone barely moves the kernel",
        frequencies_barely_matter,
    ),
    "lazy_networks_reactivate": (
        "The widest network at the smallest learning rate reactivates: its kernel does not stay as it is",
        lazy_networks_reactivate,
    ),
}

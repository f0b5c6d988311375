"""What a task does to the kernel, in numbers: one row per run, kernel and task, from the run's metric table.

All of it on the whole probe. A switch is the end of the task before; `dt` is the time step of velocities.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from . import metrics

Row = dict[str, Any]
# What each column is, in their order, after those that name the run.
COLUMNS = {
    "kernel": "which kernel",
    "task": "which task of the run; the first follows no switch",
    "similarity": "of the task to the one before",
    "starts": "epoch at which the task begins: the switch",
    "ends": "epoch at which it ends",
    "dt": "time step of velocities, in epochs",
    "distance": "S(Θ_starts, Θ_ends): how far the kernel has turned in the end",
    "path": "Σ S(Θ_t, Θ_t+dt) over the task in steps of dt; S is like a squared distance, so it can be less than `distance`",
    "velocity_mean": "mean velocity in the task (1/epoch)",
    "velocity_before": "median velocity in the second half of the task before (1/epoch)",
    "velocity_at": "v(starts): velocity across the switch (1/epoch)",
    "velocity_ratio": "velocity_at / velocity_before: the spike",
    "velocity_last": "v(ends − dt) (1/epoch)",
    "spike_epoch": "when the largest velocity begins, from half of the task before to the end, in epochs since the switch",
    "norm_before": "largest eigenvalue at the switch",
    "norm_lowest": "lowest in the task",
    "norm_last": "at its end",
    "norm_drop": "(before − lowest) / before",
    "norm_unrest": "the same of the second half of the task before: its deepest fall below an earlier value, over that",
    "norm_recovery": "(last − lowest) / before",
    "drop_epochs": "epochs from the switch to the lowest",
    "recovery_epochs": "epochs from the switch until the norm, after its lowest, is back at its value there; empty: not in this task",
    "alignment_before": "alignment at the switch",
    "alignment_after": "at the end of the task",
    "alignment_turn": "|A(starts + dt) − A(starts)|",
    "alignment_pace": "median |A(t + dt) − A(t)| in the second half of the task before",
    "turn_epochs": "epochs from the switch until |A − alignment_before| is half of its largest in the task; at least one step",
    "forgetting": "mean over the earlier tasks of the best accuracy at the end of a task, minus that at the end of this one",
    "static_function_error": "of a linearised twin, whose kernel is that at the switch: ‖f − f_lin‖ / ‖f − f_starts‖ at the task's end, on "
    "all test images; empty, like the next two, where the grid has no twin of the run",
    "static_accuracy_error": "its accuracy on the task's test images minus the network's, at the task's end",
    "static_forgetting_error": "its `forgetting` minus the network's",
}


def switch_rows(table: pd.DataFrame, dt: float) -> Iterator[Row]:
    """Rows of a run, with the columns of COLUMNS; of the tasks that were trained to their ends.

    `table`: its metric table, as `storage.read_table` reads it. What is undefined, such as a velocity for which there is no
    checkpoint, is not in the row.
    """
    ends = _ends(table)
    whole = table[(table["block"] == "all") & table["layer"].isna()]
    forgotten = whole[whole["metric"] == "forgetting"].groupby("task")["value"].last()
    for kernel in table["kernel"].dropna().unique():
        of_kernel = whole[whole["kernel"] == kernel]
        norm, alignment = _curve(of_kernel, "spectral_norm"), _curve(of_kernel, "alignment")
        velocity = _curve(of_kernel[of_kernel["dt"] == dt], "kernel_velocity")
        from_start = of_kernel[of_kernel["reference"] == "task_start"]
        for task, end in ends.items():
            start = ends.get(task - 1, 0.0)
            row = {"kernel": kernel, "task": task, "starts": start, "ends": end, "dt": dt}
            row["similarity"] = table.loc[table["task"] == task, "similarity"].iloc[0]
            distance = _curve(from_start[from_start["task"] == task], "kernel_distance")
            row |= {"distance": _at(distance, end)} | _motion(velocity, start, end, dt)
            if task > 1:
                before = (start + ends.get(task - 2, 0.0)) / 2
                row |= _velocities(velocity, before, start, end, dt)
                row |= _norms(norm, start, end) | {"norm_unrest": _unrest(_between(norm, before, start))}
                row |= _alignments(alignment, before, start, end, dt)
                row["forgetting"] = forgotten.get(task, np.nan)
            yield {column: row[column] for column in COLUMNS if column in row and row[column] == row[column]}  # no NaN


def static_errors(table: pd.DataFrame) -> dict[int, Row]:
    """By task, the columns `static_…` of a network's rows, from the metric table of its linearised twin."""
    found: dict[int, Row] = {}
    for task, end in _ends(table).items():
        of_task = table[(table["task"] == task) & _near(table["epoch"], end)]
        for metric, block in (("function", "all"), ("accuracy", f"task{task}"), ("forgetting", "all")):
            values = of_task.loc[(of_task["metric"] == f"{metric}_error") & (of_task["block"] == block), "value"]
            found.setdefault(task, {}).update({f"static_{metric}_error": value for value in values})
    return found


def accuracy_rows(table: pd.DataFrame) -> Iterator[Row]:
    """The accuracy matrix of a run: of each task's test set, seen or not, before training (`trained` 0) and after each task."""
    ends = _ends(table)
    accuracy = table[(table["metric"] == "test_accuracy") & table["block"].str.fullmatch(r"task\d+")]
    for trained, end in {0: 0.0, **ends}.items():
        # At a switch, linearised twins have two values: of the task that ends, and of the one that starts anew there.
        of_task = accuracy[accuracy["task"] == max(1, trained)]
        for _, row in of_task[_near(of_task["epoch"], end)].iterrows():
            task = int(row["block"].removeprefix("task"))
            yield {"trained": trained, "task": task, "test_accuracy": row["value"]}


def _ends(table: pd.DataFrame) -> dict[int, float]:
    """Epoch at which each task ends; without those that diverged, and later ones."""
    lost = table.loc[table["metric"] == "diverged", "task"]
    whole = table[table["task"] < lost.iloc[0]] if len(lost) else table
    ends = whole.groupby("task")["epoch"].max()
    return dict(zip(map(int, ends.index.to_numpy()), map(float, ends), strict=True))


def _near(epochs: Any, wanted: float) -> np.ndarray:
    return np.abs(np.asarray(epochs) - wanted) < 1e-6


def _curve(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Values of a metric by epoch."""
    found = rows[rows["metric"] == metric].sort_values("step", kind="stable")
    return found.set_index("epoch")["value"]


def _epochs(curve: pd.Series) -> list[float]:
    return curve.index.to_numpy(dtype=float).tolist()


def _at(curve: pd.Series, epoch: float) -> float:
    found = curve[_near(curve.index, epoch)]
    return float(found.iloc[-1]) if len(found) else np.nan


def _between(curve: pd.Series, first: float, last: float) -> pd.Series:
    """The part of a curve from `first` to `last`, both included."""
    return curve[(curve.index > first - 1e-6) & (curve.index < last + 1e-6)]


def _motion(velocity: pd.Series, start: float, end: float, dt: float) -> Row:
    """Undefined where steps of dt do not fill the task."""
    steps = round((end - start) / dt)
    if steps == 0 or abs(start + steps * dt - end) > 1e-6:
        return {}
    values = [_at(velocity, start + dt * k) for k in range(steps)]
    return {"path": dt * float(np.sum(values)), "velocity_mean": float(np.mean(values))}


def _velocities(velocity: pd.Series, before: float, start: float, end: float, dt: float) -> Row:
    """`before`: half of the task before. In its first half the kernel may still move as it does after initialisation.

    A velocity is of the dt epochs that follow: none here reaches beyond its task.
    """
    settled, inside = _between(velocity, before, start - dt), _between(velocity, start, end - dt)
    around = pd.concat([settled, inside])
    earlier, at = settled.median(), _at(inside, start)
    return {
        "velocity_before": earlier,
        "velocity_at": at,
        "velocity_ratio": at / earlier if earlier > 0 else np.nan,
        "velocity_last": _at(inside, end - dt),
        "spike_epoch": _epochs(around)[around.argmax()] - start if len(around) else np.nan,
    }


def _norms(norm: pd.Series, start: float, end: float) -> Row:
    before, after = _at(norm, start), _after(norm, start, end)
    lowest = _epochs(after)[after.argmin()]
    back = after[(after.index >= lowest) & (after >= before)]
    return {
        "norm_before": before,
        "norm_lowest": float(after.min()),
        "norm_last": float(after.iloc[-1]),
        "norm_drop": metrics.drop(before, after.to_numpy()),
        "norm_recovery": metrics.recovery(before, after.to_numpy()),
        "drop_epochs": lowest - start,
        "recovery_epochs": _epochs(back)[0] - start if len(back) else np.nan,
    }


def _unrest(norm: pd.Series) -> float:
    """The deepest fall below an earlier value, as a share of that: what a drop has to be compared with."""
    return float((1 - norm / norm.cummax()).max()) if len(norm) > 1 else np.nan


def _alignments(alignment: pd.Series, before: float, start: float, end: float, dt: float) -> Row:
    value = _at(alignment, start)
    settled = _between(alignment, before, start - dt)
    paces = [abs(_at(alignment, epoch + dt) - A) for epoch, A in zip(_epochs(settled), settled, strict=True)]
    away = (_after(alignment, start, end) - value).abs()
    turned = away[away >= away.max() / 2]
    return {
        "alignment_before": value,
        "alignment_after": _at(alignment, end),
        "alignment_turn": _at(away, start + dt),
        "alignment_pace": float(pd.Series(paces, dtype=float).median()),
        "turn_epochs": _epochs(turned)[0] - start if len(turned) else np.nan,
    }


def _after(curve: pd.Series, start: float, end: float) -> pd.Series:
    """The part of a curve after `start`, until `end`."""
    return curve[(curve.index > start + 1e-6) & (curve.index < end + 1e-6)]

"""What each task, and the switch before it, does to the kernel, in numbers from the run's metric table.

There is one row per run, kernel and task. The first task follows no switch, so its columns about the switch are empty.
All numbers are of the whole probe. A switch is the end of the task before; `dt` is the time step of velocities.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from reactivation.analysis.changes import drop, recovery
from reactivation.analysis.timeline import at_end, near, task_ends
from reactivation.storage.headers import SWITCHES

Row = dict[str, Any]


def study_rows(
    runs: dict[str, dict[str, Any]], tables: Iterable[tuple[str, pd.DataFrame]]
) -> tuple[list[Row], list[Row], list[Row]]:
    """The rows of a study's reactivation.csv, accuracy.csv and files.csv; each begins with the run, axes and seed.

    `runs`: by name, each run's `experiment`, `axes` and `seed`; `dt`, the time step of its velocities; `twin`, the name
    of its linearised twin or None; `files`, where the files of each of its tasks are. `tables`: names of runs and their
    metric tables.
    """
    switches: list[Row] = []
    accuracies: list[Row] = []
    files: list[Row] = []
    twins, errors = {spec["twin"] for spec in runs.values()}, {}
    for run, table in tables:
        spec = runs[run]
        about = {"run": run, "experiment": spec["experiment"], **spec["axes"], "seed": spec["seed"]}
        if run in twins:
            errors[run] = static_errors(table)
        switches += [about | row for row in switch_rows(table, spec["dt"])]
        files += [about | {"task": k} | of_task for k, of_task in enumerate(spec["files"], start=1)]
        accuracies += [about | row for row in accuracy_rows(table)]
    # A twin's table may come after its network's.
    switches = [row | errors.get(runs[row["run"]]["twin"], {}).get(row["task"], {}) for row in switches]
    return switches, accuracies, files


def switch_rows(table: pd.DataFrame, dt: float) -> Iterator[Row]:
    """The rows of a run, with the columns SWITCHES: one for each kernel and each task that was trained to its end.

    `table`: the run's metric table, as `read_table` reads it. A row leaves out undefined values, such as a velocity for
    which there is no checkpoint.
    """
    ends = task_ends(table)
    whole = table[(table["block"] == "all") & table["layer"].isna()]
    forgotten = {
        metric: whole[whole["metric"] == metric].groupby("task")["value"].last()
        for metric in ("forgetting", "forgetting_within_task")
    }
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
            for column in (f"alignment_{name}" for name in ("identity", "permuted_low", "permuted_high")):
                row[column] = _at(_curve(of_kernel, column), end)
            row |= {"distance": _at(distance, end)} | _motion(velocity, start, end, dt)
            if task > 1:
                before = (start + ends.get(task - 2, 0.0)) / 2
                row |= _velocities(velocity, before, start, end, dt)
                row |= _norms(norm, start, end) | {"norm_unrest": _unrest(_between(norm, before, start))}
                row |= _alignments(alignment, before, start, end, dt)
                row |= {metric: of_task.get(task, np.nan) for metric, of_task in forgotten.items()}
            yield {column: row[column] for column in SWITCHES if column in row and row[column] == row[column]}  # no NaN


def static_errors(table: pd.DataFrame) -> dict[int, Row]:
    """The columns `static_…` of a network's rows, by task, from the metric table of its linearised twin."""
    found: dict[int, Row] = {}
    for task, end in task_ends(table).items():
        of_task = at_end(table, task, end)
        for metric, block in (("function", "all"), ("accuracy", f"task{task}"), ("forgetting", "all")):
            values = of_task.loc[(of_task["metric"] == f"{metric}_error") & (of_task["block"] == block), "value"]
            found.setdefault(task, {}).update({f"static_{metric}_error": value for value in values})
    return found


def accuracy_rows(table: pd.DataFrame) -> Iterator[Row]:
    """The accuracy matrix of a run: on every task's test set, before training (`trained` 0) and after each task.

    Accuracies within tasks are those of the tasks so far.
    """
    ends = task_ends(table)
    accuracy = table[(table["metric"] == "test_accuracy") & table["block"].str.fullmatch(r"task\d+")]
    within = table[table["metric"] == "accuracy_within_task"]
    for trained, end in {0: 0.0, **ends}.items():
        known = at_end(within, max(1, trained), end).set_index("block")["value"].to_dict()
        for _, row in at_end(accuracy, max(1, trained), end).iterrows():
            block = row["block"]
            found = {"trained": trained, "task": int(block.removeprefix("task")), "test_accuracy": row["value"]}
            yield found | ({"accuracy_within_task": known[block]} if block in known else {})


def _curve(rows: pd.DataFrame, metric: str) -> pd.Series:
    """Values of a metric by epoch."""
    found = rows[rows["metric"] == metric].sort_values("step", kind="stable")
    return found.set_index("epoch")["value"]


def _epochs(curve: pd.Series) -> list[float]:
    return curve.index.to_numpy(dtype=float).tolist()


def _at(curve: pd.Series, epoch: float) -> float:
    found = curve[near(curve.index, epoch)]
    return float(found.iloc[-1]) if len(found) else np.nan


def _between(curve: pd.Series, first: float, last: float) -> pd.Series:
    """The part of a curve from `first` to `last`, both included."""
    return curve[(curve.index > first - 1e-6) & (curve.index < last + 1e-6)]


def _motion(velocity: pd.Series, start: float, end: float, dt: float) -> Row:
    """The path of the kernel in a task and its mean velocity; undefined where steps of dt do not fill the task."""
    steps = round((end - start) / dt)
    if steps == 0 or abs(start + steps * dt - end) > 1e-6:
        return {}
    values = [_at(velocity, start + dt * k) for k in range(steps)]
    return {"path": dt * float(np.sum(values)), "velocity_mean": float(np.mean(values))}


def _velocities(velocity: pd.Series, before: float, start: float, end: float, dt: float) -> Row:
    """Velocities around the switch at `start`.

    `before` is the middle of the task before: in its first half the kernel may still move as it does after
    initialisation. A velocity covers the dt epochs that follow it, and those used here do not reach beyond their task.
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
        "norm_drop": drop(before, after.to_numpy()),
        "norm_recovery": recovery(before, after.to_numpy()),
        "drop_epochs": lowest - start,
        "recovery_epochs": _epochs(back)[0] - start if len(back) else np.nan,
    }


def _unrest(norm: pd.Series) -> float:
    """The deepest fall below an earlier value, as a share of that value. A drop has to be compared with it."""
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

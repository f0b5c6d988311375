"""The times of the rows of a run's table.

A time is a task and a step, not a step alone. At a switch a network has one value, which belongs to the task that ends
there. A linearised twin has two: at the end of one task, and at the start of the next, where it is the network again.
"""

from typing import Any

import numpy as np
import pandas as pd

MOMENT = ["task", "step"]


def moments(table: pd.DataFrame) -> pd.DataFrame:
    """One row for each time of a run, in order."""
    return table.drop_duplicates(MOMENT).sort_values(MOMENT)


def starts_anew(curve: pd.DataFrame) -> pd.Series:
    """Whether each row of a curve, in order of time, repeats the previous row's time: there a twin starts anew."""
    return curve["progress"].diff().eq(0)


def within(rows: pd.DataFrame, task: int) -> pd.Series:
    """Whether rows belong to a task: after its start and up to its end; in the first task, at its start too."""
    inside = (rows["progress"] > task - 1) & (rows["progress"] <= task) & (rows["task"] == task)
    return inside | (rows["progress"] == 0) if task == 1 else inside


def at_switch(rows: pd.DataFrame, task: int) -> pd.Series:
    """Whether rows are at the switch to a task. If there are two, the second is where the task starts."""
    return rows["progress"] == rows.loc[rows["task"] < task, "progress"].max()


def task_ends(table: pd.DataFrame) -> dict[int, float]:
    """The epoch at which each task ends, except the task in which the run diverged and those after it."""
    lost = table.loc[table["metric"] == "diverged", "task"]
    whole = table[table["task"] < lost.iloc[0]] if len(lost) else table
    ends = whole.groupby("task")["epoch"].max()
    return dict(zip(map(int, ends.index.to_numpy()), map(float, ends), strict=True))


def at_end(table: pd.DataFrame, task: int, end: float) -> pd.DataFrame:
    """The rows of a task at the epoch `end`."""
    return table[(table["task"] == task) & near(table["epoch"], end)]


def near(epochs: Any, wanted: float) -> np.ndarray:
    """Whether epochs equal `wanted`, up to rounding."""
    return np.abs(np.asarray(epochs) - wanted) < 1e-6

"""The horizontal axis of `time: since_switch`: linear before a switch, logarithmic from the first step after it.

A position on the axis is 0 at the switch, −BEFORE where the task before starts, GAP at the first step after the switch
and GAP + AFTER at the end of the task. From the switch to the first step, where a logarithm has no place, it is linear.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import EngFormatter

SINCE = "since_switch"
TIMES = {"epochs": "epoch", "steps": "step"}  # by unit, the column that has the time since initialisation
BEFORE, GAP, AFTER = 0.25, 0.07, 0.68  # shares of the axis
MARGIN = 0.02
ROUNDING = 1e-6  # epochs
CHARACTER = 0.044  # width of a digit, as a share of the axis of a panel
BREAK: dict[str, Any] = {"color": "white", "linewidth": 2.0, "clip_on": False, "zorder": 3}


class Around(NamedTuple):
    """What an axis spans: the time before the switch, the first time after it, and the last."""

    before: float
    first: float
    last: float


def switch_times(runs: pd.DataFrame, task: int, unit: str) -> pd.Series:
    """When each run goes over to a task, by `run`; NaN if it diverged before anything says how long a task is.

    A run that diverged in the task before has not come to the switch. Its `progress` says where that would have been.
    """
    time, start = TIMES[unit], task - 2
    rows = runs[(runs["task"] < task) & (runs["progress"] >= start)]
    rows = rows[["run", "progress", time]].drop_duplicates(["run", "progress"]).sort_values("progress")
    last = rows.groupby("run").last()
    begins = rows[rows["progress"] == start].set_index("run")[time].reindex(last.index, fill_value=0)
    done = last["progress"] - start
    planned = begins + (last[time] - begins) / done.where(done > 0)
    return last[time].where(done == 1, planned.round(6))


def around_switch(rows: pd.DataFrame, runs: pd.DataFrame, task: int, unit: str) -> pd.DataFrame:
    """The rows of a task and of the one before it, with their time since the switch, of runs that have one.

    `runs`: all rows of these runs, which tell when the switch is.
    """
    rows = _of_one_task(rows[rows["task"].isin((task - 1, task))], runs, task)
    since = rows[TIMES[unit]] - rows["run"].map(switch_times(runs, task, unit))
    return rows.assign(**{SINCE: since.round(9)}).dropna(subset=[SINCE])


def _of_one_task(rows: pd.DataFrame, runs: pd.DataFrame, task: int) -> pd.DataFrame:
    """`rows` without rates from t to t + dt that are of two tasks; one that begins at the switch is the new task's."""
    rate = rows["dt"].notna()
    if not rate.any():
        return rows
    begins = rows["epoch"]
    ends = begins + rows["dt"].fillna(0)
    switch = rows["run"].map(switch_times(runs, task, "epochs"))
    end = rows["run"].map(switch_times(runs, task + 1, "epochs")).fillna(np.inf)
    new = (begins >= switch - ROUNDING) & (ends <= end + ROUNDING)
    rows = rows.assign(task=np.where(rate & new, task, rows["task"]))
    return rows[~rate | new | (ends <= switch + ROUNDING)]


def span_of(since: pd.Series) -> Around:
    """The span of an axis that shows the times `since`."""
    after = since[since > 0]
    first, last = (after.min(), after.max()) if len(after) else (1.0, 10.0)
    before = -since.min() if len(since) else 0.0
    return Around(float(before) if before > 0 else 1.0, float(first), float(last if last > first else 10 * first))


def position(times: np.ndarray, around: Around) -> np.ndarray:
    """Where times are on the axis."""
    t = np.asarray(times, dtype=np.float64)
    far = np.log(np.maximum(t, around.first) / around.first) / math.log(around.last / around.first)
    return np.select([t < 0, t < around.first], [BEFORE * t / around.before, GAP * t / around.first], GAP + AFTER * far)


def time_at(positions: np.ndarray, around: Around) -> np.ndarray:
    """The inverse of `position`."""
    x = np.asarray(positions, dtype=np.float64)
    far = around.first * (around.last / around.first) ** ((np.maximum(x, GAP) - GAP) / AFTER)
    return np.select([x < 0, x < GAP], [around.before * x / BEFORE, around.first * x / GAP], far)


def ticks(around: Around) -> dict[float, str]:
    """Times with a tick, and the label of each: empty where it would run into another."""
    decades = {power: 10.0**power for power in _powers(around.first, around.last)}
    free = {power: time for power, time in decades.items() if _apart([0.0, time], around)}
    strides = ([time for power, time in free.items() if power % n == 0] for n in range(1, 10))
    labelled = [0.0, *next(times for times in strides if _apart(times, around))]
    finer = [nice * time for time in _decades(around) for nice in (2, 5) if around.first <= nice * time <= around.last]
    before = [-time for time in _few(around.before)]
    for time in [*before, *(finer if len(decades) < 3 else [])]:
        labelled += [time] if _apart([*labelled, time], around) else []
    shown = sorted({*labelled, *decades.values(), *before})
    return {time: _text(time) if time in labelled else "" for time in shown}


def small_ticks(around: Around) -> list[float]:
    """Times of the ticks between decades, which show that the axis is logarithmic there."""
    times = [digit * time for time in _decades(around) for digit in range(2, 10)]
    return [time for time in times if around.first <= time <= around.last]


def draw_axis(ax: Axes, around: Around, task: int, unit: str) -> None:
    """Give `ax`, whose curves are drawn against the time since the switch to a task, this axis."""
    ax.set_xscale("function", functions=(lambda t: position(t, around), lambda x: time_at(x, around)))
    ax.set_xlim(*time_at(np.array([-BEFORE - MARGIN, GAP + AFTER + MARGIN]), around))
    marked = ticks(around)
    ax.set_xticks(list(marked), labels=list(marked.values()))
    ax.set_xticks(small_ticks(around), minor=True)
    # Between the switch and the first step after it there is no scale, so no line either.
    ax.plot([0.25 * around.first, 0.75 * around.first], [0, 0], transform=ax.get_xaxis_transform(), **BREAK)
    ax.set_xlabel(f"{unit} since the switch" + (f"\nto task {task}" if task > 2 else ""))


def _powers(low: float, high: float) -> range:
    """The powers of ten from `low` to `high`; a number that rounding has moved off one counts as that."""
    return range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)


def _decades(around: Around) -> list[float]:
    """The starts of all decades in which the axis has a part after the switch."""
    return [10.0**power for power in range(math.floor(math.log10(around.first)), math.ceil(math.log10(around.last)))]


def _few(before: float) -> list[float]:
    """One or two round times up to `before`, the longest first.

    The task before is longer by a step than its checkpoints say if they begin with that after its first step.
    """
    scale = 10.0 ** math.floor(math.log10(before / 2))
    steps = [nice * scale for nice in (1, 2, 5, 10)]
    step, count = next((step, n) for step in steps if (n := math.floor(before / step * 1.01)) <= 2)
    return [step * i for i in range(count, 0, -1)]


def _text(time: float) -> str:
    if abs(time) >= 1000:
        return EngFormatter(sep="")(time)  # 1k, −5k
    return np.format_float_positional(time, trim="-", precision=6).replace("-", "−")


def _apart(times: list[float], around: Around) -> bool:
    """Whether the labels of these times leave room between each other."""
    places = sorted((float(position(np.array(time), around)), len(_text(time))) for time in times)
    pairs = itertools.pairwise(places)
    return all(right - left > CHARACTER * ((m + n) / 2 + 0.4) for (left, m), (right, n) in pairs)

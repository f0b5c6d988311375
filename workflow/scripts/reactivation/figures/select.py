"""What figures show: rows of metric tables, selected and put together over seeds. No drawing."""

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reactivation.analysis import timeline, width_convergence
from reactivation.analysis.changes import drop, recovery
from reactivation.errors import InputError
from reactivation.figures.switch_axis import SINCE, around_switch, span_of
from reactivation.storage.headers import AT, SLOPE, figure_columns

if TYPE_CHECKING:
    from reactivation.data import specs

# Columns of our own, not to be taken for an axis: names of axes have no space.
RANK, ENDED, WHOLE = " rank", " ended", " whole"
TIMES = {"tasks": "progress", "iterations": "step", "since_switch": SINCE}  # columns; epochs otherwise


def shown(spec: "specs.Figure", runs: pd.DataFrame) -> pd.DataFrame:
    """What the figure `spec` shows of the tables of its runs, told apart by their column `run`.

    `panel` counts from 0. The rows of a panel depend on its kind:

    curves       one per value of the color axis, block and time: mean, low and high over the seeds that have a value
                 there, and the number of these seeds
    spectrum     the same, per `index` of the eigenvalue
    summary      one per run: its value, and the mean of the runs that differ only in the seed
    convergence  one per width and initialisation: its value, the geometric mean at that width, and the slope

    What a panel's metric has by chance, if the panel draws that, has rows of the same kind under metrics of its own.

    If runs that diverged are drawn, their rows end there, and the column `diverged` marks them. A panel whose runs all
    diverged may have no rows. InputError if any other panel has none.
    """
    parts, fates = [], _fates(runs)
    diverged = fates.loc[fates[ENDED].notna(), "run"]
    for i, panel in enumerate(spec["panels"]):
        of_panel: list[pd.DataFrame] = []
        for metric in (panel["metric"], *itertools.chain(*panel.get("chance", {}).values())):
            rows = _rows(panel | {"metric": metric}, runs, fates)
            rows = KINDS[panel["kind"]](panel, rows.assign(diverged=rows["run"].isin(diverged))) if len(rows) else rows
            of_panel.append(rows.assign(panel=i, kind=panel["kind"], metric=metric))
        if of_panel[0].empty and set(panel["runs"]) <= set(diverged):
            continue
        if of_panel[0].empty:
            raise InputError(
                f"panels.{i} has nothing to draw: {panel['metric']} has no finite value on "
                f"{', '.join(panel['block'])} in these runs. "
                "Kernel metrics need two probe images there (unbiased ones four) and a kernel that is not constant, "
                "alignment labels that differ, its unbiased version two images of one class too, "
                "velocities a checkpoint dt later, drop and recovery a value above 0 before the switch"
            )
        parts += [rows for rows in of_panel if len(rows)]
    axes = dict.fromkeys(axis for panel in spec["panels"] for axis in (panel["color"], panel.get("x")) if axis)
    order = figure_columns(axes)
    if not parts:
        return pd.DataFrame(columns=order[:-1])
    drawn = pd.concat(parts, ignore_index=True)
    given = [column for column in order if column in drawn]
    return drawn[given if drawn["diverged"].any() else given[:-1]]


def diverged_runs(spec: "specs.Figure", runs: pd.DataFrame) -> dict[str, list[str]]:
    """Names of the figure's `runs`, of those that `diverged`, and of the diverged ones that are `left_out`."""
    names = list(dict.fromkeys(run for panel in spec["panels"] for run in panel["runs"]))
    fates = _fates(runs)
    lost = set(fates.loc[fates[ENDED].notna(), "run"])
    diverged = [run for run in names if run in lost]
    drawn = {run for panel in spec["panels"] for run in _rows(panel, runs, fates)["run"]} if diverged else set()
    return {"runs": names, "diverged": diverged, "left_out": [run for run in diverged if run not in drawn]}


def spans(spec: "specs.Figure", runs: pd.DataFrame) -> list[dict[str, Any]]:
    """For each panel over time: `switches`, when a task except a run's last one ends; `end`, that of the longest run.

    Time since a switch has that switch alone, and `around`, what its axis spans: the same for all metrics of a run.
    A run that diverged has its last row in the task in which it did, so the end of its rows is not taken for a switch.
    """
    found: list[dict[str, Any]] = []
    fates = _fates(runs)
    for panel in spec["panels"]:
        time, of_panel = time_column(panel), runs[runs["run"].isin(_drawable(panel, fates))]
        if time == SINCE:
            found.append({"switches": [0.0], "around": span_of(_around_switch(panel, of_panel, runs)[SINCE])})
            continue
        ends = of_panel.groupby(["run", "task"])[time].max().reset_index()
        last = ends.groupby("run")["task"].transform("max")
        switches = sorted(ends.loc[ends["task"] < last, time].unique()) if panel["kind"] != "summary" else []
        found.append({"switches": switches, "end": float(ends[time].max())})
    return found


def time_column(panel: "specs.Panel") -> str:
    """The column of a panel's horizontal axis, if the axis is time."""
    return TIMES.get(panel.get("time", ""), "epoch")


def ordered(axis: pd.Series) -> list:
    """The values of an axis in order. Numbers come first: `default`, a word, stands for a key that is not given.

    Layers are in the order of the network, as in the table.
    """
    if axis.name == "layer":
        return axis.dropna().unique().tolist()
    return sorted(axis.dropna().unique(), key=lambda value: (isinstance(value, str), value))


def _fates(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per run, with its configuration; `ENDED`: the task in which it diverged, NaN if it did not.

    It serves all panels: the tables of a figure have millions of rows.
    """
    each = runs.drop_duplicates("run")
    return each.assign(**{ENDED: each["run"].map(runs[runs["metric"] == "diverged"].set_index("run")["task"])})


def _drawable(panel: "specs.Panel", fates: pd.DataFrame) -> list[str]:
    """The panel's runs, without those that diverged while another seed of the same configuration did not.

    A mean over seeds would jump where it loses a seed. If all seeds diverged, all stay; in a summary only those that
    finished its task.
    """
    each = fates[fates["run"].isin(panel["runs"])]
    each = each.assign(**{WHOLE: each[ENDED].isna()})
    any_whole = each.groupby(["experiment", *panel["axes"]], dropna=False)[WHOLE].transform("any")
    drawable = each[each[WHOLE] | ~any_whole]
    if panel["kind"] == "summary":
        drawable = drawable[~(drawable[ENDED] <= panel["task"])]
    return drawable["run"].tolist()


def _rows(panel: "specs.Panel", runs: pd.DataFrame, fates: pd.DataFrame) -> pd.DataFrame:
    """Rows that the panel draws: those of its metric and of its parts of the probe or test set."""
    rows = runs[runs["run"].isin(_drawable(panel, fates)) & (runs["metric"] == panel["metric"])]
    if panel["kernel"] is not None:
        rows = rows[(rows["kernel"] == panel["kernel"]) & (rows["layer"].isna() != (panel["color"] == "layer"))]
    if panel["reference"] is not None:
        rows = rows[rows["reference"] == panel["reference"]]
    if panel["dt"] is not None:
        rows = rows[rows["dt"] == panel["dt"]]
    if panel["kind"] == "spectrum":
        rows = rows[rows["index"] < panel["leading"]].astype({"index": int})
    if time_column(panel) == SINCE:
        rows = _around_switch(panel, rows, runs)
    return _of_blocks(panel, rows)


def _around_switch(panel: "specs.Panel", rows: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Those of `rows` that lie around the panel's switch, whose time in each run all rows of `runs` tell."""
    return around_switch(rows, runs[runs["run"].isin(panel["runs"])], panel["task"], panel["unit"])


def _of_blocks(panel: "specs.Panel", rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the panel's parts of the probe or test set; `current` is the task at the time."""
    current = rows["block"] == "task" + rows["task"].astype(str)
    parts = [
        rows[current].assign(block="current") if block == "current" else rows[rows["block"] == block]
        for block in panel["block"]
    ]
    return pd.concat(parts)


def _over_seeds(rows: pd.DataFrame, color: str | None, more: list[str]) -> pd.DataFrame:
    """Mean, lowest, highest and number of seeds, in the order of the color axis and of `more`, then of time."""
    axis = [color] if color else []
    rank = {value: i for i, value in enumerate(ordered(rows[color]))} if color else {}
    rows = rows.assign(**{RANK: rows[color].map(rank) if color else 0})
    rows = rows.sort_values([RANK, *more, "step"], kind="stable")
    at = [*AT, SINCE] if SINCE in rows else AT
    grouped = rows.groupby([*axis, *more, *at, "diverged"], sort=False)["value"]
    return grouped.agg(mean="mean", low="min", high="max", seeds="count").reset_index()


def _curves(panel: "specs.Panel", rows: pd.DataFrame) -> pd.DataFrame:
    return _over_seeds(rows, panel["color"], ["block"])


def _spectrum(panel: "specs.Panel", rows: pd.DataFrame) -> pd.DataFrame:
    return _over_seeds(rows, None, ["block", "index"])


def _summary(panel: "specs.Panel", rows: pd.DataFrame) -> pd.DataFrame:
    axes = list(dict.fromkeys(axis for axis in (panel["color"], panel["x"]) if axis and axis != "similarity"))
    found = []
    for (_, seed), run in rows.groupby(["run", "seed"], sort=False):
        run = run.sort_values("step", kind="stable")
        task, at = panel["task"], run["progress"]
        # A velocity from t to t + dt belongs to the task that lies between them: at the switch, the next one.
        late = panel["dt"] is not None
        inside = (at >= task - 1) & (at < task) if late else timeline.within(run, task)
        values = run.loc[inside, "value"].to_numpy()
        before = run.loc[timeline.at_switch(run, task), "value"].to_numpy() if task > 1 else values[:1]
        if len(values):
            row = {axis: run[axis].iloc[0] for axis in axes} | {"block": panel["block"][0], "seed": seed, "task": task}
            row["diverged"] = run["diverged"].iloc[0]
            row["value"] = STATISTIC[panel["statistic"]](before[-1] if len(before) else np.nan, values)
            if panel["x"] == "similarity":
                row["similarity"] = run.loc[run["task"] == task, "similarity"].iloc[0]
            found.append(row)
    table = pd.DataFrame(found)
    if table.empty:
        return table
    table = table[np.isfinite(table["value"])]
    grouped = table.groupby(list(dict.fromkeys([*axes, panel["x"]])), sort=False)["value"]
    return table.assign(
        mean=grouped.transform("mean"),
        low=grouped.transform("min"),
        high=grouped.transform("max"),
        seeds=grouped.transform("count"),
    )


def _convergence(panel: "specs.Panel", rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.assign(log=np.log(rows["value"])).sort_values(["width", "seed", "other_seed"])
    shape = (rows["width"].nunique(), rows["seed"].nunique(), -1)
    fitted = width_convergence.slope(rows["width"].unique(), rows["value"].to_numpy().reshape(shape))
    each = rows.groupby(["width", "other", "seed", "block", "diverged"], as_index=False)["log"].mean()
    by_width = each.groupby("width")["log"]
    return each.drop(columns="log").assign(
        value=np.exp(each["log"]),
        mean=np.exp(by_width.transform("mean")),
        low=np.exp(by_width.transform("min")),
        high=np.exp(by_width.transform("max")),
        seeds=by_width.transform("count"),
        **dict(zip(SLOPE, fitted, strict=True)),
    )


def together(panel: "specs.Panel", drawn: pd.DataFrame) -> bool:
    """Whether one line goes through all means of a summary: each place has a color of its own, or there are none."""
    color, x = panel["color"], panel["x"]
    pairs = drawn[[x, color]].drop_duplicates() if color not in (None, x) else None
    return pairs is None or (pairs[color].is_unique and pairs[x].is_unique)


STATISTIC = {
    "last": lambda before, values: values[-1],
    "max": lambda before, values: values.max(),
    "drop": drop,
    "recovery": recovery,
}
KINDS = {"curves": _curves, "summary": _summary, "spectrum": _spectrum, "convergence": _convergence}

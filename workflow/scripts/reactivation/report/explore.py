"""All curves of all runs in one page. What they share is stored once, and values have five digits."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from plotly.colors import sequential
from plotly.offline import get_plotlyjs

from reactivation.analysis.timeline import moments
from reactivation.figures import words
from reactivation.report.pages import page
from reactivation.storage.headers import METRICS, SERIES
from reactivation.storage.tables import read_tables

LEADING = 8  # eigenvalues shown, of the kernel of all images: the others are most of a run's table
Row = dict[str, Any]


def compact(tables: Iterable[str]) -> dict[str, list]:
    """The metric tables of all runs, read one at a time, in the form that the page explore.html takes.

    `series`: [metric, kernel, layer, block, reference, dt, index of the eigenvalue] of each curve that some run has.

    `runs`: each with its name, experiment, seed and axes; the `epoch`, `progress` and `task` of its times; `switches`,
    positions of the times at which a task ends; `diverged`, the step or None; `at`, lists of positions in the times;
    `curves`, by position in `series`: [position in `at`, the values at those times].
    """
    known: dict[tuple, int] = {}
    runs = [_run(read_tables([path]), known) for path in tables]
    return {"series": [list(series) for series in known], "runs": runs}


def _run(table: pd.DataFrame, known: dict[tuple, int]) -> Row:
    first = table.iloc[0]
    axes = [column for column in table.columns if column not in (*METRICS, "run")]
    diverged = table.loc[table["metric"] == "diverged", "value"]
    table = table[table["metric"] != "diverged"]
    leading = (table["index"] < LEADING) & (table["block"] == "all")
    table = table[(table["metric"] != "eigenvalues") | leading]
    times = moments(table)
    places = {at: i for i, at in enumerate(zip(times["task"], times["step"], strict=True))}
    patterns: dict[tuple, int] = {}
    curves = {}
    for key, rows in table.groupby(list(SERIES), dropna=False, sort=False):
        series = tuple(_plain(value) for value in key)
        when = tuple(places[at] for at in zip(rows["task"], rows["step"], strict=True))
        curves[known.setdefault(series, len(known))] = [
            patterns.setdefault(when, len(patterns)),
            [_plain(float(f"{value:.5g}")) for value in rows["value"].tolist()],
        ]
    tasks = times["task"].tolist()
    return {
        "name": first["run"],
        "experiment": first["experiment"],
        "seed": _plain(first["seed"]),
        "axes": {axis: _plain(first[axis]) for axis in axes},
        "epoch": [round(epoch, 6) for epoch in times["epoch"].tolist()],
        "progress": [round(progress, 6) for progress in times["progress"].tolist()],
        "task": tasks,
        "switches": [i for i, (task, following) in enumerate(pairwise(tasks)) if following > task],
        "diverged": None if diverged.empty else int(diverged.iloc[0]),
        "at": [list(when) for when in patterns],
        "curves": curves,
    }


def _plain(value: Any) -> int | float | str | None:
    """A cell's value for JSON: None if it is empty, whole numbers as int."""
    if pd.isna(value):
        return None
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def explore_page(study: str, curves: dict[str, list], metrics: dict[str, str], logarithmic: list[str]) -> str:
    """A page that draws what `compact` returned.

    `metrics`: the words for each metric; `logarithmic`: those metrics whose axis is logarithmic at first.
    """
    said = {
        "metrics": {metric: _unicode(text) for metric, text in metrics.items()},
        "axes": {axis: _unicode(text) for axis, text in words.AXES.items()},
        "kernels": words.KERNELS,
        "references": words.REFERENCES,
        "logarithmic": logarithmic,
        "blocks": {block: words.block_name(block) for _, _, _, block, *_ in curves["series"]},
    }
    data = {"study": study, "words": said, "palette": sequential.Viridis, **curves}
    return page("explore.html", study=study, data=data, plotly=Markup(get_plotlyjs()))


def _unicode(text: str) -> str:
    """A figure's label as plain text, without formula marks."""
    return text.replace(r"\alpha", "α").replace("$", "")

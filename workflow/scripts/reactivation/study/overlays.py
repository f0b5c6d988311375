"""Others' numbers over a panel's curves: which rows of which table they are, and what is wrong with them."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactivation.errors import InputError
from reactivation.storage.files import file_digest
from reactivation.storage.others import check_there, others_rows
from reactivation.study.checks import Problems
from reactivation.study.grid import Experiments, cell, chosen, filled_panel, view
from reactivation.study.outline import Outlines
from reactivation.study.schema_figures import Curves, Figure, Others

if TYPE_CHECKING:
    from reactivation.data import specs

TIMES = {"epoch": "epoch", "iterations": "step"}  # by a panel's time, the column that a table needs


def others_files(figure: Figure, data_root: str) -> list[str]:
    """The paths of the tables that a figure draws."""
    given = (panel.others for panel in figure.panels if isinstance(panel, Curves))
    return list(dict.fromkeys(_file(others, data_root) for others in given if others))


def others_spec(
    figure: Figure, panel: Curves, experiments: Experiments, axes: list[dict[str, Any]], data_root: str
) -> "specs.Others":
    """What `panel`, which has `others`, draws of its table. `axes`: those of its runs."""
    assert panel.others is not None
    path = _file(panel.others, data_root)
    name, color, _ = view(figure, panel, experiments)
    blocks = filled_panel(panel, experiments[name])["block"]
    return {
        "table": others_files(figure, data_root).index(path),
        "sha256": file_digest(path) if Path(path).is_file() else "",
        "value": panel.others.value,
        "label": panel.others.label,
        "time": TIMES[panel.time],
        "tasks": {block: _task(block) for block in blocks},
        "where": {key: cell(value) for key, value in axes[0].items() if key != color},
    }


def overlay_problems(
    figure: Figure, experiments: Experiments, combinations: dict[str, Outlines], data_root: str
) -> Problems:
    """What is wrong with others' numbers in a figure that is sound otherwise."""
    for i, panel in enumerate(figure.panels):
        if not isinstance(panel, Curves) or panel.others is None:
            continue
        name, color, where = view(figure, panel, experiments)
        if problem := _unfit(panel, color, filled_panel(panel, experiments[name])["block"]):
            yield f"panels.{i}.others", problem
            continue
        axes = [values for values, _ in combinations[name] if chosen(values, where)]
        colors = list(dict.fromkeys(cell(values[color]) for values in axes)) if color else []
        path = _file(panel.others, data_root)
        if not Path(path).exists():
            continue  # only who wants the figure needs it
        try:
            check_there(path)
            spec = others_spec(figure, panel, experiments, axes, data_root)
            if not others_rows(path, spec, color, colors):
                yield f"panels.{i}.others.path", f"{path} has no row of {_sought(spec, color, colors)}"
        except InputError as error:
            yield f"panels.{i}.others.path", str(error)


def _unfit(panel: Curves, color: str | None, blocks: list[str]) -> str | None:
    """Why no table can go with a panel; None if one can."""
    if panel.time not in TIMES:
        return f"needs time: {' or '.join(TIMES)}, which tables have (it is {panel.time})"
    if color == "layer":
        return "cannot go with color: layer: no table has the layers of a network"
    tasks = list(map(_task, blocks))
    if len(blocks) > 1 and (None in tasks or len({*tasks}) < len(tasks)):
        return f"needs blocks of one task each, which tell rows apart (they are {', '.join(blocks)})"
    return None


def _sought(spec: "specs.Others", color: str | None, colors: list[Any]) -> str:
    """The rows that a panel draws, in words."""
    axes = {axis: [value] for axis, value in spec["where"].items()} | ({color: colors} if color else {})
    axes |= {"task": [task for task in spec["tasks"].values() if task]}
    found = [f"{axis} {' or '.join(map(str, values))}" for axis, values in axes.items() if values]
    return ", ".join(found) or "its only curve"


def _file(others: Others, data_root: str) -> str:
    return str(Path(data_root).expanduser() / Path(others.path).expanduser())


def _task(block: str) -> int | None:
    """The number of the one task whose images a block has, if so."""
    found = re.fullmatch(r"task(\d+)(_\w+)?", block)
    return int(found[1]) if found else None

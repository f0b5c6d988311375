"""Read tables of numbers from elsewhere, such as published ones, which figures draw over their curves."""

import csv
import io
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.storage.files import check, reading

KIND, REMEDY = "not the table that the panel needs", "correct the table, or the panel's keys"
Row = dict[str, Any]


def others_rows(path: str | Path, spec: Mapping[str, Any], color: str | None, colors: Iterable[Any]) -> list[Row]:
    """The rows of the table that belong to a panel: its axis `color`, then block, value, and epoch or step.

    `spec` is as in `specs.Others`; `colors`: the values of that axis that the panel shows. InputError if the table
    lacks a column or holds text in place of a number, or if two rows of one curve have the same time.
    """
    columns = [*([color] if color else []), *(["task"] if len(spec["tasks"]) > 1 else []), spec["time"], spec["value"]]
    table = _read(path, columns, [*spec["where"], "task"])
    shown = [{color: value} for value in colors] if color else [{}]
    found: list[Row] = []
    with reading(path, KIND, REMEDY):
        for line, row in table:
            if not _agrees(row, spec["where"]):
                continue
            numbers = {"value": _number(row, spec["value"], line), spec["time"]: _number(row, spec["time"], line)}
            check(numbers[spec["time"]] >= 0, f"line {line} has {spec['time']} {row[spec['time']]}, before the start")
            for of_curve in (axis for axis in shown if _agrees(row, axis)):
                blocks = (name for name, task in spec["tasks"].items() if task is None or _agrees(row, {"task": task}))
                found += [{**of_curve, "block": block, **numbers} for block in blocks]
        _check_distinct(found)
    return found


def check_there(path: str | Path) -> None:
    """InputError unless there is such a table."""
    if Path(path).is_dir():
        raise InputError(f"{path} is a folder: name a CSV file")
    if not Path(path).exists():
        raise InputError(
            f"there is no {path}, whose numbers the figure draws: put the table there, or name its folder with "
            "--config data_root=FOLDER"
        )


def _read(path: str | Path, columns: list[str], more: list[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows, each with the number of its line.

    InputError if one of `columns` is missing, or if the table has one of these, or of `more`, twice.
    """
    with reading(path, KIND, REMEDY):
        text = Path(path).read_text(encoding="utf-8-sig")  # spreadsheets begin a file with a mark
        reader = csv.DictReader(io.StringIO(text))
        try:
            known, table = list(reader.fieldnames or ()), [(reader.line_num, row) for row in reader]
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num + 1}: {error}") from error
        missing = [column for column in dict.fromkeys(columns) if column not in known]
        check(not missing, f"it has no column {', '.join(missing)}; it has {', '.join(known) or 'none'}")
        twice = [column for column in dict.fromkeys([*columns, *more]) if known.count(column) > 1]
        check(not twice, f"it has two columns {', '.join(twice)}")
        for line, row in table:
            check(None not in row and None not in row.values(), f"line {line} does not have {len(known)} values")
        return table


def _number(row: dict[str, str], column: str, line: int) -> float:
    try:
        number = float(row[column])
    except ValueError:
        number = math.nan
    check(math.isfinite(number), f"line {line} has {row[column]!r} as {column}, which is not a number")
    return number


def _agrees(row: dict[str, str], values: dict[str, Any]) -> bool:
    """Whether a row has these values, as far as the table has columns for them."""
    return all(_means(row[column], value) for column, value in values.items() if column in row)


def _means(text: str, value: Any) -> bool:
    """Whether a cell means the value of an axis."""
    if isinstance(value, int | float):
        try:
            return float(text) == value
        except ValueError:
            return False
    return "".join(text.split()) == "".join(str(value).split())


def _check_distinct(rows: list[Row]) -> None:
    seen: set[tuple] = set()
    for row in rows:
        at = {key: value for key, value in row.items() if key != "value"}
        words = ", ".join(f"{key} {value}" for key, value in at.items())
        check(tuple(at.values()) not in seen, f"two of its rows have {words}; the panel cannot tell them apart")
        seen.add(tuple(at.values()))

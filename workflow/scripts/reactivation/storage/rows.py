"""CSV tables, row by row. All tables are written here; those of segments are read here too, the others by tables.py."""

import csv
import io
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from reactivation.storage.files import atomic, check, reading, whole_text

Columns = dict[str, Callable[[str], Any]]  # for each column, what reads its text

# The columns of a segment's tables.
EVALUATION: Columns = {
    "step": int,
    "epoch": float,
    "class": int,
    "images": int,
    "test_accuracy": float,
    "test_loss": float,
}
FUNCTION: Columns = {
    "step": int,
    "epoch": float,
    "part": str,
    "class": int,
    "images": int,
    "distance": float,
    "change": float,
}


def write_rows(path: str | Path, rows: list[dict[str, Any]], columns: Collection[str] | None = None) -> None:
    """Write a CSV with one line per row. `columns` default to the first row's keys; floats keep all digits."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys() if columns is None else columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_rows(path: str | Path, kinds: Columns) -> list[dict[str, Any]]:
    """The rows of a table with the columns `kinds`: EVALUATION for evaluation.csv, FUNCTION for function-<hash>.csv."""
    with reading(path):
        reader = csv.DictReader(io.StringIO(whole_text(path)))
        check(list(reader.fieldnames or ()) == list(kinds), f"it should have the columns {', '.join(kinds)}")
        return [{key: kinds[key](value) for key, value in row.items()} for row in reader]

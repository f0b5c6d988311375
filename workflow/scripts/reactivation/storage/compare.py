"""Whether two files hold the same result: the same bits, apart from times, versions and other notes on their making.

A training that was made again may have stopped early, and kernels may be of its first checkpoints only: then as much is
compared as both have. On a GPU, sums are taken in an order that varies, so numbers are compared within BOUNDS.
"""

import csv
import io
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from reactivation.storage.files import archive_digest, file_digest, reading
from reactivation.storage.receipts import Entry

# On a GPU: the most that two results may differ, as a share of the largest number of each tensor, kernel or column.
BOUNDS = {"weights": 1e-3, "kernels": 1e-4, "tables": 1e-2}
NOTES = ("seconds", "images_per_second")  # columns that say how long a training took
ATTRIBUTES = ("class_names", "mean", "std", "digest", "order", "diverged")  # of HDF5 files; the others are notes
NOT_COMPARED = (".json", ".pdf")  # records of a making, with its date
CUT = ("training.csv", "evaluation.csv")  # and function-*.csv, within.csv: tables of a segment, which may end early


def difference(
    made: Path, there: Path, entry: Entry | None, loose: bool, until: float = math.inf, first: int | None = None
) -> str | None:
    """How `made`, a file that was made again, differs from `there`, in a few words; None if it does not.

    `entry`: what was recorded of `there`, by which a file that is gone can be compared. `loose`: within BOUNDS. Of a
    training's tables, `made` must have all rows of steps before `until`; of what else is made of checkpoints, all that
    belongs to the `first` steps.
    """
    suffix = made.suffix
    if not made.is_file():
        return "was not made again"
    if suffix == ".pt":
        return _weights(made, there, entry, loose)
    if not there.is_file():
        return "is missing"
    if suffix == ".csv":
        return _tables(made, there, loose, until, first)
    if suffix == ".h5":
        return _arrays(made, there, loose, first)
    if suffix == ".npz":
        return None if archive_digest(made) == archive_digest(there) else "has other contents"
    if suffix == ".png":
        return None if pixels(made) == pixels(there) else "has other pixels"
    return None if made.read_bytes() == there.read_bytes() else "has other bytes"


def _weights(made: Path, there: Path, entry: Entry | None, loose: bool) -> str | None:
    if entry is None and not there.is_file():
        return "is missing, and nothing was recorded of it"
    if file_digest(made) == (entry["sha256"] if entry else file_digest(there)):
        return None
    if not there.is_file():
        return "is gone, so only its bits can be compared, and they differ"
    from reactivation.storage.checkpoints import read_checkpoint

    a, b = (read_checkpoint(path)["model"] for path in (made, there))
    if a.keys() != b.keys() or any(a[name].shape != b[name].shape for name in a):
        return "has other weights"
    far = {name: apart(a[name].numpy(), b[name].numpy()) for name in a}
    name = max(far, key=lambda name: far[name])
    if loose and far[name] <= BOUNDS["weights"]:
        return None
    if far[name] == 0:  # final weights may have it with them
        return "has another state of the optimizer, or another step"
    return f"has other bits: {name} by {far[name]:.1g} of its largest weight"


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The largest difference of two arrays of one shape, as a share of the largest entry of the second."""
    if a.size == 0 or np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    a, b = a.astype(float), b.astype(float)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    gap = float(np.max(np.where(same, 0, np.abs(a - b))))
    largest = float(np.max(np.abs(b)))
    return np.inf if np.isnan(gap) or largest == 0 else gap / largest


def _tables(made: Path, there: Path, loose: bool, until: float, first: int | None) -> str | None:
    """Compare tables by their text, number by number if `loose`."""
    new, old = (path.read_text(encoding="utf-8") for path in (made, there))
    if new == old:
        return None
    rows, before = (list(csv.DictReader(io.StringIO(text))) for text in (new, old))
    if made.name in CUT:
        before = [row for row in before if float(row["step"]) < until]
    elif made.name.startswith("function-") or made.name == "within.csv":
        steps = list(dict.fromkeys(row["step"] for row in before))[:first]
        before = [row for row in before if row["step"] in steps]
    if new.splitlines()[:1] != old.splitlines()[:1] or len(rows) != len(before):
        return f"has {len(rows)} rows or other columns, instead of {len(before)} rows"
    for number, (row, was) in enumerate(zip(rows, before, strict=True), start=1):
        for column in row:
            if column not in NOTES and row[column] != was[column] and not (loose and _near(column, rows, before)):
                return f"has {row[column]} instead of {was[column]} as {column} in row {number}"
    return None


def _near(column: str, rows: list[dict[str, str]], before: list[dict[str, str]]) -> bool:
    try:
        a, b = (np.array([float(row[column] or "nan") for row in of]) for of in (rows, before))
    except ValueError:  # text
        return False
    return apart(a, b) <= BOUNDS["tables"]


def _arrays(made: Path, there: Path, loose: bool, first: int | None) -> str | None:
    """Compare data sets; of kernels, those of the `first` steps."""
    with reading(there), h5py.File(made) as new, h5py.File(there) as old:
        a, b = dict(_data_sets(new)), dict(_data_sets(old))
        if a.keys() != b.keys():
            return f"lacks {sorted(b.keys() - a.keys())} or has {sorted(a.keys() - b.keys())} besides"
        steps = len(b["step"][:first]) if "step" in b else None
        for name in a:
            ours, theirs = a[name], b[name]
            if steps is not None and not name.startswith("probe/"):
                theirs = theirs[:steps]
            if words := _array(name, ours, theirs, loose):
                return words
        if steps is None or steps == len(b["step"]):
            for key in ATTRIBUTES:
                if not np.array_equal(new.attrs.get(key, ""), old.attrs.get(key, "")):
                    return f"has another {key}"
    return None


def _array(name: str, ours: Any, theirs: Any, loose: bool) -> str | None:
    if ours.shape != theirs.shape:
        return f"has another number of entries in {name}"
    block = 4096  # a data set's images may not fit in memory
    for at in range(0, len(ours), block):
        x, y = ours[at : at + block], theirs[at : at + block]
        if x.dtype != y.dtype or x.tobytes() != y.tobytes():
            far = apart(x, y)
            if x.dtype != y.dtype or not (loose and far <= BOUNDS["kernels"]):
                return f"has other bits: {name} by {far:.1g} of its largest entry"
    return None


def _data_sets(file: h5py.File) -> Iterator[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    file.visititems(lambda name, item: found.append((name, item)) if isinstance(item, h5py.Dataset) else None)
    yield from found


def pixels(path: Path) -> bytes:
    """A PNG's size, colors and pixels, without the text that it holds besides."""
    with reading(path):
        data, at, kept, packed = path.read_bytes(), 8, b"", b""
        while at < len(data):
            size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
            content = data[at + 8 : at + 8 + size]
            if kind == b"IDAT":
                packed += content
            elif kind in (b"IHDR", b"PLTE"):
                kept += content
            at += size + 12
        return kept + zlib.decompress(packed)

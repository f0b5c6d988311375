"""What was written: the size, rows and digest of each result, by which a reader knows that it reads the same.

A training's record, segment.json, lists the files of its segment under `outputs`. Each other result, and segment.json
itself, has a receipt: results/.made/<path below results>.json. It also says which versions made the result.
"""

import contextlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.storage.files import file_digest, read_json, reading, write_json

RESULTS = "results"
RECEIPTS = Path(RESULTS, ".made")
TABLES = ("reactivation.csv", "accuracy.csv", "files.csv", "claims.csv")  # in a study's folder; others are its user's
LARGE = 64 << 20  # bytes from which a file with its recorded size and time is not read again to compare its digest

GONE = "is missing"

Entry = dict[str, Any]  # bytes, sha256; of tables also rows


def described(path: Path) -> Entry:
    """The size and digest of a file, and the number of rows of a table."""
    rows = {"rows": _rows(path)} if path.suffix == ".csv" else {}
    return {"bytes": path.stat().st_size, **rows, "sha256": file_digest(path)}


def listed(folder: Path) -> dict[str, Entry]:
    """`described` of each file in a folder, by its path below the folder; hidden files are left out."""
    paths = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith("."))
    return {path.relative_to(folder).as_posix(): described(path) for path in paths}


def _rows(path: Path) -> int:
    with path.open("rb") as file:
        return max(0, sum(1 for _ in file) - 1)


def difference(path: Path, entry: Entry) -> str | None:
    """How a file differs from its entry, in a few words; None if it does not."""
    if not path.is_file():
        return GONE
    size = path.stat().st_size
    if "rows" in entry and size != entry["bytes"] and (rows := _rows(path)) != entry["rows"]:
        return f"has {rows} row{'s' * (rows != 1)} instead of {entry['rows']}"
    if size != entry["bytes"]:
        return f"has {size} bytes instead of {entry['bytes']}"
    if size >= LARGE and path.stat().st_mtime_ns == entry.get("mtime_ns"):
        return None
    if file_digest(path) == entry["sha256"]:
        return None
    if path.suffix == ".h5":
        _refuse_if_open_elsewhere(path)
    return "is not what was written there (its digest differs)"


def _refuse_if_open_elsewhere(path: Path) -> None:
    """InputError if a program has an HDF5 file open for writing, which sets a mark in it, or was killed then."""
    import h5py  # imported here: the environment of pages has no h5py

    try:
        with reading(path), h5py.File(path):
            pass
    except InputError as error:
        if "h5clear" in str(error):
            raise InputError(
                f"{path} is marked as open for writing: close it in the program that does so or, if that was killed, "
                f"remove the mark with: h5clear -s {path}"
            ) from error
        if "locked" in str(error):
            raise


# ------------------------------------------------------------------------------------------------------ receipts
def is_result(path: str | Path) -> bool:
    """Whether the workflow wrote `path`; kernels from elsewhere and tables in a study's folder may be its user's."""
    parts = Path(path).parts
    of_user = len(parts) == 3 and parts[1] not in ("data", "splits", "probes") and parts[2] not in TABLES
    return parts[:1] == (RESULTS,) and not of_user


def receipt_path(path: str | Path) -> Path:
    """The receipt of a result; `path` begins with results/."""
    below = Path(path).relative_to(RESULTS)
    return RECEIPTS / below.parent / f"{below.name}.json"


def write_receipt(path: str | Path, about: dict[str, Any]) -> None:
    """Record what was written to `path`; `about`: versions, and whatever else is known of it."""
    time = {"mtime_ns": Path(path).stat().st_mtime_ns}
    write_json(receipt_path(path), {**described(Path(path)), **time, **about})


def read_receipt(path: str | Path) -> dict[str, Any] | None:
    """The receipt of a result; None if it has none, or one that is not whole. InputError if it may not be read now."""
    receipt = receipt_path(path)
    if not receipt.is_file():
        return None
    with reading(receipt):
        text = receipt.read_bytes()
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and {"bytes", "sha256", "versions"} <= found.keys() else None


def remove_receipts_without_results(results: Path) -> None:
    """Remove the receipts below the folder `results` whose results are gone."""
    receipts = results / RECEIPTS.name
    for path in receipts.rglob("*.json"):
        below = path.relative_to(receipts)
        if not (results / below.parent / below.stem).exists():
            path.unlink(missing_ok=True)
    for folder in sorted(receipts.rglob("*/"), reverse=True):
        with contextlib.suppress(OSError):  # not empty
            folder.rmdir()


# ------------------------------------------------------------------------------------------------------ segments
def segment_of(path: Path) -> Path | None:
    """The folder of the segment whose training wrote `path`, or None if something else wrote it."""
    parts = path.parts
    if len(parts) < 4 or parts[:2] != (RESULTS, "segments"):
        return None
    ours = parts[3] in ("checkpoints", "final.pt", "training.csv", "evaluation.csv", "segment.json")
    return Path(*parts[:3]) if ours else None


def listed_files(record: Path) -> dict[str, Entry]:
    """The files that a segment's record lists, by their paths below its folder. InputError if it lists none."""
    content = read_json(record)
    if not isinstance(content, dict) or not isinstance(content.get("outputs"), dict):
        raise InputError(f"{record} does not list the segment's files, so they cannot be checked: {remedy(record)}")
    return content["outputs"]


def checkpoint_paths(checkpoints: str | Path) -> list[Path]:
    """The checkpoints that a segment's record lists, in the order of their steps; `checkpoints`: their folder."""
    folder = Path(checkpoints).parent
    names = sorted(name for name in listed_files(folder / "segment.json") if name.startswith("checkpoints/"))
    return [folder / name for name in names]


# ------------------------------------------------------------------------------------------------------- checking
def remedy(path: Path) -> str:
    """What to do about a damaged result."""
    folder = segment_of(path)
    # A training writes all its files together, and Snakemake does not look into a folder of checkpoints.
    return f"delete {folder}, a folder, and run again" if folder else "delete it and run again"


def check_input(path: str | Path) -> None:
    """Raise InputError unless the result `path`, a file or a folder, is what was written there."""
    for name, words in differences(Path(path)):
        raise InputError(f"{name} {words}: {remedy(name)}")


def differences(path: Path) -> Iterator[tuple[Path, str]]:
    """What differs from its record among the result `path` and, if that is a segment's, what its record lists of it."""
    folder = segment_of(path)
    if folder is None or path.name == "segment.json":
        yield from _by_receipt(path)
        return
    record = folder / "segment.json"
    wrong = list(_by_receipt(record))
    yield from wrong
    if not wrong:
        within = path.relative_to(folder).as_posix()
        outputs = listed_files(record)
        entries = {name: e for name, e in outputs.items() if name == within or name.startswith(f"{within}/")}
        if not entries and path.suffix:
            yield path, "is not among the files that segment.json lists"
        yield from ((folder / name, words) for name, e in entries.items() if (words := difference(folder / name, e)))


def _by_receipt(path: Path) -> Iterable[tuple[Path, str]]:
    receipt = read_receipt(path)
    if receipt is None:
        return [(path, f"has no record of what was written ({receipt_path(path)})")]
    words = difference(path, receipt)
    if not words and receipt["bytes"] >= LARGE and receipt.get("mtime_ns") != (time := path.stat().st_mtime_ns):
        # Snakemake touches what a job has made, and a copy has times of its own: known from now on.
        with contextlib.suppress(InputError):
            write_json(receipt_path(path), receipt | {"mtime_ns": time})
    return [(path, words)] if words else []

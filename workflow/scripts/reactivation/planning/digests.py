"""Compare every result with what was recorded when it was written, byte by byte."""

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from reactivation.errors import InputError, one_line
from reactivation.storage.receipts import RECEIPTS, RESULTS, Entry, difference, listed_files, read_receipt, receipt_path

WEIGHTS = ("checkpoints", "final.pt")
Wrong = list[tuple[Path, str]]  # what differs from its record, and how, in a few words


def check_all(threads: int, kept: Collection[str], segments: Collection[str]) -> tuple[int, Wrong]:
    """The number of files that were compared, and those that differ or are gone.

    A study's whole folder may be gone, and so may the weights of a segment (`checkpoints` or `final.pt`), which some
    studies delete once they have been used. Those called `kept` may not, of `segments`.
    """
    wrong: Wrong = []
    with ThreadPoolExecutor(threads) as pool:
        entries = list(_entries(wrong, kept, segments))
        found = pool.map(_differs, entries)
    wrong += [(path, words) for (path, _), words in zip(entries, found, strict=True) if words]
    return len(entries), wrong


def _entries(wrong: Wrong, kept: Collection[str], segments: Collection[str]) -> Iterator[tuple[Path, Entry]]:
    """Each result, with its entry; what has no readable record is added to `wrong`."""
    for receipt in sorted(RECEIPTS.rglob("*.json")):
        path = Path(RESULTS, receipt.relative_to(RECEIPTS).with_suffix(""))
        if not Path(*path.parts[:2]).exists():
            continue
        entry = read_receipt(path)
        if entry is None:
            wrong.append((path, f"has a record of what was written that cannot be read ({receipt})"))
            continue
        yield path, entry
    for path in sorted(Path(RESULTS, "segments").glob("*/segment.json")):
        try:
            listed = listed_files(path)
        except InputError as error:
            if receipt_path(path).exists():  # an earlier release listed no files, and wrote no receipts
                wrong.append((path, f"is damaged ({one_line(error)})"))
            continue
        deletable = {*WEIGHTS} - ({*kept} if path.parent.name in segments else set())
        for name, of_name in listed.items():
            top = name.split("/")[0]
            if top not in deletable or (path.parent / top).exists():
                yield path.parent / name, of_name


def _differs(one: tuple[Path, Entry]) -> str | None:
    path, entry = one
    return difference(path, {key: value for key, value in entry.items() if key != "mtime_ns"})  # all of a large file

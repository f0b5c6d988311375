"""The progress of a long job, in its log."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import TypeVar

from tqdm import tqdm

EVERY = 10  # seconds between two lines
Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int | None, unit: str) -> Iterable[Item]:
    """Yield `items`, and print a line now and then on how many are done."""
    # A bar rewrites its line; in a log each state has a line of its own.
    lines = SimpleNamespace(write=lambda text: print(text.strip()) if text.strip() else None)
    form = "{n_fmt}/{total_fmt}{unit}  {rate_noinv_fmt}  {remaining} left"
    return tqdm(items, total=total, unit=f" {unit}", file=lines, mininterval=EVERY, bar_format=form)

"""The progress bar of a long job."""

import shutil
import sys
from collections.abc import Iterable
from types import SimpleNamespace
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")


def progress(items: Iterable[Item], total: int | None, unit: str) -> Iterable[Item]:
    """`items`, while a bar on the terminal counts them; without a terminal, a line that is printed every 10 seconds.

    The terminal is the one that the process was started on: what a job prints goes into its log.
    """
    if sys.__stderr__ and sys.__stderr__.isatty():
        columns = shutil.get_terminal_size().columns  # 80 where the terminal does not say
        return tqdm(items, total=total, unit=f" {unit}", file=sys.__stderr__, ncols=columns)
    # The bar rewrites its line; in a log each state has a line of its own.
    lines = SimpleNamespace(write=lambda text: print(text.strip()) if text.strip() else None)
    return tqdm(items, total=total, unit=f" {unit}", file=lines, mininterval=10)

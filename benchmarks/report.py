"""What comparing benchmarks share: their command line, one table, and the versions of the packages compared."""

import argparse
import functools
import importlib.metadata
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

import numpy as np


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        sys.exit(f"error: {message}")


def new_parser(document: str, approaches: Iterable[str]) -> tuple[argparse.ArgumentParser, Callable]:
    """A parser with the options that all have, and a function that adds an option whose numbers must be positive."""
    parser = Parser(description=document.splitlines()[0])
    positive = functools.partial(parser.add_argument, metavar="N")
    names = list(approaches)
    parser.add_argument("--approaches", nargs="+", default=names, choices=names, metavar="NAME")
    positive("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="write the table as CSV")
    return parser, positive


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="CIFAR-10 as an image folder or a tarball of one")


def checked(parser: argparse.ArgumentParser, positive: Iterable[str]) -> argparse.Namespace:
    """The command line, checked: the options `positive` are, files exist, and approaches are in order."""
    options = parser.parse_args()
    for name in ("threads", *positive):
        if not np.min(getattr(options, name)) > 0:
            parser.error(f"--{name} must be positive")
    if options.threads > (cores := len(os.sched_getaffinity(0))):
        parser.error(f"--threads {options.threads}: this process may use {cores} cores")
    if "data" in options and not options.data.exists():
        parser.error(f"--data: there is no {options.data}")
    if options.out and not options.out.parent.is_dir():
        parser.error(f"--out: there is no folder {options.out.parent}")
    if options.out and options.out.is_dir():
        parser.error(f"--out: {options.out} is a folder, name a file")
    order = parser.get_default("approaches")
    options.approaches = sorted(dict.fromkeys(options.approaches), key=order.index)
    return options


def printed(row: dict, columns: dict[str, str]) -> list[str]:
    """A row's cells as text; `columns`: how the numbers of each column are printed."""
    cells = ((row[name], form) for name, form in columns.items())
    return ["-" if value is None else value if isinstance(value, str) else format(value, form) for value, form in cells]


def table(rows: list[dict], columns: dict[str, str]) -> str:
    """The rows as an aligned Markdown table."""
    cells = [list(columns), *(printed(row, columns) for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*cells, strict=True)]
    left = [not form for form in columns.values()]
    rule = ["-" * w if is_left else "-" * (w - 1) + ":" for w, is_left in zip(widths, left, strict=True)]
    cells.insert(1, rule)
    aligned = (
        [cell.ljust(w) if is_left else cell.rjust(w) for cell, w, is_left in zip(line, widths, left, strict=True)]
        for line in cells
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in aligned)


def versions(packages: Iterable[str]) -> str:
    installed = {d.metadata["Name"].lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
    return ", ".join(f"{name} {installed.get(name, 'not installed')}" for name in packages)

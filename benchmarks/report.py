"""How benchmarks print what they measured: one table, and the versions of what they compared."""

import importlib.metadata
from collections.abc import Iterable


def printed(row: dict, columns: dict[str, str]) -> list[str]:
    """A row's cells as text; `columns`: how the numbers of each are printed."""
    cells = ((row[name], form) for name, form in columns.items())
    return ["-" if value is None else value if isinstance(value, str) else format(value, form) for value, form in cells]


def table(rows: list[dict], columns: dict[str, str]) -> str:
    """Aligned Markdown."""
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

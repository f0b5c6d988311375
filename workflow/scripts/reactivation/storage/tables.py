"""Tables of runs, switches, claims and figures, read as pandas data frames."""

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from reactivation.storage.files import check, reading, whole_text


def read_table(path: str | Path) -> pd.DataFrame:
    """A table as a pandas data frame."""
    with reading(path):
        return pd.read_csv(io.StringIO(whole_text(path)))


def read_tables(paths: Iterable[str | Path], column: str = "value") -> pd.DataFrame:
    """Tables as one pandas data frame, with the name of each in the column `run`. InputError unless `column` is finite.

    They are metric tables of runs or, with the column `mean`, the numbers of a figure.
    """
    tables = []
    for path in paths:
        table = read_table(path)
        with reading(path):
            check(len(table) > 0 or column != "value", "it has no rows")  # those of a figure may be empty
            check(bool(np.isfinite(table[column].astype(float)).all()), f"{column} is not finite everywhere")
        tables.append(table.assign(run=Path(path).stem))
    return pd.concat(tables, ignore_index=True)

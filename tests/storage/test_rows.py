"""Tables, row by row."""

import numpy as np

from reactivation.storage.rows import EVALUATION, read_rows, write_rows


def test_tables_keep_every_digit(tmp_path):
    value = 0.1 + 0.2
    write_rows(tmp_path / "e.csv", [
        {"step": 1, "epoch": value, "class": 0, "images": 2, "test_accuracy": np.float64(1 / 3), "test_loss": 1e-300}
    ])  # fmt: skip
    (row,) = read_rows(tmp_path / "e.csv", EVALUATION)
    assert (row["epoch"], row["test_accuracy"], row["test_loss"]) == (value, 1 / 3, 1e-300)

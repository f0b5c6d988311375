"""Kernels from elsewhere: what is read, and the errors for invalid kernels."""

import re

import numpy as np
import pandas as pd
import pytest

from elsewhere import KINDS, content, write
from reactivation.analysis.run_table import run_table
from reactivation.errors import InputError
from reactivation.storage.imported import read_imported, structure


# ------------------------------------------------------------------------------------------------ what is read
def test_tasks_are_parts_as_segments_are(tmp_path):
    first, second = read_imported(write(tmp_path / "mine.h5"), KINDS)
    assert first["epoch"].tolist() == [0, 0.5, 1] and second["epoch"].tolist() == [1.5, 2]
    assert first["step"].tolist() == [0, 1, 2] and second["step"].tolist() == [3, 4]
    assert structure(tmp_path / "mine.h5", KINDS) == {
        "kernels": ["sum"],
        "epochs": [1, 1],
        "parts": [1, 2],
        "held_out": False,
        "steps": False,
    }
    assert structure(write(tmp_path / "mine.h5", step=[0, 2, 4, 6, 8]), KINDS)["steps"]


def test_three_data_sets_are_enough(tmp_path):
    path = write(tmp_path / "mine.h5", task=..., **{"probe/task": ...})
    assert structure(path, KINDS)["epochs"] == [2.0] and structure(path, KINDS)["parts"] == []


def test_rounding_is_taken_out_and_exact_kernels_stay_as_they_are(tmp_path):
    stack = content()["kernels/sum"]
    exact = (stack + stack.swapaxes(1, 2)) / 2
    assert np.array_equal(read(write(tmp_path / "exact.h5", **{"kernels/sum": exact})), exact)
    skewed = exact + 1e-7 * np.abs(exact).max() * np.triu(np.ones(exact.shape[1:]))
    K = read(write(tmp_path / "rounded.h5", **{"kernels/sum": skewed.astype(np.float32)}))
    assert (
        K.dtype == np.float64 and np.array_equal(K, K.swapaxes(1, 2)) and np.abs(K - exact).max() < 1e-6 * exact.max()
    )


def read(path):
    return np.concatenate([of_task["kernels"]["sum"] for of_task in read_imported(path, KINDS)])


def test_kernels_may_begin_with_the_switch(tmp_path):
    """The first task is then its end alone, and has no length."""
    path = write(tmp_path / "mine.h5", task=[1, 2, 2, 2, 2])
    spec = {"experiment": "mine", "seed": 0, "axes": {}, "epochs": structure(path, KINDS)["epochs"]}
    spec |= {"similarity": [None, None], "kernels": ["sum"], "velocity_dt": [1], "overlap_rank": 2, "eigenvectors": 2}
    table = pd.DataFrame(run_table(spec, read_imported(path, KINDS), []))
    at = table.drop_duplicates("step")
    assert at["progress"].tolist() == [1, 1.25, 1.5, 1.75, 2] and at["task"].tolist() == [1, 2, 2, 2, 2]
    assert {"task1", "task2", "task1-task2", "all"} == set(table["block"])


# --------------------------------------------------------------------------------------------- what is wrong
@pytest.mark.parametrize(
    "change, words",
    [
        (np.diag([np.nan] * 6), "kernels/sum[2] is not finite everywhere"),
        (np.diag([np.inf] * 6), "kernels/sum[2] is not finite everywhere"),
        (np.triu(np.ones((6, 6))), "kernels/sum[2] is not symmetric"),
        (-100 * np.eye(6), "kernels/sum[2] is not positive semi-definite"),
    ],
)
def test_kernels_that_are_none_are_named(change, words, tmp_path):
    stack = content()["kernels/sum"]
    stack[2] += change
    path = write(tmp_path / "mine.h5", **{"kernels/sum": stack})
    with pytest.raises(InputError, match=re.escape(f"{path} is not a file of kernels ({words})")):
        read_imported(path, KINDS)

"""What a config, or a file that it names, may get wrong in kernels from elsewhere."""

import numpy as np
import pytest

from edits import errors
from elsewhere import mine, write


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"epoch": ...}, "it has no data set epoch"),
        ({"probe/label": ...}, "it has no data set probe/label"),
        ({"kernels/sum": ...}, "it has none of kernels/sum, kernels/trace"),
        ({"kernels/sum": ..., "kernels": np.ones(3)}, "it has none of kernels/sum, kernels/trace"),
        ({"kernels/sum": np.ones((5, 6))}, "kernels/sum has the shape (5, 6), not (5, 6, 6)"),
        ({"kernels/sum": np.ones((4, 6, 6))}, "kernels/sum has the shape (4, 6, 6), not (5, 6, 6)"),
        ({"kernels/sum": np.ones((5, 6, 6), complex)}, "kernels/sum does not hold real numbers"),
        ({"kernels/sum/group": 1, "kernels/sum": ...}, "it has no data set kernels/sum"),
        ({"epoch": [0, 1, 2, 2, 3]}, "epoch does not ascend from 0 or later"),
        ({"epoch": [-1, 0, 1, 2, 3]}, "epoch does not ascend from 0 or later"),
        ({"epoch": [0, 1, 2, 3, np.nan]}, "epoch is not finite everywhere"),
        ({"epoch": ["0", "1", "2", "3", "4"]}, "epoch does not hold real numbers"),
        ({"epoch": []}, "0 checkpoints of 6 images are too few"),
        ({"step": [0, 1, 1, 2, 3]}, "step does not ascend"),
        ({"task": [1, 1, 3, 3, 3]}, "task does not count 1, 2, … without gaps"),
        ({"task": [0, 0, 1, 1, 1]}, "task does not count 1, 2, … without gaps"),
        ({"task": [1, 1, 2, 2, 1]}, "task does not count 1, 2, … without gaps"),
        ({"task": [1, 1, 1, 2]}, "task has the shape (4,), not (5,)"),
        ({"probe/label": [0.5, 1, 2, 3, 4, 5]}, "probe/label does not hold whole numbers"),
        ({"probe/label": [0, 1]}, "probe/task has the shape (6,), not (2,)"),
        ({"probe/task": [-1, 1, 1, 2, 2, 2]}, "probe/task is below 0"),
        ({"probe/held_out": [True]}, "probe/held_out has the shape (1,), not (6,)"),
    ],
)
def test_a_wrong_structure_is_one_line_before_anything_runs(changes, words, tmp_path):
    path = write(tmp_path / "mine.h5", **changes)
    (line,) = errors(mine(tmp_path))
    assert line.startswith(f"experiments.mine.kernels.path: {path} is not a file of kernels ({words}"), line
    assert line.endswith(": correct it as docs/data-format.md says")


def test_files_that_are_missing_or_no_hdf5_are_named(tmp_path):
    (line,) = errors(mine(tmp_path))
    assert line.startswith(f"experiments.mine.kernels.path: there is no {tmp_path}/mine.h5: put the file there")
    (tmp_path / "mine.h5").write_bytes(b"PK\3\4")
    (line,) = errors(mine(tmp_path))
    assert "is not a file of kernels (it is not an HDF5 file)" in line
    whole = write(tmp_path / "whole.h5").read_bytes()
    (tmp_path / "mine.h5").write_bytes(whole[:1000])
    (line,) = errors(mine(tmp_path))
    assert "mine.h5 is not a file of kernels (" in line


@pytest.mark.parametrize(
    "keys, line",
    [
        ({"kernels": {}}, "experiments.mine.kernels.path: is missing"),
        ({"kernels": {"path": "mine.h5", "root": "."}}, "experiments.mine.kernels.root: unknown key"),
        (
            {"kernels": {"pth": "mine.h5", "path": "mine.h5"}},
            "experiments.mine.kernels.pth: unknown key; did you mean path?",
        ),
        ({"dataset": "glyphs"}, "experiments.mine.dataset: does not belong here; it is a key of another kind"),
        ({"grid": {"width": [1]}}, "experiments.mine.kernels.path: should contain {width}: each of its values needs"),
        (
            {"grid": {"width": [1, True]}},
            "experiments.mine.grid.width.1: Input should be a number or a word (it is True)",
        ),
        ({"grid": {"seed": [1]}}, "experiments.mine.grid.seed: seed is a column of tables; choose another name"),
        (
            {"kernels": {"path": "{widht}.h5"}},
            "experiments.mine.kernels.path: has {widht}, which is not an axis of the grid; known",
        ),
        ({"metrics": {"velocity_dt": [0]}}, "experiments.mine.metrics.velocity_dt.0: Input should be greater than or"),
    ],
)
def test_mistakes_in_the_experiment(keys, line, tmp_path):
    write(tmp_path / "mine.h5")
    found = errors(mine(tmp_path, **keys))
    assert len(found) == 1 and found[0].startswith(line), found


@pytest.mark.parametrize(
    "panel, words",
    [
        ({"metric": "test_accuracy"}, "metric: test_accuracy needs predictions, but the experiment has kernels only"),
        ({"metric": "accuracy_within_task"}, "metric: accuracy_within_task needs predictions, but the experiment has"),
        ({"metric": "forgetting"}, "metric: forgetting needs predictions, but the experiment has kernels only"),
        ({"metric": "trace", "kernel": "trace"}, "kernel: the experiment has sum only"),
        (
            {"metric": "trace", "block": ["task3"]},
            "block: trace has no block 'task3'; it has all, task1, task2, current",
        ),
        ({"metric": "kernel_velocity", "dt": 2}, "dt: 2 is not in the experiment's velocity_dt [1]"),
        (
            {"metric": "trace", "kind": "summary", "statistic": "drop"},
            "x: should name an axis of the grid: files of kernels do not say how similar",
        ),
        (
            {"metric": "trace", "kind": "summary", "statistic": "drop", "task": 3},
            "task: 3 is more than the 2 of a run",
        ),
        ({"metric": "trace", "time": "iterations"}, "time: needs steps, which the files of kernels do not have"),
        (
            {"metric": "trace", "time": "since_switch", "unit": "steps"},
            "unit: needs steps, which the files of kernels do not have",
        ),
    ],
)
def test_panels_on_what_kernels_do_not_tell_are_refused(panel, words, tmp_path):
    write(tmp_path / "mine.h5")
    found = errors(mine(tmp_path, figures={"fig": {"experiment": "mine", "panels": [panel]}}))
    assert f"figures.fig.panels.0.{words}" in [line[: len(f"figures.fig.panels.0.{words}")] for line in found]
    assert len(found) == (2 if panel.get("task") else 1)


def test_claims_need_what_they_need(tmp_path):
    write(tmp_path / "mine.h5")
    claims = {"repeats": {"experiment": "mine"}, "wider_is_lazier": {"experiment": "mine"}, "kernel": "trace"}
    found = errors(mine(tmp_path, claims=claims))
    for words in (
        "mine should have 3 tasks, but has 2",
        "mine should have 2 values of width",
        "for twice that at least",
    ):
        assert any(words in line for line in found), found
    assert any("should compute the kernel trace" in line for line in found)

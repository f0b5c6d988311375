"""The numbers of a switch, on a metric table whose numbers are known."""

import math

import numpy as np
import pandas as pd
import pytest

from reactivation.analysis.switches import accuracy_rows, switch_rows
from reactivation.storage.headers import SWITCHES
from reactivation.storage.rows import write_rows
from reactivation.storage.tables import read_table

# Two tasks of four epochs; a checkpoint a quarter of an epoch after the switch.
EPOCHS = [0.0, 1, 2, 3, 4, 4.25, 5, 6, 7, 8]
NORM = [10.0, 20, 30, 40, 100, 25, 50, 90, 110, 120]
ALIGNMENT = [0.1, 0.2, 0.3, 0.35, 0.36, 0.5, 0.56, 0.46, 0.44, 0.42]
VELOCITY = {0: 0.9, 1: 0.5, 2: 0.03, 3: 0.02, 4: 0.4, 5: 0.1, 6: 0.05, 7: 0.04}


def rows(metric, values, **columns):
    """Rows of `metric` at the epochs that are the keys of `values`; a step is a hundredth of an epoch."""
    empty = {"kernel": "sum", "layer": None, "block": "all", "reference": None, "dt": np.nan}
    return [
        empty | {"metric": metric, "epoch": epoch, "step": int(100 * epoch), "value": value} | columns
        for epoch, value in values.items()
    ]


def table(*more, velocity=VELOCITY, norm=NORM):
    found = rows("spectral_norm", dict(zip(EPOCHS, norm, strict=True)))
    found += rows("spectral_norm", dict.fromkeys(EPOCHS, 1e6), block="task1")  # must be ignored
    found += rows("alignment", dict(zip(EPOCHS, ALIGNMENT, strict=True)))
    for metric, start in {"identity": 0.5, "permuted_low": 0.2, "permuted_high": 0.3}.items():
        found += rows(f"alignment_{metric}", {epoch: start + epoch / 100 for epoch in EPOCHS})
    found += rows("kernel_velocity", velocity, dt=1) + rows("kernel_velocity", {0: 7.0, 4: 7.0}, dt=2)
    found += rows("kernel_distance", {4: 0.6}, reference="task_start")
    found += rows("kernel_distance", {8: 0.3}, reference="task_start") + rows(
        "kernel_distance", {8: 0.7}, reference="init"
    )
    for block, accuracies in {"task1": (0.1, 0.9, 0.2), "task2": (0.2, 0.0, 0.8)}.items():
        values = dict(zip((0, 4, 8), accuracies, strict=True)) | {6: 0.5}
        found += rows("test_accuracy", values, kernel=None, block=block)
    found += rows("test_accuracy", {8: 0.55}, kernel=None)
    found += rows("forgetting", {6: 0.4, 8: 0.7}, kernel=None)
    found += rows("forgetting_within_task", {6: 0.1, 8: 0.2}, kernel=None)
    found += rows("accuracy_within_task", {0: 0.5, 4: 0.9, 8: 0.7}, kernel=None, block="task1")
    found += rows("accuracy_within_task", {4.25: 0.6, 8: 0.95}, kernel=None, block="task2")  # once it is trained
    found = pd.DataFrame([*found, *more])
    later = found["epoch"] > 4
    # Velocities at the switch and accuracies at the end of task 1 are rows of task 1.
    return found.assign(task=1 + later.astype(int), similarity=np.where(later, 0.25, np.nan))


def test_shares_of_layers_are_not_the_kernel():
    whole = table()
    shares = whole[whole["kernel"].notna()].assign(layer="head", value=lambda rows: 3 * rows["value"])
    assert list(switch_rows(pd.concat([whole, shares]), 1)) == list(switch_rows(whole, 1))


def test_numbers_of_a_switch():
    first, second = switch_rows(table(), dt=1)
    assert set(first) <= set(second) | {"starts"} and set(second) <= set(SWITCHES)
    assert first == {
        "kernel": "sum",
        "task": 1,
        "starts": 0,
        "ends": 4,
        "dt": 1,
        "distance": 0.6,
        "path": pytest.approx(0.9 + 0.5 + 0.03 + 0.02),
        "velocity_mean": pytest.approx((0.9 + 0.5 + 0.03 + 0.02) / 4),
        "alignment_identity": pytest.approx(0.54),
        "alignment_permuted_low": pytest.approx(0.24),
        "alignment_permuted_high": pytest.approx(0.34),
    }
    assert second == pytest.approx(
        {
            "kernel": "sum",
            "task": 2,
            "similarity": 0.25,
            "starts": 4,
            "ends": 8,
            "dt": 1,
            "distance": 0.3,
            "path": 0.59,
            "velocity_mean": 0.59 / 4,
            "velocity_before": 0.025,
            "velocity_at": 0.4,
            "velocity_ratio": 16,
            "velocity_last": 0.04,
            "spike_epoch": 0,
            "norm_before": 100,
            "norm_lowest": 25,
            "norm_last": 120,
            "norm_drop": 0.75,
            "norm_unrest": 0,
            "norm_recovery": 0.95,
            "drop_epochs": 0.25,
            "recovery_epochs": 3,
            "alignment_before": 0.36,
            "alignment_after": 0.42,
            "alignment_turn": 0.2,
            "alignment_pace": 0.03,
            "turn_epochs": 0.25,
            "alignment_identity": 0.58,
            "alignment_permuted_low": 0.28,
            "alignment_permuted_high": 0.38,
            "forgetting": 0.7,
            "forgetting_within_task": 0.2,
        }
    )


def test_the_spike_is_looked_for_from_half_of_the_task_before():
    (_, second) = switch_rows(table(velocity=VELOCITY | {2: 0.6}), dt=1)
    assert second["spike_epoch"] == -2
    (_, second) = switch_rows(table(velocity=VELOCITY | {7: 0.6}), dt=1)
    assert second["spike_epoch"] == 3


def test_a_fall_before_the_switch_is_what_drops_are_compared_with():
    (_, second) = switch_rows(table(norm=[10.0, 20, 80, 60, 100, *NORM[5:]]), dt=1)
    assert second["norm_unrest"] == pytest.approx(0.25)


def test_no_velocity_reaches_beyond_its_task():
    """A step of three epochs fits once into a task of four, but does not fill it."""
    velocity = [row | {"dt": 3} for row in rows("kernel_velocity", dict.fromkeys(EPOCHS[:-3], 9.0))]
    (first, second) = switch_rows(table(*velocity), dt=3)
    assert not {"path", "velocity_mean"} & (first.keys() | second.keys())
    assert second["velocity_at"] == 9.0 and not {"velocity_before", "velocity_ratio"} & second.keys()
    assert second["spike_epoch"] >= 0


def test_another_time_step():
    (_, second) = switch_rows(table(), dt=2)
    assert second["velocity_at"] == 7 and "velocity_before" not in second and "velocity_ratio" not in second
    assert second["alignment_turn"] == pytest.approx(0.1) and second["alignment_pace"] == pytest.approx(0.06)


def test_a_norm_that_is_not_back():
    norm = [*NORM[:-2], 95, 99]
    (_, second) = switch_rows(table(norm=norm), dt=1)
    assert "recovery_epochs" not in second and second["norm_recovery"] == pytest.approx(0.74)


def test_a_norm_that_only_rises_is_back_at_once():
    norm = [*NORM[:5], 101, 102, 103, 104, 105]
    (_, second) = switch_rows(table(norm=norm), dt=1)
    assert second["norm_drop"] == pytest.approx(-0.01) and second["recovery_epochs"] == 0.25


def test_a_task_that_diverged_has_no_row():
    diverged = {"metric": "diverged", "block": "all", "epoch": 6.5, "step": 650, "value": 650}
    whole = table(diverged)
    found = list(switch_rows(whole[whole["epoch"] < 7], dt=1))
    assert [row["task"] for row in found] == [1]
    assert {row["trained"] for row in accuracy_rows(whole)} == {0, 1}
    at_once = table({**diverged, "epoch": 0.5, "step": 50})
    assert list(switch_rows(at_once, dt=1)) == []


def test_the_accuracy_matrix():
    rows = list(accuracy_rows(table()))
    found = {(row["trained"], row["task"]): row["test_accuracy"] for row in rows}
    assert found == {(0, 1): 0.1, (1, 1): 0.9, (2, 1): 0.2, (0, 2): 0.2, (1, 2): 0.0, (2, 2): 0.8}
    within = {(row["trained"], row["task"]): row["accuracy_within_task"] for row in rows if len(row) == 4}
    assert within == {(0, 1): 0.5, (1, 1): 0.9, (2, 1): 0.7, (2, 2): 0.95}


def test_the_same_after_a_file(tmp_path):
    write_rows(tmp_path / "run.csv", table().to_dict("records"))
    read = read_table(tmp_path / "run.csv")
    for row, again in zip(switch_rows(table(), 1), switch_rows(read, 1), strict=True):
        assert row == pytest.approx(again)
        assert all(value == value and value is not None for value in row.values())
        assert not any(isinstance(value, float) and math.isinf(value) for value in row.values())


def test_without_an_effect_alignment_moves_no_faster_across_a_switch_than_before_it():
    """Denser checkpoints after it do not matter, although the largest of more deviations is larger."""
    rng, ratios = np.random.default_rng(0), []
    epochs = [*range(11), *(10 + 0.02 * 2**k for k in range(6)), *range(11, 21)]
    for _ in range(50):
        noise = rows("alignment", dict(zip(epochs, rng.normal(0.4, 0.01, len(epochs)), strict=True)))
        quiet = rows("spectral_norm", dict.fromkeys(epochs, 1.0)) + rows(
            "kernel_velocity", dict.fromkeys(range(20), 1.0), dt=1
        )
        run = pd.DataFrame([*noise, *quiet])
        run = run.assign(task=1 + (run["epoch"] > 10).astype(int), similarity=np.nan)
        (_, second) = switch_rows(run, dt=1)
        ratios.append(math.log(second["alignment_turn"] / second["alignment_pace"]))
    assert np.exp(np.mean(ratios)) < 1.5

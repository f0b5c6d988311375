"""Tables of switches on which each claim is supported, and tables on which it is not."""

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pydantic

from reactivation.analysis.claims import CLAIMS
from reactivation.analysis.verdicts import judge
from reactivation.study.schema_claims import Claims

ALL = {"kernel": "sum", "min_seeds": 3, "confidence": 0.95}
# A task after a switch at which the kernel reactivates; the switch is at epoch 10, velocities are over one epoch.
REACTIVATED = {
    "task": 2,
    "starts": 10.0,
    "ends": 20.0,
    "dt": 1.0,
    "distance": 0.3,
    "velocity_mean": 0.02,
    "velocity_before": 0.01,
    "velocity_at": 0.1,
    "velocity_ratio": 10.0,
    "velocity_last": 0.01,
    "spike_epoch": 0.0,
    "norm_drop": 0.6,
    "norm_unrest": 0.05,
    "norm_recovery": 0.5,
    "drop_epochs": 0.1,
    "recovery_epochs": 5.0,
    "alignment_turn": 0.2,
    "alignment_pace": 0.01,
    "turn_epochs": 0.1,
}


def table(seeds=3, noise=0.02, change=lambda row: {}, **axes):
    """A row for every combination of the axes and seed; `change(row)` says what differs from REACTIVATED."""
    rng, rows = np.random.default_rng(0), []
    for values in itertools.product(range(seeds), *axes.values()):
        row = {"kernel": "sum", **REACTIVATED} | dict(zip(["seed", *axes], values, strict=True))
        row["run"] = "-".join(f"{key}{row[key]}" for key in axes) + f"-s{row['seed']}"
        row |= change(row)
        for key in sorted(set(REACTIVATED) - {"task", "starts", "ends", "dt", "spike_epoch"}):
            row[key] *= 1 + noise * rng.uniform(-1, 1)
        rows.append(row)
    return pd.DataFrame(rows)


def judged(name, rows, beside=None, **limits):
    """(verdict, rows of the measures) of a claim on tables, with its default thresholds."""
    described = f"Claim {number(name)}."
    form: Any = next(key.annotation for key in Claims.model_fields.values() if key.description == described)
    experiments = {"experiment": "e"} | ({"beside": "b"} if beside is not None else {})
    spec = pydantic.TypeAdapter(form).validate_python(experiments | limits).model_dump()
    spec |= {"name": name, "runs": expected(rows)}
    if beside is not None:
        beside = beside.assign(run="b-" + beside["run"])
        spec["beside"] = expected(beside)
        rows = pd.concat([rows, beside], ignore_index=True)
    found = judge(rows, spec, "sum", ALL)
    (verdict,) = {row["verdict"] for row in found}
    return verdict, found


def expected(rows):
    """The runs of a table, each of which should have all its tasks."""
    return {run: {"seed": of["seed"].iloc[0], "tasks": of["task"].nunique()} for run, of in rows.groupby("run")}


def number(name):
    return list(CLAIMS).index(name) + 1


WIDTHS, RATES = {"width": [16, 64, 256]}, {"lr": [0.1, 0.01, 0.001]}


def first_task(fall):
    return lambda row: {"task": 1, "distance": 0.3 * row["width"] ** fall, "velocity_mean": 0.02 * row["width"] ** fall}


def late(row):
    return {"recovery_epochs": {0.1: 8.0, 0.01: 4.0, 0.001: 2.0}[row["lr"]]}


def saturating(row):
    drop = 0.9 * (1 - 2.0 ** -row["shift"])
    return {"norm_drop": drop, "velocity_at": 0.01 + 0.1 * drop, "distance": 0.02 * row["shift"]}


def small(row):
    return {"norm_drop": 0.1 * row["alpha"], "velocity_at": 0.01}


# For each claim, a table that supports it, and tables that each lack a part of it.
TABLES = {
    "wider_is_lazier": (
        table(**WIDTHS, change=first_task(-0.5)),
        [
            table(**WIDTHS, noise=0, change=first_task(0.0)),
            table(**WIDTHS, change=first_task(0.3)),
            table(**WIDTHS, noise=0, change=lambda row: first_task(-0.5)(row) | {"velocity_mean": 0.02}),
        ],
    ),
    "velocity_spikes": (
        table(**WIDTHS),
        [
            table(**WIDTHS, change=lambda row: {"velocity_ratio": 1.0 if row["width"] == 256 else 10.0}),
            table(**WIDTHS, change=lambda row: {"velocity_last": 0.1}),
            table(task=[2, 3, 4, 5], change=lambda row: {"velocity_ratio": 100.0 if row["task"] == 2 else 1.0}),
            table(**WIDTHS, **RATES, change=lambda row: {"velocity_ratio": 0.5 if row["width"] == 16 else 1e4}),
        ],
    ),
    "check_mark": (
        table(**WIDTHS),
        [
            table(**WIDTHS, change=lambda row: {"norm_drop": 0.02 if row["width"] == 16 else 0.6}),
            table(**WIDTHS, change=lambda row: {"norm_drop": -0.1, "norm_recovery": 0.3, "recovery_epochs": 1.0}),
            table(**WIDTHS, change=lambda row: {"norm_recovery": 0.05}),
            table(**WIDTHS, change=lambda row: {"norm_unrest": 0.55}),  # it falls as far without a switch
            table(
                **RATES,  # back at one rate only, where it hardly fell
                change=lambda row: (
                    {"norm_recovery": 0.5, "norm_drop": 0.001} if row["lr"] == 0.1 else {"norm_recovery": 0}
                ),
            ),
            table(**WIDTHS, change=lambda row: {"drop_epochs": 4.0}),
        ],
    ),
    "drop_and_spike_coincide": (
        table(**WIDTHS),
        [
            table(**WIDTHS, change=lambda row: {"drop_epochs": 5.0}),
            table(**WIDTHS, change=lambda row: {"spike_epoch": -3.0}),
            table(**WIDTHS, change=lambda row: {"norm_drop": 0.0}),
        ],
    ),
    "over_converged_recovers_last": (
        table(**WIDTHS, **RATES, change=late),
        [
            table(**WIDTHS, **RATES, noise=0),
            table(**WIDTHS, **RATES, change=lambda row: {"recovery_epochs": 10 - late(row)["recovery_epochs"]}),
            table(**WIDTHS, **RATES, noise=0, change=lambda row: {"recovery_epochs": np.nan}),  # never back
        ],
    ),
    "alignment_turns": (
        table(**RATES, change=lambda row: {"turn_epochs": 0.01 / row["lr"]}),
        [
            table(**RATES),
            table(**RATES, change=lambda row: {"turn_epochs": 0.01 / row["lr"], "alignment_turn": 0.01}),
        ],
    ),
    "repeats": (
        table(task=[2, 3, 4]),
        [
            table(task=[2, 3, 4], change=lambda row: {"velocity_ratio": 1.0 if row["task"] == 4 else 10.0}),
            table(task=[2, 3, 4], change=lambda row: {"norm_drop": 0.02 if row["task"] == 3 else 0.6}),
        ],
    ),
    "new_classes_order": (
        table(shift=[0, 1, 3, 10], change=saturating),
        [
            table(shift=[0, 1, 3, 10]),
            table(shift=[0, 1, 3, 10], change=lambda row: saturating(row) | {"distance": 0.3 - 0.02 * row["shift"]}),
            table(
                shift=[0, 1, 3, 10],
                change=lambda row: saturating(row) | {"norm_drop": 0.5 + saturating(row)["norm_drop"] / 2},
            ),
        ],
    ),
    "diminishing_returns": (
        table(shift=[0, 1, 3, 10], change=saturating),
        [
            table(shift=[0, 1, 3, 10], change=lambda row: {"norm_drop": 0.008 * row["shift"] ** 2}),
            table(shift=[0, 1, 3, 10], noise=0, change=lambda row: {"norm_drop": 0.08 * row["shift"]}),
            table(shift=[0, 1, 3, 10], noise=0),  # nothing changes
            table(shift=[0, 1, 2, 3], change=lambda row: {"norm_drop": (0.5, 0.9, 0.1, 0.501)[row["shift"]]}),
        ],
    ),
    "lazy_networks_reactivate": (
        table(**WIDTHS, **RATES),
        [
            table(**WIDTHS, **RATES, change=lambda row: {"velocity_ratio": 1 if row["lr"] == 0.001 else 10}),
            table(**WIDTHS, **RATES, change=lambda row: {"distance": 0.01 if row["width"] == 256 else 0.3}),
        ],
    ),
}
BESIDE = table(shift=[0, 1, 3, 10], change=saturating)

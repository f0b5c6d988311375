"""Claims: each on a synthetic table on which it is supported, and on one on which it is not."""

import itertools

import numpy as np
import pandas as pd
import pytest

from helpers import all_planned, changed, finished
from reactivation.analysis.claims import CLAIMS
from reactivation.analysis.verdicts import COVERAGE, claims_rows, interval, judge, markdown
from reactivation.planning.plan import make_plan
from reactivation.storage.headers import CLAIMS as CLAIM_COLUMNS
from reactivation.storage.headers import SWITCHES
from reactivation.storage.tables import read_table, read_tables
from reactivation.study.grid import axis_names
from reactivation.study.load import ConfigError, load_study
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
    """Rows of every combination of the axes and seed; `change(row)` says what differs from REACTIVATED."""
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
    form = next(claim for claim in Claims.model_fields.values() if claim.description == f"Claim {number(name)}.")
    experiments = {"experiment": "e"} | ({"beside": "b"} if beside is not None else {})
    spec = form.annotation.__args__[0].model_validate(experiments | limits).model_dump()
    spec["runs"] = expected(rows)
    if beside is not None:
        beside = beside.assign(run="b-" + beside["run"])
        spec["beside"] = expected(beside)
        rows = pd.concat([rows, beside], ignore_index=True)
    found = judge(name, rows, spec, ALL)
    (verdict,) = {row["verdict"] for row in found}
    return verdict, found


def expected(rows):
    """The runs of a table, all of which should have all their tasks."""
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


# Of each claim: a table that supports it, and tables each of which lacks a part of it.
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
                **RATES,  # never back but at one rate, where next to nothing fell
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
            table(**WIDTHS, **RATES, noise=0, change=lambda row: {"recovery_epochs": np.nan}),  # none is back
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


@pytest.mark.parametrize("name", TABLES)
def test_a_claim_is_supported_where_its_table_shows_it(name):
    verdict, found = judged(name, TABLES[name][0])
    assert verdict == "supported" and all(row["holds"] for row in found)
    for row in found:
        assert row["low"] <= row["effect"] <= row["high"] and row["seeds"] == 3
        assert row["effect"] < row["threshold"] if row["sign"] == "<" else row["effect"] > row["threshold"]
        assert row["measure"] in row["sentence"] and row["claim"] == number(name)


@pytest.mark.parametrize("name, rows", [(name, rows) for name, (_, others) in TABLES.items() for rows in others])
def test_a_claim_is_not_supported_where_a_part_of_it_fails(name, rows):
    verdict, found = judged(name, rows)
    assert verdict == "not supported" and not all(row["holds"] for row in found)


def test_frequencies_are_compared_with_new_classes():
    alphas = {"alpha": [0.1, 0.5, 0.9]}
    assert judged("frequencies_barely_matter", table(**alphas, change=small), BESIDE)[0] == "supported"
    for change in (
        lambda row: small(row) | {"norm_drop": 0.8 * row["alpha"]},
        lambda row: small(row) | {"velocity_at": 0.08},
    ):
        assert judged("frequencies_barely_matter", table(**alphas, change=change), BESIDE)[0] == "not supported"
    still = table(shift=[0, 1], change=lambda row: {"norm_drop": -0.1})  # nothing to compare with
    assert judged("frequencies_barely_matter", table(**alphas, change=small), still)[0] == "not supported"


def test_every_claim_has_its_tables():
    assert set(TABLES) | {"frequencies_barely_matter"} == set(CLAIMS)
    assert list(CLAIMS) == [name for name, key in Claims.model_fields.items() if key.description.startswith("Claim ")]
    assert len(CLAIMS) == 11


def test_effects_are_those_that_the_tables_were_made_with():
    _, (distance, velocity) = judged("wider_is_lazier", table(**WIDTHS, noise=0, change=first_task(-0.5)))
    assert distance["effect"] == pytest.approx(1 - 2**-0.5) == velocity["effect"]
    _, (spike, fall) = judged("velocity_spikes", table(**WIDTHS, noise=0))
    assert spike["effect"] == pytest.approx(10) == fall["effect"]
    _, (_, regained, times) = judged("check_mark", table(**WIDTHS, noise=0))
    assert regained["effect"] == pytest.approx(0.5 / 0.6) and times["effect"] == pytest.approx(49)
    _, (longer,) = judged("over_converged_recovers_last", table(**RATES, noise=0, change=late))
    assert longer["effect"] == pytest.approx(4) and longer["unit"] == "epochs"
    _, (concave,) = judged("diminishing_returns", table(shift=[0, 5, 10], noise=0, change=saturating))
    assert concave["effect"] == pytest.approx((1 - 2**-5) / (1 - 2**-10) - 0.5)


def test_a_norm_that_is_not_back_took_at_least_as_long_as_the_task():
    rows = table(
        **RATES, noise=0, change=lambda row: late(row) | ({"recovery_epochs": np.nan} if row["lr"] == 0.1 else {})
    )
    verdict, (longer,) = judged("over_converged_recovers_last", rows)
    assert verdict == "supported" and longer["effect"] == pytest.approx(10 - 4)


def test_rounding_decides_nothing_at_a_threshold():
    """The mean of three 0.8 is more than 0.8 by the last digit."""
    rows = table(task=[2, 3, 4, 5, 6], noise=0, change=lambda row: {"drop_epochs": 5.0 if row["task"] == 6 else 0.1})
    verdict, (row,) = judged("drop_and_spike_coincide", rows)
    assert row["effect"] == pytest.approx(0.8) and verdict == "not supported"


# ---------------------------------------------------------------------------------------------- too few runs
def test_too_few_seeds():
    verdict, found = judged("velocity_spikes", table(seeds=2, **WIDTHS))
    assert verdict == "too few runs" and found[0]["sentence"].startswith("2 seeds with all that it needs, of 3; ")
    assert found[0]["effect"] == pytest.approx(10, rel=0.1)  # which is said all the same


def judged_without(rows, lost, name="velocity_spikes", **limits):
    """The same, where the runs `lost` diverged in their last task."""
    spec = {"experiment": "e", "where": {}, "runs": expected(rows), "ratio": 2.0, "longer": 0.0} | limits
    found = judge(name, rows[~lost], spec, ALL)
    return found[0]["verdict"], found


def test_a_seed_with_a_diverged_run_is_left_out_and_the_run_named():
    rows = table(seeds=4, **WIDTHS)
    lost = (rows["seed"] == 3) & (rows["width"] == 64)
    rows.loc[rows["seed"] == 3, "velocity_ratio"] = 1e6  # would show
    verdict, found = judged_without(rows, lost)
    assert verdict == "supported" and {row["seeds"] for row in found} == {3} and found[0]["effect"] < 11
    assert found[0]["sentence"].endswith("left out are seeds with runs that diverged: width64-s3")


def test_what_diverged_in_every_seed_does_not_vanish_from_a_claim():
    rows = table(**WIDTHS)
    verdict, (row,) = judged_without(rows, rows["width"] == 256)
    assert verdict == "too few runs" and row["seeds"] == 0
    assert row["sentence"].endswith("diverged: width256-s0, width256-s1, width256-s2")


def test_seeds_that_lost_different_runs_are_not_averaged_over_different_runs():
    rows = table(width=[16, 64, 256], lr=[0.1, 0.01], change=lambda row: {"recovery_epochs": row["width"] / 50})
    lost = (rows["lr"] == 0.1) & (rows["width"] == rows["seed"].map({0: 16, 1: 16, 2: 64}))
    assert judged_without(rows, lost, "over_converged_recovers_last")[0] == "too few runs"


def test_no_runs_at_all():
    verdict, (row,) = judged("velocity_spikes", table(**WIDTHS).iloc[:0])
    assert verdict == "too few runs" and row["sentence"] == "0 seeds with all that it needs, of 3"


def test_another_experiment_with_text_on_an_axis_changes_nothing(tmp_path):
    rows = table(
        lr=[1e-3, 1e-4, 1e-5], change=lambda row: {"recovery_epochs": {1e-3: 2.0, 1e-4: 4.0, 1e-5: 8.0}[row["lr"]]}
    )
    other = table(lr=["0.1/width", "0.2/width"])
    both = pd.concat([rows, other.assign(run="other" + other["run"])])
    both.to_csv(tmp_path / "table.csv", index=False)
    spec = {"experiment": "e", "where": {}, "runs": expected(rows), "longer": 0.0}
    (alone,), (beside,) = (
        judge("over_converged_recovers_last", given, spec, ALL) for given in (rows, read_table(tmp_path / "table.csv"))
    )
    assert (
        beside == alone | {key: pytest.approx(alone[key]) for key in ("effect", "low", "high")} and alone["effect"] < 0
    )


@pytest.mark.parametrize("name", TABLES)
def test_undefined_numbers_are_too_few_runs_not_a_verdict(name):
    undefined = set(REACTIVATED) - {"task", "starts", "ends", "dt"}
    rows = TABLES[name][0].assign(**dict.fromkeys(undefined, np.nan))
    verdict, found = judged(name, rows)
    assert verdict == "too few runs" and not any(row["holds"] for row in found)


# ------------------------------------------------------------------------------------------------- intervals
def test_the_interval_of_few_seeds_takes_every_resample():
    assert interval(np.array([1.0, 2.0]), 0.5) == (1.375, 1.625)  # of the means 1, 1.5, 1.5, 2
    low, high = interval(np.array([1.0, 2.0, 6.0]), 0.95)
    means = sorted(np.mean(list(part)) for part in itertools.product([1.0, 2.0, 6.0], repeat=3))
    assert (low, high) == pytest.approx(np.quantile(means, [0.025, 0.975]))


def test_the_interval_of_many_seeds_is_that_of_the_normal_approximation():
    values = np.random.default_rng(1).normal(3, 1, 40)
    low, high = interval(values, 0.95)
    error = values.std() / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.05)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.05)
    assert interval(values, 0.95) == (low, high)  # the same each time


@pytest.mark.parametrize("seeds, share", [(3, 64), (5, 84), (20, 91)])
def test_the_stated_coverage_is_that_of_the_intervals(seeds, share):
    rng = np.random.default_rng(2)
    spans = [interval(rng.normal(size=seeds), 0.95) for _ in range(300)]
    held = np.mean([low <= 0 <= high for low, high in spans])
    assert held == pytest.approx(share / 100, abs=0.07) and f"{share} %" in COVERAGE


def test_seeds_are_paired():
    """A difference that all seeds share counts, however much the seeds differ."""

    def change(row):
        slow = 10.0 ** row["seed"]
        return {"turn_epochs": slow * (1.0 if row["lr"] == 0.1 else 5.0)}

    verdict, (_, slower) = judged("alignment_turns", table(**RATES, change=change))
    assert verdict == "supported" and 4 < slower["low"] < slower["high"] < 6


# --------------------------------------------------------------------------------------- config, table, text
GRID = {"width": [2, 4], "lr": [0.1, 0.01]}


def problems(**claims):
    experiment = {"experiments.widths.grid": GRID, "experiments.widths.training": {"epochs": 2, "batch_size": 8}}
    with pytest.raises(ConfigError) as error:
        load_study(changed(*experiment.items(), ("claims", claims)))
    return str(error.value)


def test_what_a_config_may_get_wrong():
    of = {"experiment": "widths"}
    text = problems(
        wider_is_lazier={"experiment": "nope"},
        velocity_spikes=of | {"where": {"width": 7, "shift": 1}},
        check_mark=of | {"drop": "deep"},
        repeats=of,
        new_classes_order=of,
        lazy_networks_reactivate=of | {"where": {"width": 2}},
        frequencies_barely_matter=of,
        velosity_spikes=of,
    )
    for line in (
        "claims.wider_is_lazier.experiment: there is no experiment 'nope'; this config has widths",
        "claims.velocity_spikes.where.width: 7 is not in the grid, which has [2, 4]",
        "claims.velocity_spikes.where.shift: is no axis of widths, which has width, lr",
        "claims.check_mark.drop: Input should be a valid number",
        "claims.repeats.experiment: widths should have 3 tasks, it has 2",
        "claims.new_classes_order.experiment: widths should have 3 values of shift in its grid, or more",
        "claims.lazy_networks_reactivate.experiment: widths should have 2 values of width in its grid, or more",
        "claims.frequencies_barely_matter.beside: is missing",
        "claims.velosity_spikes: unknown key; did you mean velocity_spikes?",
    ):
        assert line in text


def test_numbers_of_switches_need_steps_that_fit_into_tasks():
    with pytest.raises(
        ConfigError, match=r"widths should have epochs of each task that are a multiple of velocity_dt \(2\)"
    ):
        load_study(
            changed(
                ("experiments.widths.metrics", {"velocity_dt": [2]}),
                ("figures", {}),
                ("claims", {"velocity_spikes": {"experiment": "widths"}}),
            )
        )


def test_no_column_of_numbers_has_the_name_of_an_axis():
    assert not set(SWITCHES) & set(axis_names())


def test_defaults_written_out_are_the_same_claims():
    claims = {"velocity_spikes": {"experiment": "widths"}}
    written = {"velocity_spikes": {"experiment": "widths", "ratio": 2, "where": {}}}
    plans = [make_plan(load_study(changed(("claims", of)))).claims for of in (claims, written)]
    assert repr(plans[0]) == repr(plans[1])


def test_a_claim_is_tested_on_the_runs_that_it_names():
    edits = [("experiments.widths.grid", GRID), ("experiments.widths.training", {"epochs": 2, "batch_size": 8})]
    edits.append(("figures.fig4.where", {"lr": 0.1}))
    claims = {"velocity_spikes": {"experiment": "widths", "where": {"lr": "1e-2"}, "ratio": 3}}
    plan = make_plan(load_study(changed(*edits, ("claims", claims))))
    assert plan.claims["min_seeds"] == 3 and plan.claims["kernel"] == "sum"
    spec = plan.claims["tested"]["velocity_spikes"]
    assert spec["ratio"] == 3
    runs = {f"widths-width{width}-lr0.01-s{seed}": {"seed": seed, "tasks": 2} for width in (2, 4) for seed in (0, 1)}
    assert spec["runs"] == runs


def test_the_table_for_people_has_a_row_for_each_claim():
    rows = pd.concat([table(**WIDTHS, **RATES), TABLES["repeats"][0]])
    spec = {
        "experiment": "e|f",
        "where": {"lr": 0.1},
        "runs": expected(table(**WIDTHS, **RATES)),
        "ratio": 2.0,
        "moved": 0.05,
    }
    found = claims_rows(rows, ALL | {"tested": {"velocity_spikes": spec, "lazy_networks_reactivate": spec}})
    assert [row["claim"] for row in found] == [2, 2, 11, 11] and all(set(row) == set(CLAIM_COLUMNS) for row in found)
    lines = markdown(found, "tiny", ALL).splitlines()
    assert (
        lines[-2].startswith("| 2 | At every switch")
        and r"(`e\|f`, lr 0.1)" in lines[-2]
        and "**supported**" in lines[-1]
    )
    assert "should be more than 2×" in lines[-1]
    assert "names no claims" in markdown([], "tiny", ALL)


# ----------------------------------------------------------------------------------------- the real workflow
STUDY = changed(("claims", {"min_seeds": 2, "velocity_spikes": {"experiment": "widths"}}))


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A folder in which STUDY has been run."""
    return finished(tmp_path_factory.mktemp("study") / "clone", STUDY)


@pytest.mark.parametrize(
    "module, old, new, rules",
    [
        (
            "reactivation/analysis/metrics.py",
            "0.5 * np.sum",
            "0.50001 * np.sum",
            {"metrics", "switches", "claims", "figure"},
        ),
        ("reactivation/analysis/switches.py", "away.max() / 2", "away.max() / 3", {"switches", "claims"}),
        ("reactivation/analysis/verdicts.py", "EXACT = 5", "EXACT = 4", {"claims"}),
    ],
)
def test_code_reruns_the_claims_that_it_can_change(done, module, old, new, rules):
    path = done / "workflow/scripts" / module
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    of_claims = {"metrics", "switches", "claims", "figure"}
    assert of_claims & set(all_planned(done, config=STUDY)) == rules
    path.write_text(text)


def test_a_threshold_reruns_the_claims_only(done):
    config = STUDY | {"claims": STUDY["claims"] | {"velocity_spikes": {"experiment": "widths", "ratio": 3}}}
    assert {"switches", "claims", "metrics", "figure"} & set(all_planned(done, config=config)) == {"claims"}


def test_claims_of_a_real_study(done):
    folder = done / "results/tiny"
    numbers, accuracy = (pd.read_csv(folder / f"{name}.csv") for name in ("reactivation", "accuracy"))
    assert len(numbers) == 4 * 2 * 2 and set(numbers["kernel"]) == {"sum", "trace"}  # runs, kernels, tasks
    assert list(numbers)[:5] == ["run", "experiment", "width", "seed", "kernel"]
    assert len(accuracy) == 4 * 3 * 2  # after 0, 1, 2 tasks, of each
    second = numbers[(numbers["task"] == 2) & (numbers["kernel"] == "sum")]
    rows = read_tables(sorted(folder.glob("runs/*.csv")))
    at = (rows["metric"] == "kernel_velocity") & (rows["kernel"] == "sum") & (rows["block"] == "all")
    for _, row in second.iterrows():
        velocity = rows[at & (rows["run"] == row["run"])].set_index("epoch")["value"]
        assert row["velocity_ratio"] == pytest.approx(velocity[2] / velocity[1])
    claims = pd.read_csv(folder / "claims.csv")
    assert (claims["name"] == "velocity_spikes").all() and (claims["seeds"] == 2).all() and len(claims) == 2
    smallest = second.assign(log=np.log(second["velocity_ratio"])).groupby("seed")["log"].min()
    assert claims["effect"][0] == pytest.approx(np.exp(smallest.mean()))
    assert claims["verdict"][0] in (folder / "claims.md").read_text()

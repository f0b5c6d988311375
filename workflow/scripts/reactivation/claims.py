"""The paper's claims: from the numbers of its switches to an effect, an interval over seeds and a verdict.

A claim has one measure or several. A measure is one number per seed, which compares runs of that seed with each other; its
effect is the mean over seeds. A claim is supported if the whole interval of each of its measures lies beyond its threshold.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

EXACT = 5  # seeds, up to which every resample is taken
RESAMPLES = 10_000  # drawn, with more seeds
# Of normal numbers; measured, and by a test.
COVERAGE = "95 % intervals hold the true mean 64 % of the time with 3 seeds, 84 % with 5, 91 % with 20"

COLUMNS = (
    *(
        "claim",
        "verdict",
        "statement",
        "measure",
        "effect",
        "low",
        "high",
        "unit",
        "sign",
        "threshold",
        "holds",
        "seeds",
    ),
    *("name", "experiment", "sentence"),
)

Unit = Literal["times", "share", "epochs", "number"]
Limits = dict[str, Any]


@dataclass(frozen=True)
class Measure:
    """`values`: one per seed, NaN where a seed has none; logarithms if the unit is `times`."""

    name: str
    values: pd.Series
    threshold: float
    unit: Unit
    below: bool = False  # whether the effect is to be smaller than the threshold

    @property
    def sign(self) -> str:
        return "<" if self.below else ">"


# ---------------------------------------------------------------------------------------------- measures' parts
def over_runs(rows: pd.DataFrame, values: pd.Series, least_of: str | None = None) -> pd.Series:
    """One number per seed: the mean over its rows, or the least of the means at each value of the column `least_of`."""
    if least_of is None or least_of not in rows:
        return values.groupby(rows["seed"]).mean()
    return values.groupby([rows["seed"], rows[least_of]], dropna=False).mean().groupby("seed").min()


def at(rows: pd.DataFrame, axis: str, which: Literal["min", "max"]) -> pd.DataFrame:
    """The rows at the smallest or largest value of an axis."""
    return rows[rows[axis] == getattr(rows[axis], which)()]


def of_tasks(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of tasks that follow a switch."""
    return rows[rows["task"] > 1]


def log(values: pd.Series) -> pd.Series:
    """Its zeros are infinitely far below."""
    with np.errstate(divide="ignore"):
        return np.log(values)


def recovery_time(rows: pd.DataFrame) -> pd.Series:
    """Epochs from the switch until the norm is back; the length of the task, where it is not: then it takes longer."""
    return rows["recovery_epochs"].fillna(rows["end"] - rows["start"]).where(rows["norm_drop"].notna())


def per_doubling(rows: pd.DataFrame, column: str) -> pd.Series:
    """Per seed, the share by which a column falls with each doubling of the width: 1 − 2^slope, of logarithms."""

    def slope(part: pd.DataFrame) -> float:
        means = log(part.groupby("width")[column].mean())
        return np.polyfit(np.log2(means.index.astype(float)), means / np.log(2), 1)[0] if len(means) > 1 else np.nan

    others = [axis for axis in ("lr",) if axis in rows]
    slopes = {key: slope(part) for key, part in rows.groupby(["seed", *others], dropna=False)}
    return 1 - 2 ** pd.Series(slopes).groupby(level=0).mean()


def rank_correlation(rows: pd.DataFrame, axis: str, column: str) -> pd.Series:
    """Per seed, Spearman's; 0 where the column does not vary."""
    found: dict[Any, float] = {}
    for seed, part in rows.groupby("seed"):
        means = part.groupby(axis)[column].mean().dropna()
        if len(means) > 1:
            ranks = means.rank()
            places = pd.Series(range(len(means)), index=means.index, dtype=float)  # in the order of the axis
            found[seed] = places.corr(ranks) if ranks.nunique() > 1 else 0.0
    return pd.Series(found, dtype=float)


def by_axis(rows: pd.DataFrame, axis: str, column: str) -> pd.DataFrame:
    """Means of a column: a row per seed, a column per value of the axis in order."""
    return rows.groupby(["seed", axis])[column].mean().unstack()


# -------------------------------------------------------------------------------------------------- the claims
def wider_is_lazier(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    first = rows[rows["task"] == 1]
    for name, column in (("distance", "distance"), ("mean velocity", "velocity_mean")):
        values = per_doubling(first, column)
        yield Measure(f"fall of the first task's {name} per doubling of the width", values, limits["fall"], "share")


def velocity_spikes(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    where = at_least_width(rows)
    spike = over_runs(rows, log(rows["velocity_ratio"]), "width")
    yield Measure(f"velocity across the switch, over that before{where}", spike, limits["ratio"], "times")
    fall = over_runs(rows, log(rows["velocity_at"] / rows["velocity_last"]), "width")
    yield Measure(f"velocity across the switch, over that at the task's end{where}", fall, limits["ratio"], "times")


def check_mark(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    where = at_least_width(rows)
    fell = rows["norm_drop"] > 0
    drop = over_runs(rows, rows["norm_drop"], "width")
    yield Measure(f"drop of the norm{where}", drop, limits["drop"], "share")
    regained = (rows["norm_recovery"] / rows["norm_drop"]).where(fell, 0.0).where(rows["norm_drop"].notna())
    yield Measure(
        f"of the drop, regained at the task's end{where}",
        over_runs(rows, regained, "width"),
        limits["recovery"],
        "share",
    )
    times = log((recovery_time(rows) - rows["drop_epochs"]) / rows["drop_epochs"])
    times = times.where(fell, 0.0).where(rows["norm_drop"].notna())  # what does not fall has no asymmetry
    yield Measure(
        f"time of recovery, over that of the drop{where}", over_runs(rows, times, "width"), limits["asymmetry"], "times"
    )


def drop_and_spike_coincide(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    rows = rows[rows["spike_epoch"].notna() & (rows["norm_drop"] > 0)]
    lag = rows["drop_epochs"] - rows["spike_epoch"]
    together = lag.between(-1e-6, rows["dt"] + 1e-6).astype(float)
    yield Measure("switches where drop and spike coincide", over_runs(rows, together), limits["share"], "share")


def over_converged_recovers_last(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    times = by_axis(rows.assign(time=recovery_time(rows)), "lr", "time")
    longer = times.iloc[:, -1] - times.iloc[:, :-1].max(axis=1, skipna=False)
    yield Measure("longer recovery at the largest learning rate than at any other", longer, limits["longer"], "epochs")


def alignment_turns(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    turn = over_runs(rows, log(rows["alignment_turn"] / rows["alignment_pace"]))
    yield Measure(
        "change of alignment in the dt after the switch, over that in the dt before", turn, limits["ratio"], "times"
    )
    slow, fast = (over_runs(part, log(part["turn_epochs"])) for part in (at(rows, "lr", "min"), at(rows, "lr", "max")))
    yield Measure(
        "time of the turn at the smallest learning rate, over that at the largest",
        slow - fast,
        limits["slower"],
        "times",
    )


def repeats(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    spike = over_runs(rows, log(rows["velocity_ratio"]), "task")
    yield Measure("velocity across the switch, over that before, at the least switch", spike, limits["ratio"], "times")
    drop = over_runs(rows, rows["norm_drop"], "task")
    yield Measure("drop of the norm, at the least switch", drop, limits["drop"], "share")


def new_classes_order(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(rows)
    for name, column in (("drop", "norm_drop"), ("velocity", "velocity_at"), ("distance", "distance")):
        values = rank_correlation(rows, "shift", column)
        yield Measure(f"rank correlation of new classes and {name}", values, limits["rank_correlation"], "number")
    drops = by_axis(rows, "shift", "norm_drop")
    if 0 in drops:
        share = (drops[0] / drops.max(axis=1)).where(drops.max(axis=1) > 0, np.inf)
        yield Measure("drop without new classes, of the largest", share, limits["unchanged"], "share", below=True)


def diminishing_returns(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    drops = by_axis(of_tasks(rows), "shift", "norm_drop")
    new = drops.columns.to_numpy(dtype=float)
    done = drops.sub(drops.iloc[:, 0], axis=0).div(drops.iloc[:, -1] - drops.iloc[:, 0], axis=0)
    above = (done - (new - new[0]) / (new[-1] - new[0])).iloc[:, 1:-1].mean(axis=1, skipna=False)
    rises = drops.iloc[:, -1] > drops.iloc[:, 0]
    above = above.where(rises, -1.0).where(drops.notna().all(axis=1))  # what does not rise has no returns
    yield Measure("drop above a straight line, of its range", above, limits["concavity"], "share")


def frequencies_barely_matter(rows: pd.DataFrame, limits: Limits, beside: pd.DataFrame) -> Iterator[Measure]:
    rows, beside = of_tasks(rows), of_tasks(beside)
    for name, column in (("drop of the norm", "norm_drop"), ("velocity across the switch", "velocity_at")):
        ours, theirs = (by_axis(part, axis, column).max(axis=1) for part, axis in ((rows, "alpha"), (beside, "shift")))
        share = (ours / theirs).where((theirs > 0) | theirs.isna(), np.inf)
        yield Measure(f"largest {name}, of the largest with new classes", share, limits["share"], "share", below=True)


def lazy_networks_reactivate(rows: pd.DataFrame, limits: Limits) -> Iterator[Measure]:
    rows = of_tasks(at(at(rows, "width", "max"), "lr", "min"))
    spike = over_runs(rows, log(rows["velocity_ratio"]))
    yield Measure("velocity across the switch, over that before", spike, limits["ratio"], "times")
    moved = over_runs(rows, rows["distance"])
    yield Measure("distance of the kernel at the task's end from that at the switch", moved, limits["moved"], "number")


def at_least_width(rows: pd.DataFrame) -> str:
    return ", at the width where it is least" if "width" in rows and rows["width"].nunique() > 1 else ""


# In the paper's order; the first is claim 1.
CLAIMS: dict[str, tuple[str, Callable[..., Iterator[Measure]]]] = {
    "wider_is_lazier": ("Wider is lazier: within a task, distance and velocity fall as width grows", wider_is_lazier),
    "velocity_spikes": ("At every switch the velocity spikes, at every width, then falls back", velocity_spikes),
    "check_mark": ("The norm drops sharply at the switch and recovers slowly, at every width", check_mark),
    "drop_and_spike_coincide": ("The drop and the spike coincide", drop_and_spike_coincide),
    "over_converged_recovers_last": (
        "Recovery takes longest in the over-converged phase (largest learning rate)",
        over_converged_recovers_last,
    ),
    "alignment_turns": (
        "Alignment turns at the switch, far more slowly in the under-converged phase (smallest learning rate)",
        alignment_turns,
    ),
    "repeats": ("The pattern repeats at each of several switches", repeats),
    "new_classes_order": (
        "The more new classes, the larger drop, velocity and distance; without any, no drop",
        new_classes_order,
    ),
    "diminishing_returns": ("Diminishing returns: the first few new classes do most", diminishing_returns),
    "frequencies_barely_matter": (
        "A shift of frequencies alone barely moves the kernel",
        frequencies_barely_matter,
    ),
    "lazy_networks_reactivate": (
        "The widest network at the smallest learning rate reactivates: a static kernel does not describe it",
        lazy_networks_reactivate,
    ),
}


# -------------------------------------------------------------------------------------------------- the verdict
def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile bootstrap of the mean (Efron 1979): all n^n resamples of few values, otherwise RESAMPLES drawn ones."""
    n = len(values)
    if not np.isfinite(values).all():
        return float(values.min()), float(values.max())  # a mean of infinities has no interval but their range
    if n <= EXACT:
        places = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        places = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[places].mean(1), [tail, 1 - tail])
    return float(low), float(high)


def judge(name: str, rows: pd.DataFrame, spec: dict[str, Any], claims: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the claim's measures, each with the verdict on the claim and the sentence that explains it.

    `rows`: of reactivation.csv; `spec`: runs, thresholds and perhaps the runs `beside`; `claims`: what holds for all.
    """
    statement, measured = CLAIMS[name]
    rows = rows[rows["kernel"] == claims["kernel"]]
    parts = [_whole_seeds(rows[rows["run"].isin(spec[which])]) for which in ("runs", "beside") if which in spec]
    empty = any(part.empty for part in parts)
    measures = [] if empty else [_measured(m, claims["confidence"]) for m in measured(parts[0], spec, *parts[1:])]
    if not measures:
        measures = [{"measure": "", "seeds": 0, "holds": False, "words": "none finished a task"}]
    seeds = min((m["seeds"] for m in measures), default=0)
    if seeds < claims["min_seeds"]:
        verdict, why = (
            "too few runs",
            f"{seeds} seed{'s' * (seeds != 1)} with all runs, {claims['min_seeds']} are needed: ",
        )
    else:
        verdict, why = ("supported" if all(m["holds"] for m in measures) else "not supported"), ""
    sentence = why + "; ".join(m.pop("words") for m in measures)
    number = list(CLAIMS).index(name) + 1
    about = {"claim": number, "name": name, "statement": statement, "experiment": spec["experiment"]}
    return [about | m | {"verdict": verdict, "sentence": sentence} for m in measures]


def _whole_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Without seeds that lack tasks which others have, as their runs diverged: means over others would not compare."""
    counts = rows.groupby("seed").size()
    return rows[rows["seed"].isin(counts[counts == counts.max()].index)]


def _measured(measure: Measure, confidence: float) -> dict[str, Any]:
    values = measure.values.dropna().to_numpy(dtype=float)
    low, high = interval(values, confidence) if len(values) else (np.nan, np.nan)
    effect = float(values.mean()) if len(values) else np.nan
    if measure.unit == "times":
        effect, low, high = (float(np.exp(x)) for x in (effect, low, high))
    holds = bool(high < measure.threshold if measure.below else low > measure.threshold)
    of = {"effect": effect, "low": low, "high": high}
    found = {
        "measure": measure.name,
        "unit": measure.unit,
        **of,
        "sign": measure.sign,
        "threshold": measure.threshold,
        "holds": holds,
        "seeds": len(values),
    }
    span = f"{text(low, measure.unit)} to {text(high, measure.unit)}"
    limit = f"should be {'less' if measure.below else 'more'} than {text(measure.threshold, measure.unit)}"
    return found | {"words": f"{measure.name}: {text(effect, measure.unit)} ({span}; {limit})"}


def text(value: float, unit: str) -> str:
    """An effect in words."""
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.3g}" + {"times": "×", "epochs": " epochs", "number": ""}[unit]


def claims_rows(rows: pd.DataFrame, claims: dict[str, Any]) -> list[dict[str, Any]]:
    """Of every claim that `claims` names under `tested`, in their order."""
    return [row for name, spec in claims["tested"].items() for row in judge(name, rows, spec, claims)]


def markdown(found: list[dict[str, Any]], study: str, claims: dict[str, Any]) -> str:
    """The claims as a table for people."""
    lines = [
        f"# Claims of the paper, tested in the study {study}",
        "",
        f"Effects are means over seeds, with {100 * claims['confidence']:g} % bootstrap intervals over seeds; kernel "
        f"`{claims['kernel']}`; thresholds are those of the config. Supported: every interval lies beyond its threshold.",
        "",
        f"Bootstrap intervals of few seeds are too narrow: {COVERAGE}.",
        "",
        "| | claim | verdict | seeds | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number in dict.fromkeys(row["claim"] for row in found):
        rows = [row for row in found if row["claim"] == number]
        first, seeds = rows[0], min(row["seeds"] for row in rows)
        cells = [
            number,
            f"{first['statement']} (`{first['experiment']}`)",
            f"**{first['verdict']}**",
            seeds,
            first["sentence"],
        ]
        lines.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines, "" if found else "\nThe config names no claims.\n"])

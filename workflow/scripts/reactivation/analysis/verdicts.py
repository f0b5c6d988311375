"""From the measures of claims to effects, intervals over seeds and verdicts.

An effect is the mean over seeds. A claim is supported if, for each of its measures, the whole interval lies beyond the
threshold.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from reactivation.analysis.claims import CLAIMS, Measure

EXACT = 5  # seeds up to which every resample is taken
RESAMPLES = 10_000  # how many are drawn with more seeds
# For normally distributed data; measured, and checked by a test.
COVERAGE = "95 % intervals hold the true mean 48 % of the time with 2 seeds, 64 % with 3, 84 % with 5, 91 % with 20"


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Percentile bootstrap of the mean (Efron 1979): all n^n resamples of few values, otherwise RESAMPLES at random."""
    n = len(values)
    if not np.isfinite(values).all():
        return float(values.min()), float(values.max())  # infinities have a range, but no bootstrap interval
    if n <= EXACT:
        places = np.array(list(itertools.product(range(n), repeat=n)))
    else:
        places = np.random.default_rng(0).integers(0, n, (RESAMPLES, n))
    tail = (1 - confidence) / 2
    low, high = np.quantile(values[places].mean(1), [tail, 1 - tail])
    return float(low), float(high)


def judge(name: str, rows: pd.DataFrame, spec: dict[str, Any], claims: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the claim's measures, each with the verdict on the claim and the sentence that explains it.

    `rows`: those of reactivation.csv. `spec`: the claim's runs, thresholds and perhaps its runs `beside`. `claims`: the
    settings of all claims.
    """
    statement, measured = CLAIMS[name]
    rows = rows[rows["kernel"] == claims["kernel"]]
    parts, lost = zip(
        *(_whole_seeds(rows, spec[which]) for which in ("runs", "beside") if spec.get(which) is not None), strict=True
    )
    empty = any(part.empty for part in parts)
    measures = [] if empty else [_measured(m, claims["confidence"]) for m in measured(parts[0], spec, *parts[1:])]
    seeds = min((m["seeds"] for m in measures), default=0)
    verdict = "supported" if measures and all(m["holds"] for m in measures) else "not supported"
    words = [m.pop("words") for m in measures]
    if seeds < claims["min_seeds"]:
        verdict = "too few runs"
        words.insert(0, f"{seeds} seed{'s' * (seeds != 1)} with all that it needs, of {claims['min_seeds']}")
    diverged = [run for runs in lost for run in runs]
    if diverged:
        words.append(
            f"left out are seeds with runs that diverged: {', '.join(diverged[:3])}{' …' * (len(diverged) > 3)}"
        )
    about = {
        "claim": list(CLAIMS).index(name) + 1,
        "name": name,
        "statement": statement,
        "experiment": spec["experiment"],
        "where": ", ".join(f"{key} {value}" for key, value in spec["where"].items()),
    }
    measures = measures or [{"measure": "", "seeds": 0, "holds": False}]
    return [about | m | {"verdict": verdict, "sentence": "; ".join(words)} for m in measures]


def _whole_seeds(rows: pd.DataFrame, runs: dict[str, dict[str, int]]) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `runs`, without seeds of which a run diverged, and the runs that diverged.

    Means over a seed's remaining runs would not be comparable. `runs`: by name, each run's `seed` and the number of
    `tasks` that it should have. Columns numeric in these runs become numbers: other experiments may have text there.
    """
    done = rows.groupby("run")["task"].nunique()
    lost = [run for run, of in runs.items() if done.get(run, 0) < of["tasks"]]
    kept = rows[rows["run"].isin(runs) & ~rows["seed"].isin([runs[run]["seed"] for run in lost])]
    return kept.apply(_numbers), lost


def _numbers(column: pd.Series) -> pd.Series:
    try:
        return pd.to_numeric(column)
    except ValueError:
        return column


def _measured(measure: Measure, confidence: float) -> dict[str, Any]:
    values = measure.values.dropna().to_numpy(dtype=float)
    low, high = interval(values, confidence) if len(values) else (np.nan, np.nan)
    effect = float(values.mean()) if len(values) else np.nan
    if measure.unit == "times":
        effect, low, high = (float(np.exp(x)) for x in (effect, low, high))
    slack = 1e-9 * max(1.0, abs(measure.threshold))  # rounding decides nothing
    holds = bool(high < measure.threshold - slack if measure.below else low > measure.threshold + slack)
    found = {
        "measure": measure.name,
        "unit": measure.unit,
        "effect": effect,
        "low": low,
        "high": high,
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
    if np.isnan(value):
        return "undefined"
    if unit == "share":
        return f"{100 * value:.3g} %"
    return f"{value:.3g}" + {"times": "×", "epochs": " epochs", "number": ""}[unit]


def claims_rows(rows: pd.DataFrame, claims: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of every claim that `claims` names under `tested`, in their order."""
    return [row for name, spec in claims["tested"].items() for row in judge(name, rows, spec, claims)]


def markdown(found: list[dict[str, Any]], study: str, claims: dict[str, Any]) -> str:
    """The claims as a table for people."""
    lines = [
        f"# Claims of the paper, tested in the study {study}",
        "",
        f"Effects are means over seeds, with {100 * claims['confidence']:g} % bootstrap intervals over seeds; "
        f"kernel `{claims['kernel']}`; thresholds are those of the config. "
        "Supported: every interval lies beyond its threshold.",
        "",
        f"Bootstrap intervals of few seeds are too narrow: {COVERAGE}.",
        "",
        "| | claim | verdict | seeds | evidence |",
        "| --- | --- | --- | --- | --- |",
    ]
    for number in dict.fromkeys(row["claim"] for row in found):
        rows = [row for row in found if row["claim"] == number]
        first, seeds = rows[0], min(row["seeds"] for row in rows)
        runs = f"`{first['experiment']}`" + (f", {first['where']}" if first["where"] else "")
        cells = [
            number,
            f"{first['statement']} ({runs})",
            f"**{first['verdict']}**",
            seeds,
            first["sentence"],
        ]
        lines.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
    return "\n".join([*lines, "" if found else "\nThe config names no claims.\n"])

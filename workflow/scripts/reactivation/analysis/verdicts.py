"""From the measures of claims to effects, intervals over seeds and verdicts.

An effect is the mean over seeds. A measure is `supported` if its whole interval lies beyond the threshold,
`contradicted` if it lies wholly on the other side, and otherwise `open`. A claim is supported if all of its measures
are, and contradicted if one is.
"""

from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from reactivation.analysis.claims import CLAIMS, Measure

SUPPORTED, CONTRADICTED, OPEN = "supported", "contradicted", "open"

Row = dict[str, Any]
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Student's t interval of the mean; NaN for fewer than two values.

    Among infinite values there is no spread to estimate: nothing is known unless all are the same.
    """
    n = len(values)
    if n < 2:
        return np.nan, np.nan
    if not np.isfinite(values).all():
        return (values[0], values[0]) if (values == values[0]).all() else (-np.inf, np.inf)
    reach = stdtrit(n - 1, (1 + confidence) / 2) * values.std(ddof=1) / np.sqrt(n)
    return float(values.mean() - reach), float(values.mean() + reach)


def claims_rows(rows: pd.DataFrame, claims: Row) -> list[list[Row]]:
    """The rows of every claim that `claims` has under `tested`, in that order: one list for each claim and kernel.

    `rows`: those of reactivation.csv.
    """
    return [judge(rows, spec, kernel, claims) for spec in claims["tested"] for kernel in spec["kernels"]]


def judge(rows: pd.DataFrame, spec: Row, kernel: str, claims: Row) -> list[Row]:
    """Rows of the claim's measures, each with the verdict on the claim and the sentence that explains it.

    `rows`: those of reactivation.csv. `spec`: the claim's name, runs, thresholds and perhaps its runs `beside`; its
    `key` in the config if the claim is tested several times. `claims`: the settings of all claims.
    """
    statement, measured = CLAIMS[spec["name"]]
    rows = rows[rows["kernel"] == kernel]
    parts, lost = zip(
        *(_whole_seeds(rows, spec[which]) for which in ("runs", "beside") if spec.get(which) is not None), strict=True
    )
    empty = any(part.empty for part in parts)
    measures = [] if empty else [_measured(m, claims) for m in measured(parts[0], spec, *parts[1:])]
    words = [m.pop("words") for m in measures]
    seeds = min((m["seeds"] for m in measures), default=0)
    if seeds < claims["min_seeds"]:
        words.insert(0, f"{seeds} seed{'s' * (seeds != 1)} with all that it needs, of {claims['min_seeds']}")
    diverged = [run for runs in lost for run in runs]
    if diverged:
        words.append(
            f"left out are seeds with runs that diverged: {', '.join(diverged[:3])}{' …' * (len(diverged) > 3)}"
        )
    about = {
        "claim": list(CLAIMS).index(spec["name"]) + 1,
        "kernel": kernel,
        "name": spec.get("key", spec["name"]),
        "statement": statement,
        "experiment": spec["experiment"],
        "where": _where(spec),
    }
    measures = measures or [{"measure": "", "seeds": 0, "finding": OPEN, "holds": False}]
    verdict = _verdict([m["finding"] for m in measures])
    return [about | m | {"verdict": verdict, "sentence": "; ".join(words)} for m in measures]


def _where(spec: Row) -> str:
    """Which runs of the experiment a claim is tested on, and beside which of another."""
    of, beside = (
        ", ".join(f"{key} {value}" for key, value in spec.get(which, {}).items()) for which in ("where", "where_beside")
    )
    if "beside_experiment" not in spec:
        return of
    other = f"beside {spec['beside_experiment']}" + (f" with {beside}" if beside else "")
    return ", ".join(filter(None, [of, other]))


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


def _verdict(findings: list[str]) -> str:
    if CONTRADICTED in findings:
        return CONTRADICTED
    return SUPPORTED if set(findings) == {SUPPORTED} else OPEN


def _measured(measure: Measure, claims: Row) -> Row:
    values = measure.values.dropna().to_numpy(dtype=float)
    low, high = interval(values, claims["confidence"])
    effect = _mean(values)
    if measure.unit == "times" or measure.ratio:
        effect, low, high = (float(np.exp(x)) for x in (effect, low, high))
    slack = 1e-9 * max(1.0, abs(measure.threshold))  # rounding decides nothing
    above, below = low > measure.threshold + slack, high < measure.threshold - slack
    holds, fails = (below, above) if measure.below else (above, below)
    enough = len(values) >= claims["min_seeds"]
    found = {
        "measure": measure.name,
        "unit": measure.unit,
        "effect": effect,
        "low": low,
        "high": high,
        "sign": measure.sign,
        "threshold": measure.threshold,
        "finding": SUPPORTED if holds and enough else CONTRADICTED if fails and enough else OPEN,
        "holds": bool(holds),
        "seeds": len(values),
    }
    span = "no interval" if np.isnan(low) else f"{text(low, measure.unit)} to {text(high, measure.unit)}"
    limit = f"should be {'less' if measure.below else 'more'} than {text(measure.threshold, measure.unit)}"
    return found | {"words": f"{measure.name}: {text(effect, measure.unit)} ({span}; {limit})"}


def _mean(values: np.ndarray) -> float:
    """The mean; NaN of no values, or of both infinities."""
    with np.errstate(invalid="ignore"):
        return float(values.mean()) if len(values) else np.nan


def text(value: float, unit: str) -> str:
    """An effect in words, with three digits."""
    if np.isnan(value):
        return "undefined"
    return digits(value, unit) + {"times": "×", "share": " %", "epochs": " epochs", "number": ""}[unit]


def digits(value: float, unit: str) -> str:
    """An effect without its unit; shares are in percent."""
    rounded = float(f"{100 * value if unit == 'share' else value:.3g}")
    number, _, power = f"{rounded:g}".partition("e")  # 1200, not 1.2e+03
    raised = str(int(power)).translate(RAISED) if power else ""
    return f"{number}·10{raised}".removeprefix("1·") if raised else number.replace("inf", "∞")  # 6.14·10⁶

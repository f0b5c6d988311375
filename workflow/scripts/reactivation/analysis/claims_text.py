"""The study's claims and their verdicts, and what its networks forget, as a page for people: claims.md."""

from typing import Any

import pandas as pd

from reactivation.analysis.verdicts import Row


def markdown(judged: list[list[Row]], rows: pd.DataFrame, study: str, claims: dict[str, Any]) -> str:
    """The text of claims.md. `judged`: what `claims_rows` returned; `rows`: those of reactivation.csv."""
    parts = [f"# Claims of the paper, tested in the study {study}", *_claims(judged, claims), *_forgetting(rows)]
    return "\n\n".join(parts) + "\n"


def _claims(judged: list[list[Row]], claims: dict[str, Any]) -> list[str]:
    if not judged:
        return ["The config names no claims."]
    others = {found[0]["kernel"] for found in judged} - {claims["kernel"]}
    beside = "".join(f" Lines of `{kernel}` say what the other kernel shows." for kernel in others)
    lines = ["| | claim | kernel | verdict | seeds | evidence |", "| --- | --- | --- | --- | --- | --- |"]
    for found in judged:
        first, main = found[0], found[0]["kernel"] == claims["kernel"]
        runs = f"`{first['experiment']}`" + (f", {first['where']}" if first["where"] else "")
        cells = [
            first["claim"],
            f"{first['statement']} ({runs})" if main else f"the same ({runs})",
            f"`{first['kernel']}`",
            f"**{first['verdict']}**" if main else first["verdict"],
            min(row["seeds"] for row in found),
            first["sentence"],
        ]
        lines.append("| " + " | ".join(str(cell).replace("|", r"\|") for cell in cells) + " |")
    return [
        f"Effects are means over seeds (of logarithms for ratios), with {100 * claims['confidence']:g} % intervals of "
        "Student's t; thresholds are those of the config. Supported: every interval lies beyond its threshold. "
        "Contradicted: an interval lies wholly on the other side. Open: all else, and too few seeds. "
        f"Verdicts in bold are those on the kernel `{claims['kernel']}`.{beside}",
        "\n".join(lines),
    ]


def _forgetting(rows: pd.DataFrame) -> list[str]:
    """A section with a line per experiment, at the end of its last task; empty if nothing can be forgotten."""
    lines = [line for name, of in rows.groupby("experiment", sort=False) if (line := _forgotten(str(name), of))]
    if not lines:
        return []
    return [
        "## Forgetting",
        "Accuracy on earlier tasks, from the best at the end of a task to that at the end of the last task; means over "
        "all runs that have all tasks. Over all classes: an image is right if its class has the largest logit of all. "
        "Within the task: the largest of the task's own classes, as if the network were told the task. Over all "
        "classes accuracy can fall to 0, within a task of m classes to 1/m, which is chance. A negative loss is a "
        "gain.",
        "\n".join(lines),
    ]


def _forgotten(experiment: str, rows: pd.DataFrame) -> str | None:
    last = rows[rows["task"] == rows["task"].max()].drop_duplicates("run").dropna(subset="forgetting")
    if "draw" in last:
        last = last[last["draw"].isna() | (last["draw"] == 0)]  # other probes of the same networks
    if last.empty:
        return None
    runs = f"{last['task'].iloc[0]} tasks, {len(last)} run{'s' * (len(last) != 1)}"
    lost = f"{_signed(last['forgetting'])} over all classes"
    if "forgetting_within_task" in last and last["forgetting_within_task"].notna().any():
        lost += f", {_signed(last['forgetting_within_task'])} within the task"
    return f"* `{experiment}` ({runs}): {lost}."


def _signed(values: pd.Series) -> str:
    """The mean, with two digits and a minus sign."""
    return f"{values.mean():.2f}".replace("-0.00", "0.00").replace("-", "−")

"""Others' numbers among the rows of a figure."""

from typing import TYPE_CHECKING

import pandas as pd

from reactivation.storage.others import others_rows

if TYPE_CHECKING:
    from reactivation.data import specs

OTHERS = "others"  # the kind of such rows


def with_others(spec: "specs.Figure", drawn: pd.DataFrame, tables: list[str]) -> pd.DataFrame:
    """`drawn`, what `shown` returned, with rows of others' numbers after those of each panel that has any.

    Mean, low and high of such a row are its number, so that a panel's scale shows it. `tables`: paths, in the order by
    which panels name them.
    """
    parts = [drawn]
    for i, panel in enumerate(spec["panels"]):
        if OTHERS not in panel:
            continue
        color, theirs = panel["color"], panel["others"]
        colors = drawn.loc[drawn["panel"] == i, color].unique().tolist() if color else []
        rows = pd.DataFrame(others_rows(tables[theirs["table"]], theirs, color, colors))
        if len(rows):
            number = rows.pop("value")
            rows = rows.assign(panel=i, kind=OTHERS, metric=panel["metric"], mean=number, low=number, high=number)
            parts.append(rows.assign(diverged=False) if "diverged" in drawn else rows)
    if len(parts) == 1:
        return drawn
    return pd.concat(parts).sort_values("panel", kind="stable", ignore_index=True)[drawn.columns]

"""Metrics of linearised twins as rows of a run's table: what the static kernel predicts, and how wrong that is.

A twin starts each task anew from its network's weights: there twin and network coincide. At a switch a twin's curves
therefore have two values: the end of one task's twin, and the start of the next one, which is the network's.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from reactivation.analysis.run_table import Row, before, task_weights, test_rows, tidy

if TYPE_CHECKING:
    from reactivation.data import specs

ERRORS = {"test_accuracy": "accuracy_error", "forgetting": "forgetting_error"}


def twin_table(
    spec: "specs.Run",
    twins: list[list[Row]],
    networks: list[list[Row]],
    functions: list[list[Row]],
    diverged: Row | None = None,
) -> list[Row]:
    """The rows of a twin's run, with the columns of `run_table`, up to where the twin or its network diverged."""
    kept = ([before(diverged, rows) for rows in segments] for segments in (twins, networks, functions))
    return tidy(spec, list(_twin_rows(spec, *kept)), diverged)


def _twin_rows(
    spec: "specs.Run", twins: list[list[Row]], networks: list[list[Row]], functions: list[list[Row]]
) -> Iterator[Row]:
    """The metrics of a twin.

    `twins`, `networks`, `functions`: for each segment, the tests of the twin, the tests of its network, and the rows
    that compare the two functions.

    The metrics are the twin's accuracy, loss and forgetting; `accuracy_error` and `forgetting_error`, the twin's minus
    the network's; `function_distance`, the root mean square of f − f_lin over images and logits; `function_error`,
    ‖f − f_lin‖ / ‖f − f_start‖ with f_start the network at the task's start. The last two also have the block `probe`.
    """
    for task in range(1, len(twins) + 1):
        # At the start twin and network coincide, so the twin's first test is the last of the network's task before.
        earlier = networks[: task - 1]
        ended = earlier[-1] if earlier else []
        start = [row for row in ended if row["step"] == ended[-1]["step"]]
        of_twin, of_network = (
            {
                (row["metric"], row["block"], row["step"]): row
                for row in test_rows(spec, [*earlier, start + segments[task - 1]])
                if row["task"] == task
            }
            for segments in (twins, networks)
        )
        for key, row in of_twin.items():
            yield row
            if row["metric"] in ERRORS and key in of_network:
                error = row["value"] - of_network[key]["value"]
                yield row | {"metric": ERRORS[row["metric"]], "value": error}
        yield from ({"task": task} | row for row in _function_rows(spec, functions[task - 1]))


def _function_rows(spec: "specs.Run", rows: list[Row]) -> Iterator[Row]:
    """`function_distance` and `function_error` of one segment, from the means of squares of each class."""
    at: dict[tuple, list[Row]] = {}
    for row in rows:
        at.setdefault((row["step"], row["epoch"], row["part"]), []).append(row)
    for (step, epoch, part), of_part in at.items():
        blocks = task_weights(spec) if part == "test" else {part: {row["class"]: 1.0 for row in of_part}}
        for block, weights in blocks.items():
            images = np.array([row["images"] * weights.get(row["class"], 0.0) for row in of_part])
            distance, change = (
                float(np.array([row[key] for row in of_part]) @ images / images.sum()) for key in ("distance", "change")
            )
            about = {"step": step, "epoch": epoch, "block": block}
            yield about | {"metric": "function_distance", "value": np.sqrt(distance)}
            error = np.sqrt(distance / change) if change > 0 else np.nan
            yield about | {"metric": "function_error", "value": error}

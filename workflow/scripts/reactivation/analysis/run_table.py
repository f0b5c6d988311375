"""All metrics of a run as one tidy table: one row for each number at each checkpoint."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from reactivation.analysis import metrics
from reactivation.data.indices import first_task
from reactivation.seeds import generator

if TYPE_CHECKING:
    from reactivation.data import specs

Row = dict[str, Any]
Motion = tuple[Callable[[np.ndarray], np.ndarray], str, str]  # what normalises; the names of distance and velocity

BIASED: Motion = (metrics.normalised, "kernel_distance", "kernel_velocity")
UNBIASED: Motion = (metrics.normalised_unbiased, "kernel_distance_unbiased", "kernel_velocity_unbiased")
PERMUTATIONS = 1000  # of labels, whose middle 95 % is what alignment is by chance


def run_table(
    spec: "specs.Run",
    kernels: list[dict[str, Any]],
    evaluations: list[list[Row]],
    diverged: Row | None = None,
    within: Sequence[list[Row]] = (),
) -> list[Row]:
    """The rows of a run: one for each number at each checkpoint. The columns from metric to index tell them apart.

    `kernels`, `evaluations` and `within`: one of each per segment, in order, as `storage` reads them. Kernels from
    elsewhere have neither of the last two, and no `tasks` in `spec`; a run of one task has no `within`.

    Columns: experiment, seed, the axes of the grid; task, its similarity to the one before, step, epoch (both since
    initialisation), progress (tasks done); metric, kernel, layer (whose share it is; empty: the whole kernel), block
    (part of the probe or of the test set), reference, dt, index, value. Columns that do not apply are empty. Undefined
    values (a velocity without a later checkpoint, an alignment with one class) have no row.

    A run that diverged, at `diverged` (step, epoch, task), keeps the rows from before that step, plus one of the metric
    `diverged`, whose value is the step.
    """
    if diverged is not None:
        kernels = [_kernels_before(diverged["step"], segment) for segment in kernels]
        evaluations, within = ([before(diverged, rows) for rows in of] for of in (evaluations, within))
    found = [*_kernel_rows(spec, kernels), *test_rows(spec, evaluations), *within_rows(spec, within)]
    return tidy(spec, found, diverged)


def before(diverged: Row | None, rows: list[Row]) -> list[Row]:
    """The rows from before the step in which the run diverged, or all if it did not."""
    return [row for row in rows if diverged is None or row["step"] < diverged["step"]]


def tidy(spec: "specs.Run", found: list[Row], diverged: Row | None) -> list[Row]:
    """Rows with all columns, from rows with task, step, epoch, metric and value, dropping non-finite values."""
    run = {"experiment": spec["experiment"], "seed": spec["seed"], **spec["axes"]}
    ends = np.cumsum(spec["epochs"])
    empty = {"kernel": "", "layer": "", "block": "", "reference": "", "dt": "", "index": "", "value": np.nan}
    if diverged is not None:
        found = [*found, diverged | {"metric": "diverged", "block": "all", "value": diverged["step"]}]
    return [
        run | _time(row, ends, spec["similarity"]) | {"metric": ""} | empty | row
        for row in found
        if np.isfinite(row["value"])
    ]


def _kernels_before(step: int, segment: dict[str, Any]) -> dict[str, Any]:
    kept = segment["step"] < step
    whole, *shares = (
        {kind: stack[kept] for kind, stack in of.items()} for of in (segment["kernels"], *segment["layers"].values())
    )
    layers = dict(zip(segment["layers"], shares, strict=True))
    return segment | {
        "kernels": whole,
        "layers": layers,
        "step": segment["step"][kept],
        "epoch": segment["epoch"][kept],
    }


def _time(row: Row, ends: np.ndarray, similarity: list[float | None]) -> Row:
    """The columns that say when a row is; `ends`: the epochs at which tasks end."""
    k = row["task"]
    start = ends[k - 2] if k > 1 else 0.0
    length = ends[k - 1] - start  # 0 where kernels from elsewhere begin with the switch
    done = k - 1 + ((row["epoch"] - start) / length if length else 1)
    before = similarity[k - 1]
    return {
        "task": k,
        "similarity": "" if before is None else before,
        "step": row["step"],
        "epoch": row["epoch"],
        "progress": round(float(done), 9),
    }


def _kernel_rows(spec: "specs.Run", segments: list[dict[str, Any]]) -> Iterator[Row]:
    task = np.concatenate([np.full(len(segment["epoch"]), k) for k, segment in enumerate(segments, start=1)])
    epoch = np.concatenate([segment["epoch"] for segment in segments])
    step = np.concatenate([segment["step"] for segment in segments])
    at = [{"task": int(task[t]), "step": int(step[t]), "epoch": float(epoch[t])} for t in range(len(task))]
    labels = segments[0]["probe"]["label"]
    blocks = _blocks(segments[0]["probe"], spec.get("tasks"))
    one_hot = np.equal.outer(labels, np.unique(labels)).astype(np.float64)
    as_numbers = spec.get("alignment_labels") == "integer"
    compared = labels[:, None].astype(np.float64) if as_numbers else one_hot
    starts = np.searchsorted(task, range(1, len(segments) + 1)).tolist()
    origins = [_origins(t, max(0, starts[task[t] - 1] - 1)) for t in range(len(task))]
    motion = partial(_motion, origins=origins, epoch=epoch, steps=spec["velocity_dt"])
    own = [name for name in blocks if name.removeprefix("task").isdigit()]
    for kernel in spec["kernels"]:
        stack = np.concatenate([segment["kernels"][kernel] for segment in segments])
        found: list[tuple[Row, Iterator[Row]]] = []
        for block, members in blocks.items():
            part = stack[:, members[:, None], members]
            Y = compared[members]
            of_block = (_per_kernel(part, Y), motion(part, BIASED), motion(part, UNBIASED), _by_chance(part, Y, block))
            found += [({"block": block}, rows) for rows in of_block]
        for first, second in combinations(own, 2):
            pair = {"block": f"{first}-{second}"}
            part = stack[:, blocks[first][:, None], blocks[second]]
            overlaps = _overlaps(stack, blocks[first], blocks[second], spec["overlap_rank"])
            found += [(pair, rows) for rows in (overlaps, _norms(part), motion(part, BIASED))]
        labelled = {name: one_hot * np.isin(np.arange(len(labels)), blocks[name])[:, None] for name in ("all", *own)}
        found.append(({}, _eigenvectors(stack, spec["eigenvectors"], origins, labelled)))
        for layer in segments[0]["layers"]:
            share = np.concatenate([segment["layers"][layer][kernel] for segment in segments])
            each = (row for row in _per_kernel(share, compared) if row["metric"] != "eigenvalues")
            of_layer = (each, motion(share, BIASED), motion(share, UNBIASED))
            found += [({"layer": layer, "block": "all"}, rows) for rows in of_layer]
        for which, rows in found:
            yield from (at[row.pop("t")] | {"kernel": kernel} | which | row for row in rows)


def _blocks(probe: dict[str, np.ndarray], tasks: "list[specs.Task] | None") -> dict[str, np.ndarray]:
    """Positions in the probe, by block: of all images, and of each task's own.

    A task's own images are those of the classes that it is the first to have; without `tasks`, the probe says which.
    A probe with held-out images also has blocks of each half: `train`, `held_out`, `task1_train`, …
    """
    task = probe["task"] if tasks is None else first_task(probe["label"], tasks)
    members = {"all": np.full(len(task), True)} | {f"task{k}": task == k for k in np.unique(task[task > 0])}
    held_out = probe.get("held_out", np.full(len(task), False))
    if held_out.any():
        halves = {"train": ~held_out, "held_out": held_out}
        members |= {
            half if name == "all" else f"{name}_{half}": of_block & of_half
            for name, of_block in dict(members).items()
            for half, of_half in halves.items()
        }
    return {name: np.flatnonzero(chosen) for name, chosen in members.items() if chosen.sum() > 1}


def _per_kernel(stack: np.ndarray, Y: np.ndarray) -> Iterator[Row]:
    """Metrics of each kernel by itself, or with labels Y; `t` is its position in `stack` (T, n, n)."""
    of_labels = metrics.kernel_of_labels(Y)
    alignments = [
        (name, normalise, normalise(of_labels))
        for name, normalise in (("alignment", metrics.normalised), ("alignment_unbiased", metrics.normalised_unbiased))
    ]
    for t, K in enumerate(stack):
        yield from ({"t": t, "metric": name, "value": of(K)} for name, of in metrics.PER_KERNEL.items())
        for name, normalise, L in alignments:
            yield {"t": t, "metric": name, "value": metrics.alignment_of_normalised(normalise(K), L)}
        for i, value in enumerate(metrics.eigenvalues(K)):
            yield {"t": t, "metric": "eigenvalues", "index": i, "value": value}


def _by_chance(stack: np.ndarray, Y: np.ndarray, block: str) -> Iterator[Row]:
    """What alignment with labels Y is by chance: the identity's, which knows nothing; each kernel's if Y is permuted.

    The permutations are those of the block, the same for all kernels and runs.
    """
    identity = metrics.kernel_alignment(np.eye(len(Y)), Y)
    if np.isnan(identity):  # one class
        return
    positions = np.tile(np.arange(len(Y)), (PERMUTATIONS, 1))
    orders = generator(0, "permuted labels", block).permuted(positions, axis=1)
    low, high = np.quantile(metrics.permuted_alignments(stack, Y, orders), [0.025, 0.975], axis=1)
    for t in range(len(stack)):
        yield {"t": t, "metric": "alignment_identity", "value": identity}
        yield {"t": t, "metric": "alignment_permuted_low", "value": low[t]}
        yield {"t": t, "metric": "alignment_permuted_high", "value": high[t]}


def _origins(t: int, start: int) -> list[tuple[str, int]]:
    """The references of distances of the kernel at `t`, by name and position; its task starts with that at `start`."""
    return [("init", 0), ("task_start", start), *([("previous", t - 1)] if t else [])]


def _motion(
    stack: np.ndarray, motion: Motion, origins: list[list[tuple[str, int]]], epoch: np.ndarray, steps: list[int]
) -> Iterator[Row]:
    """Distances S from the kernels of `origins`, and velocities.

    `origins`, by time: the kernel at initialisation, at the task's start (the end of the one before), and just before.
    `stack`: kernels, or their blocks between the images of two tasks (T, n, m).
    """
    normalise, distance, velocity = motion
    normalised = [normalise(K) for K in stack]
    for t, K in enumerate(normalised):
        for reference, origin in origins[t]:
            value = metrics.distance_of_normalised(K, normalised[origin])
            yield {"t": t, "metric": distance, "reference": reference, "value": value}
    for dt in steps:
        for t, value in enumerate(metrics.velocity_of_normalised(normalised, epoch, dt)):
            yield {"t": t, "metric": velocity, "dt": dt, "value": value}


def _overlaps(stack: np.ndarray, first: np.ndarray, second: np.ndarray, rank: int) -> Iterator[Row]:
    for t, K in enumerate(stack):
        value = metrics.cross_task_overlap(K, first, second, rank)
        yield {"t": t, "metric": "cross_task_overlap", "value": value}


def _norms(stack: np.ndarray) -> Iterator[Row]:
    yield from ({"t": t, "metric": "block_norm", "value": metrics.block_norm(K)} for t, K in enumerate(stack))


def _eigenvectors(
    stack: np.ndarray, rank: int, origins: list[list[tuple[str, int]]], labelled: dict[str, np.ndarray]
) -> Iterator[Row]:
    """How far the leading eigenvectors of the whole probe have turned, and their alignment with each block's labels.

    `labelled`: by block, the one-hot labels (n, C) of its images, zero for others.
    """
    leading = [metrics.leading_eigenvectors(K, rank) for K in stack]
    for t, U in enumerate(leading):
        for reference, origin in origins[t]:
            value = metrics.eigenvector_rotation(leading[origin], U)
            yield {"t": t, "metric": "eigenvector_rotation", "block": "all", "reference": reference, "value": value}
        for block, Y in labelled.items():
            value = metrics.eigenvector_alignment(U, Y)
            yield {"t": t, "metric": "eigenvector_alignment", "block": block, "value": value}


def task_weights(spec: "specs.Run") -> dict[str, dict[int, float]]:
    """How much an image of each class counts, by block of the test set."""
    weights = {"all": {c: 1.0 for task in spec["tasks"] for c in task["classes"]}}
    for k, of_task in enumerate(spec["tasks"], start=1):
        weights[f"task{k}"] = dict(zip(of_task["classes"], of_task["weights"], strict=True))
    return weights


def test_rows(spec: "specs.Run", segments: list[list[Row]]) -> Iterator[Row]:
    """Accuracy and loss on the test set of every task, seen or not, and of all tasks; forgetting of earlier tasks.

    In a task's test set, classes are as frequent as in its training images.
    """
    epochs: dict[tuple, dict[int, Row]] = {}
    for k, rows in enumerate(segments, start=1):
        for row in rows:
            epochs.setdefault((k, row["step"], row["epoch"]), {})[row["class"]] = row
    if not epochs:  # the run diverged before its first test
        return
    at = [dict(zip(("task", "step", "epoch"), key, strict=True)) for key in epochs]
    task = np.array([a["task"] for a in at])
    ends = np.append(np.diff(task) > 0, True)
    lost = []
    for block, members in task_weights(spec).items():
        images = np.array([[w * epoch[c]["images"] for c, w in members.items()] for epoch in epochs.values()])
        for metric in ("test_accuracy", "test_loss"):
            values = np.array([[epoch[c][metric] for c in members] for epoch in epochs.values()])
            mean = (values * images).sum(1) / images.sum(1)
            yield from (at[t] | {"metric": metric, "block": block, "value": mean[t]} for t in range(len(at)))
            if metric == "test_accuracy" and block != "all":
                lost.append(metrics.forgetting(mean, ends & (task >= int(block.removeprefix("task")))))
                yield from (
                    at[t] | {"metric": "forgetting", "block": block, "value": lost[-1][t]} for t in range(len(at))
                )
    yield from (at[t] | {"metric": "forgetting", "block": "all", "value": mean} for t, mean in _of_earlier(lost, task))


def _of_earlier(lost: list[np.ndarray], task: np.ndarray) -> Iterator[tuple[int, float]]:
    """The mean forgetting of the earlier tasks at each time after the first task.

    `lost`: that of each task (T,); `task` (T,): the task at each time.
    """
    for t in np.flatnonzero(task > 1).tolist():
        yield t, np.nanmean([of_task[t] for of_task in lost[: task[t] - 1]])


def within_rows(spec: "specs.Run", segments: Sequence[list[Row]]) -> Iterator[Row]:
    """Accuracy within each task so far, on its test set as in `test_rows`, and its forgetting, at each checkpoint."""
    checkpoints: dict[tuple, dict[tuple[int, int], Row]] = {}
    for k, rows in enumerate(segments, start=1):
        for row in rows:
            checkpoints.setdefault((k, row["step"], row["epoch"]), {})[row["task"], row["class"]] = row
    at = [dict(zip(("task", "step", "epoch"), key, strict=True)) for key in checkpoints]
    task = np.array([a["task"] for a in at], dtype=int)
    ends = np.append(np.diff(task) > 0, True)
    lost = []
    for k, of_task in enumerate(spec["tasks"] if at else [], start=1):
        mean = np.full(len(at), np.nan)  # a task has no rows before its segment
        for t, found in enumerate(checkpoints.values()):
            if task[t] >= k:
                rows = [found[k, c] for c in of_task["classes"]]
                images = np.array([w * row["images"] for w, row in zip(of_task["weights"], rows, strict=True)])
                mean[t] = np.array([row["accuracy_within_task"] for row in rows]) @ images / images.sum()
        lost.append(metrics.forgetting(mean, ends & (task >= k)))
        for metric, values in (("accuracy_within_task", mean), ("forgetting_within_task", lost[-1])):
            about = {"metric": metric, "block": f"task{k}"}
            yield from (at[t] | about | {"value": values[t]} for t in range(len(at)))
    for t, value in _of_earlier(lost, task):
        yield at[t] | {"metric": "forgetting_within_task", "block": "all", "value": value}

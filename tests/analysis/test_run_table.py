"""The metric table of a run, row by row against the functions of `metrics`."""

import numpy as np
import pandas as pd
import pytest

from reactivation.analysis import metrics
from reactivation.analysis.run_table import run_table, within_rows
from reactivation.catalogue import LAYER_METRICS, is_of
from reactivation.catalogue import METRICS as CATALOGUE
from reactivation.storage.headers import METRICS, RUN
from reactivation.study.checks import blocks
from reactivation.study.outline import Outline

SPEC = {
    "experiment": "widths",
    "axes": {"width": 4},
    "seed": 1,
    "tasks": [{"classes": c, "weights": [1.0, 1.0]} for c in ([0, 1], [2, 3])],
    "epochs": [2, 2],
    "similarity": [None, 0.25],
    "kernels": ["sum"],
    "velocity_dt": [1],
    "overlap_rank": 2,
    "eigenvectors": 2,
}
OUTLINE = Outline(kernels=["sum"], epochs=[2, 2], parts=[1, 2], held_out=False, tested=True)
LABELS = np.array([0, 0, 1, 1, 2, 2, 3, 3])
SHARES = {"first": 0.75, "head": 0.25}  # each layer's share of the kernel
EPOCHS = [np.array([0.0, 0.5, 1, 2]), np.array([2.5, 3, 4])]


def in_segments(stack):
    """Kernels at EPOCHS, ten steps each, as `storage` reads them."""
    return [
        {
            "kernels": {"sum": part},
            "layers": {layer: {"sum": share * part} for layer, share in SHARES.items()},
            "step": (10 * epoch).astype(int),
            "epoch": epoch,
            "probe": {"label": LABELS},
        }
        for part, epoch in zip((stack[:4], stack[4:]), EPOCHS, strict=True)
    ]


@pytest.fixture(scope="module")
def run():
    rng = np.random.default_rng(0)
    jacobian = rng.normal(size=(8, 50))
    stack = np.stack([(lambda J: J @ J.T)(jacobian + 0.3 * t * rng.normal(size=(8, 50))) for t in range(7)])
    accuracies = {0.0: [0.1] * 4, 1.0: [0.9, 0.7, 0, 0], 2.0: [1, 0.8, 0, 0], 3.0: [0.2, 0, 0.6, 1], 4.0: [0, 0, 1, 1]}
    images = [10, 30, 10, 10]
    evaluations = [
        [
            {
                "step": int(10 * epoch),
                "epoch": epoch,
                "class": c,
                "images": images[c],
                "test_accuracy": a,
                "test_loss": 1 - a,
            }
            for epoch, values in accuracies.items()
            if start < epoch <= end
            for c, a in enumerate(values)
        ]
        for start, end in ((-1, 2), (2, 4))
    ]
    return stack, pd.DataFrame(run_table(SPEC, in_segments(stack), evaluations))


def rows(table, layer="", **where):
    for key, value in where.items():
        table = table[table[key] == value]
    return table[table["layer"] == layer]


def test_columns_and_identity(run):
    _, table = run
    assert list(table.columns) == [*RUN, "width", *METRICS[len(RUN) :]]
    assert (table["width"] == 4).all() and (table["seed"] == 1).all() and table["value"].notna().all()
    assert rows(table, metric="trace", block="all")["task"].tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert not table.duplicated([c for c in table.columns if c != "value"]).any()


@pytest.mark.parametrize("name", metrics.PER_KERNEL)
def test_one_number_per_kernel_and_block(run, name):
    stack, table = run
    for block, part in (("all", slice(None)), ("task1", slice(0, 4)), ("task2", slice(4, 8))):
        expected = [getattr(metrics, name)(K[part, part]) for K in stack]
        np.testing.assert_allclose(rows(table, metric=name, block=block)["value"], expected)


def test_alignment_is_with_one_hot_labels(run):
    stack, table = run
    Y = np.eye(4)[LABELS]
    expected = [metrics.kernel_alignment(K, Y) for K in stack]
    np.testing.assert_allclose(rows(table, metric="alignment", block="all")["value"], expected)


def test_alignment_may_be_with_labels_as_numbers(run):
    stack, whole = run
    table = pd.DataFrame(run_table(SPEC | {"alignment_labels": "integer"}, in_segments(stack), [[], []]))
    y = LABELS[:, None]
    for metric, of in (
        ("alignment", metrics.kernel_alignment),
        ("alignment_unbiased", metrics.kernel_alignment_unbiased),
    ):
        values = rows(table, metric=metric, block="all")["value"]
        np.testing.assert_allclose(values, [of(K, y) for K in stack])
        np.testing.assert_allclose(rows(table, "head", metric=metric)["value"], values)
    identity = rows(table, metric="alignment_identity", block="all")["value"]
    np.testing.assert_allclose(identity, metrics.kernel_alignment(np.eye(8), y))
    changed = ["alignment", "alignment_unbiased", *CHANCE]
    others = [of[~of["metric"].isin(changed) & (of["kernel"] != "")].reset_index(drop=True) for of in (table, whole)]
    pd.testing.assert_frame_equal(*others)


CHANCE = ["alignment_identity", "alignment_permuted_low", "alignment_permuted_high"]


def test_what_alignment_is_by_chance(run):
    """The identity's is a formula; 95 % of other permutations of the labels are between low and high."""
    stack, table = run
    for block, part, classes in (("all", slice(0, 8), 4), ("task2", slice(4, 8), 2)):
        n = part.stop - part.start
        identity, low, high = (rows(table, metric=metric, block=block) for metric in CHANCE)
        np.testing.assert_allclose(identity["value"], np.sqrt((classes - 1) / (n - 1)))
        Y, rng = np.eye(4)[LABELS[part]], np.random.default_rng(1)
        for K, least, most in zip(stack[:, part, part], low["value"], high["value"], strict=True):
            values = [metrics.kernel_alignment(K, rng.permutation(Y)) for _ in range(400)]
            assert np.mean(np.less(values, least - 1e-12)) < 0.06 > np.mean(np.greater(values, most + 1e-12))
            assert least - 1e-12 <= np.median(values) <= most + 1e-12
        assert identity["step"].tolist() == low["step"].tolist() == [0, 5, 10, 20, 25, 30, 40]
    again = pd.DataFrame(run_table(SPEC | {"kernels": ["sum", "sum"]}, in_segments(stack), [[], []]))
    values = again.loc[again["metric"].isin(CHANCE), "value"].tolist()
    once = table.loc[table["metric"].isin(CHANCE), "value"].tolist()
    assert values == 2 * once  # all kernels have the same permutations


def test_distances_and_velocities_by_unbiased_cka(run):
    stack, table = run
    S = metrics.kernel_distance_unbiased
    for block, part in (("all", slice(0, 8)), ("task1", slice(0, 4))):
        kernels = stack[:, part, part]
        distances = rows(table, metric="kernel_distance_unbiased", block=block)
        starts = [kernels[0]] * 4 + [kernels[3]] * 3
        expected = {"init": [S(K, kernels[0]) for K in kernels], "task_start": list(map(S, kernels, starts))}
        expected |= {"previous": list(map(S, kernels[1:], kernels[:-1]))}
        for reference, values in expected.items():
            np.testing.assert_allclose(rows(distances, reference=reference)["value"], values, atol=1e-30)
        velocity = rows(table, metric="kernel_velocity_unbiased", block=block)
        assert velocity["epoch"].tolist() == [0, 1, 2, 3]
        assert velocity["value"].tolist()[2] == pytest.approx(S(kernels[3], kernels[5]))


def test_distances_from_each_reference(run):
    stack, table = run
    S = metrics.kernel_distance
    distances = rows(table, metric="kernel_distance", block="all")
    np.testing.assert_allclose(rows(distances, reference="init")["value"], [S(K, stack[0]) for K in stack])
    # The second task starts at the last kernel of the first.
    starts = [stack[0]] * 4 + [stack[3]] * 3
    expected = [S(K, L) for K, L in zip(stack, starts, strict=True)]
    np.testing.assert_allclose(rows(distances, reference="task_start")["value"], expected)
    expected = [S(K, L) for K, L in zip(stack[1:], stack[:-1], strict=True)]
    np.testing.assert_allclose(rows(distances, reference="previous")["value"], expected)


def test_velocity_crosses_the_switch(run):
    stack, table = run
    velocity = rows(table, metric="kernel_velocity", block="all")
    assert velocity["epoch"].tolist() == [0, 1, 2, 3]
    assert velocity["task"].tolist() == [1, 1, 1, 2]
    assert velocity["value"].tolist()[2] == pytest.approx(metrics.kernel_distance(stack[3], stack[5]))


def test_eigenvalues_and_overlap(run):
    stack, table = run
    leading = rows(table, metric="eigenvalues", block="all", index=0)["value"]
    np.testing.assert_allclose(leading, rows(table, metric="spectral_norm", block="all")["value"])
    assert rows(table, metric="eigenvalues", block="task1")["index"].max() == 3
    overlap = rows(table, metric="cross_task_overlap", block="task1-task2")["value"]
    expected = [metrics.cross_task_overlap(K, np.arange(4), np.arange(4, 8), 2) for K in stack]
    np.testing.assert_allclose(overlap, expected)


def test_blocks_between_tasks(run):
    stack, table = run
    between = stack[:, :4, 4:]
    pair = {"block": "task1-task2"}
    np.testing.assert_allclose(
        rows(table, metric="block_norm", **pair)["value"], [metrics.block_norm(K) for K in between]
    )
    expected = [metrics.kernel_distance(K, between[0]) for K in between]
    np.testing.assert_allclose(rows(table, metric="kernel_distance", reference="init", **pair)["value"], expected)
    np.testing.assert_allclose(
        rows(table, metric="kernel_velocity", **pair)["value"].tolist()[2],
        metrics.kernel_distance(between[3], between[5]),
    )
    found = {(row.metric, row.block) for row in rows(table, kernel="sum").itertuples()}
    for block in (
        "all",
        "task1",
        "task2",
        "task1-task2",
    ):  # pairs have what configs may ask for, and nothing else
        of_kernels = [metric for metric in CATALOGUE if is_of(metric, "kernel") and metric != "convergence"]
        expected = {metric for metric in of_kernels if block in blocks(metric, OUTLINE)}
        assert {metric for metric, of in found if of == block} == expected


def test_leading_eigenvectors_turn_and_align(run):
    stack, table = run
    leading = [metrics.leading_eigenvectors(K, 2) for K in stack]
    turned = rows(table, metric="eigenvector_rotation", block="all")
    expected = [metrics.eigenvector_rotation(U, leading[0]) for U in leading]
    np.testing.assert_allclose(rows(turned, reference="init")["value"], expected, atol=1e-25)
    expected = [metrics.eigenvector_rotation(U, leading[0 if t < 4 else 3]) for t, U in enumerate(leading)]
    np.testing.assert_allclose(rows(turned, reference="task_start")["value"], expected, atol=1e-25)
    Y = np.eye(4)[LABELS]
    for block, classes in (("all", slice(None)), ("task1", slice(0, 2)), ("task2", slice(2, 4))):
        expected = [metrics.eigenvector_alignment(U, Y[:, classes]) for U in leading]
        np.testing.assert_allclose(rows(table, metric="eigenvector_alignment", block=block)["value"], expected)


def test_layers_have_their_metrics_on_the_whole_probe_in_the_networks_order(run):
    _, table = run
    of_layers = table[table["layer"] != ""]
    assert set(of_layers["block"]) == {"all"} and set(of_layers["metric"]) == set(LAYER_METRICS)
    assert of_layers["layer"].unique().tolist() == list(SHARES)
    norms = [rows(table, layer, metric="trace", block="all")["value"].to_numpy() for layer in SHARES]
    np.testing.assert_allclose(sum(norms), rows(table, metric="trace", block="all")["value"])
    # A share that is a multiple of the kernel turns as it does.
    for metric in ("kernel_distance", "kernel_velocity", "alignment", "kernel_distance_unbiased", "alignment_unbiased"):
        whole = rows(table, metric=metric, block="all")["value"]
        np.testing.assert_allclose(rows(table, "head", metric=metric)["value"], whole, atol=1e-15)


def test_accuracy_of_a_task_is_over_its_images(run):
    _, table = run
    accuracy = rows(table, metric="test_accuracy", block="task1")
    assert accuracy["epoch"].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(accuracy["value"], [0.1, 0.75, 0.85, 0.05, 0])
    np.testing.assert_allclose(rows(table, metric="test_accuracy", block="task2")["value"], [0.1, 0, 0, 0.8, 1])
    np.testing.assert_allclose(
        rows(table, metric="test_accuracy", block="all")["value"], [0.1, 0.5, 34 / 60, 18 / 60, 20 / 60]
    )


def test_forgetting_of_the_earlier_task(run):
    _, table = run
    for block in ("task1", "all"):
        lost = rows(table, metric="forgetting", block=block)
        assert lost["epoch"].tolist() == [3, 4]
        np.testing.assert_allclose(lost["value"], [0.8, 0.85])
    assert rows(table, metric="forgetting", block="task2").empty


def within(step, *accuracies):
    """A checkpoint's rows of within.csv: for each task so far, the accuracies of its classes."""
    return [
        {"step": step, "epoch": step / 10, "task": k, "class": c, "images": 10 * (c + 1), "accuracy_within_task": a}
        for k, of_task in enumerate(accuracies, start=1)
        for c, a in zip(SPEC["tasks"][k - 1]["classes"], of_task, strict=True)
    ]


WITHIN = [
    [*within(0, (0.5, 0.5)), *within(10, (1, 1)), *within(20, (0.5, 0.8))],
    [*within(25, (0.5, 0.5), (0.2, 0.9)), *within(40, (0.5, 0.65), (1, 0.6))],
]


def test_accuracy_within_tasks_so_far_and_its_forgetting(run):
    """Class c has 10 (c + 1) test images; of the classes of the second task, half as many of the first count."""
    stack, whole = run
    tasks = [SPEC["tasks"][0], {"classes": [2, 3], "weights": [0.5, 1.0]}]
    table = pd.DataFrame(run_table(SPEC | {"tasks": tasks}, in_segments(stack), [[], []], None, WITHIN))
    first, second = (rows(table, metric="accuracy_within_task", block=f"task{k}") for k in (1, 2))
    assert first["step"].tolist() == [0, 10, 20, 25, 40] and first["task"].tolist() == [1, 1, 1, 2, 2]
    np.testing.assert_allclose(first["value"], [0.5, 1, (0.5 + 2 * 0.8) / 3, 0.5, (0.5 + 2 * 0.65) / 3])
    assert second["step"].tolist() == [25, 40]
    np.testing.assert_allclose(second["value"], [(15 * 0.2 + 40 * 0.9) / 55, (15 * 1 + 40 * 0.6) / 55])
    for block in ("task1", "all"):
        lost = rows(table, metric="forgetting_within_task", block=block)
        assert lost["step"].tolist() == [25, 40]
        np.testing.assert_allclose(lost["value"], [0.2, 0.1])  # since the end of the task, not since its best
    of_kernels = [part[part["kernel"] != ""].drop(columns="value") for part in (table, whole)]
    pd.testing.assert_frame_equal(*of_kernels)
    assert set(rows(table, metric="forgetting_within_task")["block"]) == {"task1", "all"}


def test_forgetting_within_tasks_is_the_mean_over_earlier_ones():
    tasks = [{"classes": [k], "weights": [1.0]} for k in range(3)]
    spec = {"tasks": tasks, "epochs": [1] * 3}
    at = lambda step, *accuracies: [  # noqa: E731
        {"step": step, "epoch": float(step), "task": k, "class": k - 1, "images": 5, "accuracy_within_task": a}
        for k, a in enumerate(accuracies, start=1)
    ]
    found = within_rows(spec, [at(1, 0.9), at(2, 0.8, 0.7), at(3, 0.5, 0.6, 1.0)])
    mean = [(row["step"], row["value"]) for row in found if (row["metric"][:6], row["block"]) == ("forget", "all")]
    assert mean == [(2, pytest.approx(0.1)), (3, pytest.approx((0.4 + 0.1) / 2))]


@pytest.mark.parametrize("step, left", [(40, [0, 10, 20, 25]), (25, [0, 10, 20]), (20, [0, 10]), (0, [])])
def test_accuracy_within_tasks_of_a_run_that_diverged_ends_there(run, step, left):
    """The segments after it, or all of its own checkpoints, may have no rows."""
    cut = {"step": step, "epoch": step / 10, "task": 1 + (step > 20)}
    segments = [WITHIN[0], WITHIN[1] if step > 20 else []]
    table = pd.DataFrame(run_table(SPEC, in_segments(run[0]), [[], []], cut, segments))
    assert rows(table, metric="accuracy_within_task", block="task1")["step"].tolist() == left


def test_when_a_row_is(run):
    _, table = run
    norm = rows(table, metric="spectral_norm", block="all")
    assert norm["progress"].tolist() == [0, 0.25, 0.5, 1, 1.25, 1.5, 2]  # tasks done
    assert (norm.loc[norm["task"] == 1, "similarity"] == "").all()
    assert (norm.loc[norm["task"] == 2, "similarity"] == 0.25).all()


def segment(**keys):
    """A segment of a run, with what the tables read."""
    rng = np.random.default_rng(0)
    J = rng.normal(size=(8, 20))
    base = {"kernels": {"sum": np.stack([J @ J.T] * 2)}, "step": np.array([0, 1]), "epoch": np.array([0.0, 1.0])}
    return base | {"layers": {}, "probe": {"label": LABELS}} | keys


def evaluation(*accuracy):
    return [
        {"step": 1, "epoch": 1.0, "class": c, "images": 10, "test_accuracy": a, "test_loss": 0.0}
        for c, a in enumerate(accuracy)
    ]


def test_a_tasks_test_set_has_its_classes_as_often_as_it_does():
    task = {"classes": [0, 1, 2, 3], "weights": [0.9, 0.9, 0.1, 0.1]}
    spec = SPEC | {"tasks": [task], "epochs": [2], "similarity": [None]}
    table = pd.DataFrame(run_table(spec, [segment()], [evaluation(1, 1, 0, 0)]))
    (of_task,) = rows(table, metric="test_accuracy", block="task1")["value"]
    (of_all,) = rows(table, metric="test_accuracy", block="all")["value"]
    assert (of_task, of_all) == (pytest.approx(0.9), 0.5)


def test_held_out_images_are_parts_of_the_probe_of_their_own():
    held_out = np.array([False, True] * 4)
    probe = {"label": LABELS, "held_out": held_out}
    table = pd.DataFrame(
        run_table(
            SPEC,
            [segment(probe=probe), segment(epoch=np.array([2.0, 3.0]), step=np.array([2, 3]))],
            [evaluation(1, 1, 0, 0)] * 2,
        )
    )
    K = segment()["kernels"]["sum"][0]
    blocks = {"held_out": held_out, "train": ~held_out, "task2": LABELS > 1, "all": LABELS >= 0}
    blocks |= {"task1_train": ~held_out & (LABELS < 2), "task2_held_out": held_out & (LABELS > 1)}
    for block, members in blocks.items():
        value = rows(table, metric="spectral_norm", block=block)["value"].iloc[0]
        assert value == pytest.approx(metrics.spectral_norm(K[np.ix_(members, members)])), block
    assert set(rows(table, metric="cross_task_overlap")["block"]) == {"task1-task2"}


@pytest.mark.parametrize("step, task", [(30, 2), (25, 2), (20, 1), (5, 1)])
def test_a_run_that_diverged_has_all_from_before_and_says_when(run, step, task):
    """It has the rows of a whole run before that step, except velocities that need a later kernel."""
    stack, whole = run
    cut = {"step": step, "epoch": step / 10, "task": task}
    kinds = ["class", "images", "test_accuracy", "test_loss"]
    of_class = lambda at: [dict(zip(kinds, (c, 10, 0.5, 1.0), strict=True)) | at for c in range(4)]  # noqa: E731
    evaluations = [
        [row for e in epochs for row in of_class({"step": int(10 * e), "epoch": e})]
        for epochs in ((0.0, 1.0, 2.0), (3.0, 4.0))
    ]
    table = pd.DataFrame(run_table(SPEC, in_segments(stack), evaluations, cut))
    (mark,) = rows(table, metric="diverged").to_dict("records")
    assert (mark["value"], mark["task"], mark["step"], mark["block"]) == (step, task, step, "all")
    assert mark["progress"] == pytest.approx(step / 20)
    table = table[table["metric"] != "diverged"]
    assert (table["step"] < step).all() and set(table["step"]) == {s for s in set(whole["step"]) if s < step}
    keys = [column for column in METRICS if column not in ("experiment", "seed")]
    of_kernels = table[table["kernel"] != ""][keys]
    later = (whole["dt"] != "") & (whole["epoch"] + whole["dt"].replace("", 0) >= step / 10)
    expected = whole[(whole["kernel"] != "") & (whole["step"] < step) & ~later][keys]
    pd.testing.assert_frame_equal(of_kernels.reset_index(drop=True), expected.reset_index(drop=True), check_dtype=False)


def test_a_run_without_any_finite_kernel(run):
    none = segment(epoch=np.empty(0), step=np.empty(0, dtype=int))
    none["kernels"]["sum"] = none["kernels"]["sum"][:0]
    table = run_table(SPEC, [none, none], [evaluation(1, 1, 0, 0), []], {"step": 2, "epoch": 1.0, "task": 1})
    assert {row["metric"] for row in table} == {"test_accuracy", "test_loss", "diverged"}

"""Tables of others' numbers."""

import pytest

from reactivation.errors import InputError
from reactivation.storage.others import others_rows

SPEC = {"value": "norm", "time": "epoch", "tasks": {"all": None}, "where": {}}
TABLE = "net,width,task,epoch,norm,lr\nmlp,16,1,1,40,1e-3\nmlp,16,2,2,41.5,0.001\nmlp,32,2,1,50,0.1/width\n"


def rows(tmp_path, text=TABLE, color="width", colors=(16, 32.0), **spec):
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    return others_rows(tmp_path / "table.csv", SPEC | spec, color, colors)


def test_rows_go_with_the_curves_of_their_values(tmp_path):
    found = rows(tmp_path)
    assert [(row["width"], row["epoch"], row["value"]) for row in found] == [(16, 1, 40), (16, 2, 41.5), (32, 1, 50)]
    assert {row["block"] for row in found} == {"all"}
    assert rows(tmp_path, colors=[64]) == []
    assert [row["lr"] for row in rows(tmp_path, color="lr", colors=[0.001, "0.1 / width"])] == [0.001] * 2 + [
        "0.1 / width"
    ]
    assert len(rows(tmp_path, TABLE.replace("net", "lr"))) == 3  # what no panel needs may stand there twice
    assert len(rows(tmp_path, text="\ufeff" + TABLE.replace("\n", "\r\n").rstrip())) == 3  # as spreadsheets write it


def test_rows_are_chosen_by_task_and_by_the_values_of_other_axes(tmp_path):
    tasks = {"task1_train": 1, "task2_train": 2}
    assert [row["block"] for row in rows(tmp_path, tasks=tasks)] == ["task1_train", "task2_train", "task2_train"]
    assert [row["epoch"] for row in rows(tmp_path, tasks={"task1": 1})] == [1]
    without = TABLE.replace("task", "stage")
    assert len(rows(tmp_path, without, tasks={"task1": 1})) == 3  # a panel of one task, a table of that task alone
    assert len(rows(tmp_path, where={"lr": 0.001, "depth": 3})) == 2  # the table has no depth
    assert [row["step"] for row in rows(tmp_path, TABLE.replace("epoch", "step"), time="step")] == [1, 2, 1]


@pytest.mark.parametrize(
    "old, new, spec, words",
    [
        ("norm", "norms", {}, "it has no column norm; it has net, width, task, epoch, norms, lr"),
        (
            "width,task,epoch",
            "w,stage,t",
            {"tasks": {"task1": 1, "task2": 2}},
            "it has no column width, task, epoch; ",
        ),
        ("epoch", "epoch", {"time": "step"}, "it has no column step; it"),
        ("41.5", "n/a", {}, "line 3 has 'n/a' as norm, which is not a number"),
        ("41.5", "inf", {}, "line 3 has 'inf' as norm, which is not a number"),
        ("16,2,2", "16,2,two", {}, "line 3 has 'two' as epoch, which is not a number"),
        ("16,2,2", "16,2,-2", {}, "line 3 has epoch -2, before the start"),
        ("lr\n", "norm\n", {}, "it has two columns norm"),
        ("net", "lr", {"where": {"lr": 0.1}}, "it has two columns lr"),
        ("41.5", "1" * 200_000, {}, "line 3: field larger than field limit"),
        ("41.5,", "", {}, "line 3 does not have 6 values"),
        (
            "16,2,2",
            "16,2,1",
            {},
            "two of its rows have width 16, block all, epoch 1.0; the panel cannot tell them",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said_in_one_line(tmp_path, old, new, spec, words):
    with pytest.raises(InputError) as caught:
        rows(tmp_path, TABLE.replace(old, new), **spec)
    line = str(caught.value)
    assert line.startswith(f"{tmp_path}/table.csv is not the table that the panel needs ({words}"), line
    assert line.endswith(": correct the table, or the panel's keys") and "\n" not in line

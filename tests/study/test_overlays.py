"""Others' numbers over curves: what a config may get wrong, and what is planned of it."""

import pytest

from edits import EXPERIMENT, FIGURE, errors
from helpers import changed
from reactivation.errors import InputError
from reactivation.planning.plan import make_plan
from reactivation.storage.others import KIND, check_there
from reactivation.study.filled import filled, published
from reactivation.study.load import load_study

TABLE = "width,task,epoch,norm\n2,1,1,40\n2,2,3,41\n4,1,1,50\n"
OTHERS = {"path": "numbers.csv", "value": "norm"}


def config(tmp_path, table=TABLE, others=None, **panel):
    if table:
        (tmp_path / "numbers.csv").write_text(table)
    panel = {"metric": "spectral_norm", "others": OTHERS | (others or {})} | panel
    return changed(("data_root", str(tmp_path)), (f"{FIGURE}.panels", [panel]), (f"{EXPERIMENT}.layers", True))


@pytest.mark.parametrize(
    "keys, message",
    [
        (
            {"others": {"value": "size"}},
            ".path: {0} is {1} (it has no column size; it has",
        ),
        (
            {"table": TABLE.replace("41", "high")},
            ".path: {0} is {1} (line 3 has 'high' as",
        ),
        (
            {"table": TABLE.replace("width", "w")},
            ".path: {0} is {1} (it has no column width",
        ),
        ({"table": "width,epoch,norm\n8,1,1\n"}, ".path: {0} has no row of width 2 or 4"),
        (
            {"table": TABLE.replace(",2,3", ",3,3").replace(",1,1", ",3,1"), "block": ["task1", "task2"]},
            ".path: {0} has no row of width 2 or 4, task 1 or 2",
        ),
        (
            {"time": "iterations"},
            ".path: {0} is {1} (it has no column step; it has width,",
        ),
        ({"time": "tasks"}, ": needs time: epoch or iterations, which tables have (it is tasks)"),
        ({"time": "since_switch"}, ": needs time: epoch or iterations, which tables have (it is since_switch)"),
        (
            {"color": "layer", "where": {"width": 2}},
            ": cannot go with color: layer: no table has the layers",
        ),
        ({"block": ["all", "task1"]}, ": needs blocks of one task each, which tell rows apart (they are all, task1)"),
        ({"others": {"path": "."}}, ".path: {2} is a folder: name a CSV file"),
        ({"others": {"path": ""}}, ".path: {2} is a folder: name a CSV file"),
        ({"others": {"path": ["a"]}}, ".path: Input should be a valid string (it is ['a'])"),
        ({"others": {"pth": "a"}}, ".pth: unknown key; did you mean path?"),
        ({"kind": "spectrum", "metric": ...}, ": does not belong here; it is a key of another kind"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_anything_runs(tmp_path, keys, message):
    wrong = config(tmp_path, **keys)
    for panel in wrong["figures"]["fig4"]["panels"]:
        if panel["metric"] is ...:
            del panel["metric"]
            panel["where"] = {"width": 2}
    (line,) = errors(wrong)
    assert line.startswith(f"{FIGURE}.panels.0.others{message.format(tmp_path / 'numbers.csv', KIND, tmp_path)}"), line


def test_the_plan_has_the_table_as_an_input_and_its_digest_in_the_spec(tmp_path):
    plan = make_plan(load_study(config(tmp_path, block=["task1", "task2"])))
    figure = plan.figures["fig4"]
    assert figure.others == (str(tmp_path / "numbers.csv"),)
    theirs = figure.spec["panels"][0]["others"]
    assert str(tmp_path) not in str(figure.spec) and len(theirs.pop("sha256")) == 64
    keys = {"table": 0, "value": "norm", "label": "published", "time": "epoch", "where": {}}
    assert theirs == keys | {"tasks": {"task1": 1, "task2": 2}}
    before = figure.spec
    config(tmp_path, TABLE.replace("41", "42"))
    assert make_plan(load_study(config(tmp_path, block=["task1", "task2"]))).figures["fig4"].spec != before


def test_only_the_figure_needs_a_table_that_is_not_there(tmp_path):
    """All else of the study can be made, and `prune` reads it."""
    path = tmp_path / "numbers.csv"
    assert make_plan(load_study(config(tmp_path, table=""))).figures["fig4"].others == (str(path),)
    with pytest.raises(InputError, match=r"there is no .*numbers.csv, whose numbers the figure draws: put the tab"):
        check_there(path)
    with pytest.raises(InputError, match=r" is a folder: name a CSV file$"):
        check_there(tmp_path)


def test_an_absolute_path_is_published_as_a_name(tmp_path):
    study = load_study(config(tmp_path, others={"path": str(tmp_path / "numbers.csv")}))
    written = published(study)
    assert str(tmp_path) not in str(written) and str(tmp_path) in str(filled(study))
    assert make_plan(load_study(written | {"data_root": str(tmp_path)})) == make_plan(study)


def test_panels_without_new_keys_have_the_specs_that_they_had():
    (panel, *_) = make_plan(load_study(changed())).figures["fig4"].spec["panels"]
    assert not {"unit", "others"} & panel.keys() and "task" not in panel

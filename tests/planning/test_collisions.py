"""Two things under one name: refused when the study is planned, before anything is trained."""

import copy

import pytest

from convergence import PANEL, study
from edits import EXPERIMENT, errors
from elsewhere import mine, write
from helpers import changed
from reactivation.errors import InputError
from reactivation.planning import names
from reactivation.planning.collisions import add
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study


def refused(config):
    """The line on why a study is not planned."""
    with pytest.raises(InputError) as caught:
        make_plan(load_study(config))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_two_values_that_are_written_alike_are_not_one_run():
    """One of the two was left out of all tables, though both were trained."""
    rates = (f"{EXPERIMENT}.grid.lr", [0.05, 0.0500000000000001])
    assert refused(changed(rates, (f"{EXPERIMENT}.training.lr", ...), ("figures", {}))) == (
        "experiments.widths: two runs would have the name widths-width2-lr0.05-s0: lr is 0.05 in one and "
        "0.0500000000000001 in the other. Change one of the values (in names, numbers have 12 digits), or write "
        "another experiment for it"
    )


@pytest.mark.parametrize(
    "grid, name",
    [
        ({"a": ["1-b2", "1"], "b": ["3", "2-b3"]}, "mine-a1-b2-b3-s0"),  # a dash in a value, and one between axes
        ({"a": [1.0000000000001, 1.00000000000012], "b": [0]}, "mine-a1-b0-s0"),
    ],
)
def test_words_and_numbers_of_kernels_from_elsewhere(tmp_path, grid, name):
    for a in grid["a"]:
        for b in grid["b"]:
            write(tmp_path / f"{a}+{b}.h5")
    config = mine(tmp_path, kernels={"path": "{a}+{b}.h5"}, grid=grid, seeds=[0])
    assert f"two runs would have the name {name}: a is {grid['a'][0]!r} in one and" in refused(config)


def twice(path, value, *edits):
    """The tiny study, edited, and in it a second experiment that differs in one key."""
    config = changed(("figures", {}), *edits)
    second = changed((path, value), of=copy.deepcopy(config["experiments"]["widths"]) | {"probe": {"size": 6}})
    return changed(("experiments.second", second), of=config)


TWINS = (f"{EXPERIMENT}.training.dynamics", "linearized")
EQUAL_HASHES = {
    "split": (twice("scenario.replay", 3), "tasks is [{"),
    "probe": (twice("probe.seed", 1), "seed is 0 in one and 1 in the other"),
    "segment": (twice("training.momentum", 0.5), "training.momentum is 0.0 in one and 0.5 in the other"),
    "file of kernel": (twice("kernels", ["sum"]), "kinds is ['sum', 'trace'] in one and ['sum'] in the other"),
    "table of function": (twice("probe.size", 4, TWINS), "probe is 'glyphs-6images-0123456789' in one and 'glyphs-4i"),
    "convergence": (study(PANEL, PANEL | {"kernel": "trace"}), "kernels is ['sum'] in one and ['trace'] in the other"),
}


@pytest.mark.parametrize("what", EQUAL_HASHES)
def test_hashes_that_are_equal_by_chance(what, monkeypatch):
    """They have 40 bits. The chance is small, but results of the wrong thing would be taken without a word."""
    config, words = EQUAL_HASHES[what]
    monkeypatch.setattr(names, "json_digest", lambda spec: "0123456789")
    said = refused(config)
    assert f"two {what}s would have the name " in said and words in said
    assert said.endswith("Their hashes are equal by chance: change any key that one of them depends on, such as a seed")


def test_the_same_thing_may_be_added_again():
    of = {}
    for _ in range(2):
        add(of, "a", {"seed": 0, "root": "x"}, "data set")
    with pytest.raises(InputError, match="two data sets would have the name a: seed is 0 in one and 1 in the other"):
        add(of, "a", {"seed": 1, "root": "x"}, "data set")


@pytest.mark.parametrize(
    "config, said",
    [
        (changed(("experiments.WIDTHS", changed()["experiments"]["widths"])), "the experiments widths and WIDTHS"),
        (changed(("figures.Fig4", changed()["figures"]["fig4"])), "the figures fig4 and Fig4"),
    ],
)
def test_names_that_some_file_systems_take_for_one(config, said):
    """Results are copied from one file system to another, so this is refused on all."""
    assert refused(config) == (
        f"{said} differ only in upper and lower case, which the file systems of macOS and Windows ignore: rename one"
    )


def test_a_study_that_some_file_systems_take_for_the_folder_of_all_studies():
    assert errors(changed(("study", "Data"))) == ["study: Data is a folder that all studies share; choose another name"]

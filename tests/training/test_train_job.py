"""A training's job, killed and gone on with: what its state counts on is checked, and damage is never published."""

import json
import os
import shutil
from pathlib import Path

import pytest

from reactivation.data.indices import split
from reactivation.data.sources import samples
from reactivation.errors import InputError
from reactivation.jobs.state import Saved
from reactivation.storage.arrays import write_arrays
from reactivation.storage.datasets import read_labels, write_dataset
from reactivation.training.train_job import OUTPUTS, train_job
from trainings import SPEC

DATASET = {"source": "glyphs", "image_size": 8, "classes": 4, "train_per_class": 12, "test_per_class": 4, "seed": 0}
ONE = SPEC | {
    "dataset": DATASET,
    "images": {"classes": [0, 1, 2, 3], "limit_per_class": None, "seed": 0},
    "tasks": [SPEC["tasks"][0] | {"replay": 0}],
    "epochs": [3],
}
# What damages a file.
SPOILED = [lambda path: os.truncate(path, 2000), Path.unlink, lambda path: path.write_bytes(b"")]


class Killed(Exception):
    """A stand-in for kill -9."""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a data set and a split; the working directory."""
    monkeypatch.chdir(tmp_path)
    write_dataset("data.h5", samples(DATASET, None, False))
    write_arrays("split.npz", **split(ONE, *read_labels("data.h5")))
    return tmp_path


def train(folder, code=("x.py:1",)):
    """Run the job; its files go to results/segments/s. Returns their bytes, without what says how long it took."""
    outputs = {output: f"results/segments/s/{name}" for output, name in OUTPUTS.items()}
    where = {"device": "cpu", "save_every": 0}
    train_job("s", ONE, list(code), {"dataset": "data.h5", "split": "split.npz"}, outputs, where, 1)
    made = folder / "results/segments/s"
    return {
        str(path.relative_to(made)): path.read_bytes()
        for path in made.rglob("*")
        if path.is_file() and path.name not in ("training.csv", "segment.json")
    }


@pytest.fixture
def killed(place, monkeypatch):
    """The folder after a job that was killed in its second epoch; its state; what an undisturbed job makes."""
    wanted = train(place)
    for name in ("segments", ".state"):
        shutil.rmtree(place / "results" / name)
    left, write = iter(range(6)), Saved.write

    def write_or_die(self, content):
        write(self, content)
        if next(left, None) is None:
            raise Killed

    monkeypatch.setattr(Saved, "write", write_or_die)
    with pytest.raises(Killed):
        train(place)
    monkeypatch.undo()
    monkeypatch.chdir(place)
    (state,) = place.glob("results/.state/s/train-*")
    assert len(list((state / "checkpoints").iterdir())) > 2
    return place, state, wanted


def test_it_goes_on_to_the_same_bits(killed, capsys):
    place, _, wanted = killed
    assert train(place) == wanted
    assert "going on after step" in capsys.readouterr().out


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_damaged_checkpoint_of_its_state_is_seen_before_it_goes_on(killed, capsys, spoil):
    place, state, wanted = killed
    first = sorted((state / "checkpoints").iterdir())[0]
    spoil(first)
    assert train(place) == wanted
    said = capsys.readouterr().out
    assert f"{first.name} " in said and ": training from the beginning\n" in said and "going on" not in said


def test_a_damaged_state_is_named_and_deleting_it_starts_from_the_beginning(killed):
    place, state, wanted = killed
    os.truncate(state / "state.pt", 2000)
    with pytest.raises(InputError, match=r"state\.pt is damaged \(.*\): delete it and run again") as error:
        train(place)
    Path(str(error.value).partition(" is damaged")[0]).unlink()
    assert train(place) == wanted


@pytest.mark.parametrize("name", ["evaluation.csv", "final.pt", "checkpoints/step00000001.pt"])
def test_what_was_made_and_not_recorded_is_made_again_if_it_is_not_whole(place, capsys, name):
    wanted = train(place)
    (state,) = place.glob("results/.state/s/train-*")
    shutil.rmtree(place / "results/segments")
    assert train(place) == wanted
    assert capsys.readouterr().out.endswith("trained before; Snakemake had no record of it\n")
    shutil.rmtree(place / "results/segments")
    (state / name).unlink()
    assert train(place) == wanted
    assert f"trained before, but {name} is missing, so training again\n" in capsys.readouterr().out


def test_final_weights_are_a_file_of_their_own(place):
    """Damage of the last checkpoint is not theirs."""
    wanted = train(place)
    last = sorted((place / "results/segments/s/checkpoints").iterdir())[-1]
    with last.open("r+b") as file:
        file.truncate(10)
    assert (place / "results/segments/s/final.pt").read_bytes() == wanted["final.pt"]


def test_its_record_lists_every_file_with_its_rows(place):
    made = train(place)
    outputs = json.loads((place / "results/segments/s/segment.json").read_text())["outputs"]
    assert outputs.keys() == {*made, "training.csv"}
    assert (
        outputs["training.csv"]["rows"] == 3
        and outputs["evaluation.csv"]["rows"] == made["evaluation.csv"].count(b"\n") - 1
    )
    assert all(outputs[name]["bytes"] == len(content) for name, content in made.items())

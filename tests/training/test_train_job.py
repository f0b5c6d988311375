"""A training's job, killed and gone on with: what its state counts on is checked, and damage is never published."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch

from reactivation.data.indices import split
from reactivation.data.sources import samples
from reactivation.errors import InputError
from reactivation.jobs.state import Saved
from reactivation.storage.arrays import write_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_labels, write_dataset
from reactivation.training.epoch import Epoch
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


def train(folder, spec=ONE, name="s", **parent):
    """Run the job; its files go to results/segments/<name>. Returns their bytes, without what says how long it took."""
    outputs = {output: f"results/segments/{name}/{file}" for output, file in OUTPUTS.items()}
    where = {"device": "cpu", "save_every": 0}
    train_job(name, spec, ["x.py:1"], {"dataset": "data.h5", "split": "split.npz"} | parent, outputs, where, 1)
    made = folder / "results/segments" / name
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


# ------------------------------------------------------------------------------- the optimizer's state over a switch
ADAM = ONE["training"] | {"optimizer": "adam", "lr": 0.01, "optimizer_state": "keep"}


def of_two(**training):
    """The specs of two tasks that have the same images."""
    first = ONE | {"training": ADAM | training}
    return first, first | {"tasks": first["tasks"] * 2, "epochs": [3, 2]}


def chain(folder, first, second):
    """Train two segments, the second from the first; returns the final weights of both."""
    write_arrays("split.npz", **split(second, *read_labels("data.h5")))
    train(folder, first, "one")
    before = folder / "results/segments/one"
    train(folder, second, "two", parent=str(before / "final.pt"), record=str(before / "segment.json"))
    return [read_checkpoint(folder / f"results/segments/{name}/final.pt") for name in ("one", "two")]


@pytest.mark.parametrize("training", [{}, {"optimizer": "sgd", "momentum": 0.9}], ids=["adam", "momentum"])
def test_a_state_that_is_kept_goes_on_as_in_one_training(place, monkeypatch, training):
    """The same batches, one after the other, in two segments and in one."""
    monkeypatch.setattr("reactivation.training.loop.stream", lambda *_: 7)
    shuffle, order = torch.Generator().manual_seed(7), Epoch.order
    epochs = [torch.randperm(24, generator=shuffle) for _ in range(3)]
    given = iter(epochs + epochs[:2] + epochs + epochs[:2])
    monkeypatch.setattr(Epoch, "order", lambda *arguments: (order(*arguments), next(given))[1])
    first, second = of_two(**training)
    *_, kept = chain(place, first, second)
    train(place, first | {"epochs": [5]}, "whole")
    whole = read_checkpoint(place / "results/segments/whole/final.pt")
    assert kept["step"] == whole["step"] == 15
    assert all(torch.equal(kept["model"][name], whole["model"][name]) for name in whole["model"])
    states = [at["optimizer"]["state"] for at in (kept, whole)]
    assert states[0].keys() == states[1].keys()
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert all(torch.equal(one[key], other[key]) for key in other)
    if not training:
        assert {float(state["step"]) for state in states[0].values()} == {15.0}


def test_a_new_optimizer_leaves_none_of_its_state(place):
    keep, new = of_two(), of_two()
    for spec in new:
        spec["training"] = {key: value for key, value in ADAM.items() if key != "optimizer_state"}
    (kept, later), (fresh, other) = chain(place, *keep), chain(place, *new)
    assert "optimizer" in kept and "optimizer" not in fresh
    assert all(torch.equal(kept["model"][name], fresh["model"][name]) for name in fresh["model"])
    assert not all(torch.equal(later["model"][name], other["model"][name]) for name in other["model"])


def test_a_twin_goes_on_with_its_networks_state(place):
    first, second = of_two()
    chain(place, first, second)
    before = place / "results/segments/one"
    twin = second | {"training": second["training"] | {"dynamics": "linearized"}}
    train(place, twin, "twin", parent=str(before / "final.pt"), record=str(before / "segment.json"))
    state = read_checkpoint(place / "results/segments/twin/final.pt")["optimizer"]["state"]
    assert {float(of["step"]) for of in state.values()} == {15.0}


def test_a_run_that_diverged_has_no_state_to_go_on_with(place):
    first, second = of_two(optimizer="sgd", momentum=0.9, lr=1e20)
    one, two = chain(place, first, second)
    assert "optimizer" not in one and "optimizer" not in two
    assert all(torch.equal(one["model"][name], two["model"][name]) for name in one["model"])

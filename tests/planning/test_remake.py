"""The folder in which results are made again: links to what jobs need, and what is compared of what they made."""

import os
import shutil
from pathlib import Path

import pytest

from plans import fill
from reactivation.planning import nested, remake
from reactivation.planning.stale import Job
from reactivation.storage.checkpoints import write_checkpoint
from reactivation.storage.files import write_json

SEGMENT = "results/segments/a-0123456789"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def test_a_folder_goes_in_the_end_and_so_do_those_of_killed_calls():
    with remake.own_folder() as folder:
        fill(folder, ["results/a.csv"])
        left = folder.with_name(folder.name.replace(f"-{os.getpid()}-", "-999999999-"))
        shutil.copytree(folder, left)
        with remake.own_folder() as other:
            assert other == folder and not left.exists()
    assert not remake.PLACE.exists()


@pytest.mark.parametrize("root", ["data", "more/data", "..", "../data"])
def test_the_folder_of_data_is_found_from_there_too(root):
    fill(Path(root), ["mnist.tar"])
    call = nested.Call([], "", [], [], {}, [], 1, root, False, [], [])
    work, call = remake._workplace(Path("results/.verify/x/0"), call)
    found = work / call.config.get("data_root", root) / "mnist.tar"
    assert found.samefile(Path(root, "mnist.tar")) and ("data_root" in call.config) == (".." in root)


def test_inputs_are_links_but_not_what_snakemake_touches():
    names = [
        f"{SEGMENT}/{name}" for name in ("segment.json", "checkpoints/s.pt", f"checkpoints/{remake.STAMP}", "final.pt")
    ]
    fill(Path(), [*names, "results/.made/segments/a-0123456789/segment.json.json", "elsewhere.npz"])
    work = Path("results/.verify/x")
    for path in (f"{SEGMENT}/checkpoints", "elsewhere.npz", "elsewhere.npz"):
        remake._provide(Path(path), work)
    same = {name: Path(name).samefile(work / name) for name in names[:3]}
    assert list(same.values()) == [True, True, False] and not (work / names[3]).exists()
    assert (work / "results/.made/segments/a-0123456789/segment.json.json").exists()
    assert (work / "elsewhere.npz").samefile("elsewhere.npz")


def trained(folder, device, steps, final):
    names = [f"checkpoints/step{step:08d}.pt" for step in steps]
    for name in names:
        write_checkpoint(folder / SEGMENT / name, {}, 1, 1.0)
    record = {"device": device, "final_step": final, "outputs": {name: {} for name in names}}
    write_json(folder / SEGMENT / "segment.json", record)


@pytest.mark.parametrize("device, gpu", [("cpu", False), ("NVIDIA H200", True)])
def test_on_a_gpu_only_the_first_checkpoints_are_compared_and_within_bounds(device, gpu):
    """The branch of a GPU, with made-up numbers, on a CPU."""
    job, work = Job("train", [], [f"{SEGMENT}/segment.json"], [], None, {}, {}), Path("results/.verify/x")
    trained(Path(), device, range(9), 8)
    trained(work, "cpu", range(6), 5)
    assert remake._on_gpu(job, work) == gpu
    names = [Path(path).name for path in remake._comparable(job, work, gpu)]
    assert names[:4] == [f"step{step:08d}.pt" for step in range(4)]
    assert names[4:] == ([] if gpu else [*(f"step{s:08d}.pt" for s in (4, 5)), "evaluation.csv", "training.csv"])
    trained(work, "cpu", range(9), 8)
    assert f"{SEGMENT}/final.pt" in remake._comparable(job, work, False)

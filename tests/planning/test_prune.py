"""What prune lists and deletes, and above all what it does not."""

import os
import shutil

import pytest
import yaml

from convergence import PANEL, study
from helpers import TINY, changed
from plans import HASH, files, fill, named
from reactivation.errors import InputError
from reactivation.planning import prune as module
from reactivation.planning.plan import make_plan
from reactivation.planning.prune import Item, at_work, delete, prune, unnamed
from reactivation.storage.files import atomic
from reactivation.study.load import load_study

STUDY = load_study(TINY)


@pytest.fixture
def results(tmp_path):
    fill(tmp_path / "results", named())
    return tmp_path / "results"


def listed(results, *studies):
    items, left = unnamed(results, studies or [STUDY])
    return {str(item.path.relative_to(results)): item.bytes for item in items}, [
        str(path.relative_to(results)) for path in left
    ]


# ------------------------------------------------------------------------------------------------- what is listed
def test_what_a_study_has_is_not_listed(results):
    assert listed(results) == ({}, [])
    assert listed(results.parent / "nothing") == ({}, [])


def test_each_kind_of_thing_that_no_config_names_is_listed_with_its_size(results):
    segment = next(iter(make_plan(STUDY).segments))
    extra = [
        f"data/glyphs{HASH}.h5",
        f"splits/glyphs-task1{HASH}.npz",
        f"probes/glyphs-6images{HASH}.npz",
        f"segments/{segment}/ntk{HASH}.h5",
        "tiny/runs/widths-width3-s0.csv",
        "tiny/figures/fig5.json",
        f"data/.partial-12-glyphs{HASH}.h5",
    ]
    folders = [f"segments/glyphs-w2{HASH}", f".state/glyphs-w2{HASH}", f"segments/.deleted-{segment}"]
    fill(results, [*extra, *(f"{folder}/checkpoints/step1.pt" for folder in folders)], size=1500)
    assert listed(results) == (dict.fromkeys([*extra, *folders], 1500), [])


def test_what_another_clone_is_writing_is_left(results):
    """Until its process ends; here, that of this test."""
    with atomic(results / f"data/a{HASH}.h5") as temporary:
        temporary.write_bytes(b"half")
        (results / "data" / temporary.name.replace(f"-{os.getpid()}-", "-4194305-")).write_bytes(b"half")
        (gone,) = listed(results)[0]
        assert "-4194305-" in gone
        assert "Deleted: 4 B in 1 item." in prune(TINY, [], ["study.yaml"], True, results) and temporary.exists()


def test_a_study_that_cannot_be_planned_stops_all(results):
    two = changed(("study", "other"), ("experiments.WIDTHS", changed()["experiments"]["widths"]))
    with pytest.raises(InputError, match="what the study other names is not known: the experiments widths and WIDTHS"):
        listed(results, STUDY, load_study(two))


def test_what_this_workflow_did_not_name_is_left(results):
    segment = next(iter(make_plan(STUDY).segments))
    fill(results, [
        "data/mine.h5", f"data/mine{HASH}.csv", "segments/mine/x", f"segments/{segment}/notes.txt",
        f"segments/{segment}/mine{HASH}.h5", f"segments/{segment}/ntk-mine.h5", "tiny/figures/fig5.svg",
        "tiny/runs/notes.txt", "tiny/notes.csv", f"logs/train/x{HASH}.log", "mine.txt", f"splits/x{HASH}.npz/folder",
    ])  # fmt: skip
    assert listed(results) == ({}, [])


def test_a_name_of_two_studies_is_kept_for_both(results):
    one, other = changed(("seeds", [0])), changed(("seeds", [1]), ("study", "other"))
    gone, left = listed(results, load_study(one))
    assert len([name for name in gone if name.startswith("segments")]) == 4 and "tiny/runs/widths-width2-s1.csv" in gone
    gone, left = listed(results, load_study(one), load_study(other))
    assert sorted(gone) == ["tiny/runs/widths-width2-s1.csv", "tiny/runs/widths-width4-s1.csv"] and not left


def test_kernels_are_told_apart_within_a_segment(results):
    gone, _ = listed(results, load_study(changed(("experiments.widths.kernels", ["sum"]))))
    assert len(gone) == 8 and all("/ntk-" in name for name in gone)


def test_a_study_of_no_config_is_left_but_said(results):
    fill(results, ["old/runs/a.csv", "old/figures/fig4.pdf"])
    assert listed(results) == ({}, ["old"])
    said = prune(TINY, [], ["study.yaml"], True, results)
    assert f"Left alone: {results}/old (the folder of a study that no config names" in said
    assert len(files(results / "old")) == 2


def test_hard_links_count_once(results):
    for folder in ("segments", ".state"):
        fill(results, [f"{folder}/a{HASH}/checkpoints/step1.pt"], size=1000)
    first = results / f"segments/a{HASH}"
    os.link(first / "checkpoints/step1.pt", first / "final.pt")
    (results / f".state/a{HASH}/checkpoints/step1.pt").unlink()
    os.link(first / "final.pt", results / f".state/a{HASH}/checkpoints/step1.pt")
    assert listed(results)[0] == {f"segments/a{HASH}": 1000, f".state/a{HASH}": 0}
    assert "1 kB in 2 items" in prune(TINY, [], [], False, results)


# ---------------------------------------------------------------------------------------------- what is deleted
def test_only_what_is_listed_is_deleted(results):
    before = files(results)
    fill(
        results,
        [f"segments/a{HASH}/checkpoints/step1.pt", f"data/a{HASH}.h5", "tiny/runs/x.csv", f".state/a{HASH}/x/y"],
    )
    everything = files(results)
    said = prune(TINY, [], ["study.yaml"], False, results)
    assert files(results) == everything and "Not named: 40 B in 4 items." in said and f"a{HASH}.h5" in said
    assert "Deleted: 40 B in 4 items." in prune(TINY, [], ["study.yaml"], True, results)
    assert files(results) == before and not (results / f"segments/a{HASH}").exists()
    assert "Nothing to prune." in prune(TINY, [], ["study.yaml"], True, results)


def test_a_half_deleted_segment_does_not_look_whole(results, monkeypatch):
    """It loses its name first: if prune is killed at any file, the next call finds and deletes the rest."""
    fill(results, [f"segments/a{HASH}/{name}" for name in ("segment.json", "final.pt", "checkpoints/step1.pt")])
    real = shutil.rmtree

    def killed(path):
        (path / "final.pt").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(module.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        prune(TINY, [], [], True, results)
    assert not (results / f"segments/a{HASH}").exists()
    assert (results / f"segments/.deleted-a{HASH}/segment.json").exists()
    monkeypatch.setattr(module.shutil, "rmtree", real)
    fill(results, [f"segments/a{HASH}/segment.json"])  # trained again in the meantime, and out of use again
    assert "in 2 items" in prune(TINY, [], [], True, results)
    assert files(results) == sorted(named())


def test_links_are_neither_followed_nor_removed(results, tmp_path):
    outside = tmp_path / "outside"
    fill(outside, [f"a{HASH}/segment.json", f"b{HASH}/x", "runs/old.csv", "step1.pt"])
    kept = files(outside)
    (results / f"segments/a{HASH}").symlink_to(outside / f"a{HASH}")
    fill(results, [f"segments/c{HASH}/segment.json"])
    (results / f"segments/c{HASH}/checkpoints").symlink_to(outside)
    (results / f"segments/c{HASH}/final.pt").symlink_to(outside / "step1.pt")
    shutil.rmtree(results / ".state")
    (results / ".state").symlink_to(outside)
    shutil.rmtree(results / "tiny/runs")
    (results / "tiny/runs").symlink_to(outside / "runs")
    gone, left = listed(results)
    assert list(gone) == [f"segments/c{HASH}"] and gone[f"segments/c{HASH}"] < 200
    assert left == [".state", f"segments/a{HASH}"]
    prune(TINY, [], [], True, results)
    assert files(outside) == kept and (results / f"segments/a{HASH}").is_symlink()
    assert not os.path.lexists(results / f"segments/c{HASH}")


def test_results_may_be_a_link_to_another_disk(results, tmp_path):
    fill(results, [f"segments/a{HASH}/segment.json"])
    (tmp_path / "link").symlink_to(results)
    assert list(listed(tmp_path / "link")[0]) == [f"segments/a{HASH}"]


def test_what_cannot_be_deleted_is_one_line(results):
    gone = results / f"data/a{HASH}.h5"
    with pytest.raises(InputError, match=r"a-0123456789\.h5 cannot be deleted: No such file"):
        delete([Item(gone, 0)])


def test_nothing_is_deleted_beside_a_call_that_holds_locks(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(results, [f"data/a{HASH}.h5"])
    assert not at_work()
    fill(tmp_path, [".snakemake/locks/0.output.lock"])
    assert "Not named: 10 B in 1 item." in prune(TINY, [], [], False, results)
    with pytest.raises(InputError, match="another call of Snakemake is at work here"):
        prune(TINY, [], [], True, results)
    assert (results / f"data/a{HASH}.h5").exists()


# --------------------------------------------------------------------------------------------------- the configs
@pytest.mark.parametrize(
    "text, reason",
    [
        ("study: [", "while parsing a flow node"),
        (
            yaml.safe_dump(changed(("sneeds", 1), ("seeds", []))),
            "sneeds: unknown key; did you mean seeds?; seeds: List",
        ),
        ("", "(top level)"),
        (yaml.safe_dump(TINY) + "seeds: [3]\n", "seeds: is given twice"),
    ],
)
def test_a_config_that_does_not_load_stops_all(results, tmp_path, text, reason):
    fill(results, [f"data/a{HASH}.h5"])
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(InputError) as error:
        prune(TINY, [tmp_path / "broken.yaml"], [], True, results)
    said = str(error.value)
    assert said.startswith(f"{tmp_path}/broken.yaml does not load, so what it names is not known: ")
    assert "\n" not in said and all(part in said for part in reason.split("; seeds"))
    assert (results / f"data/a{HASH}.h5").exists()


def test_prune_finds_what_no_panel_asks_for(tmp_path):
    checked = load_study(study(PANEL))
    (name,) = make_plan(checked).convergences
    for file in (f"{name}.csv", f"{name}.json", "widths-0123456789.csv", "widths-0123456789.json", "mine.txt"):
        path = tmp_path / "tiny/convergence" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    items, _ = unnamed(tmp_path, [checked])
    assert [item.path.name for item in items] == ["widths-0123456789.csv", "widths-0123456789.json"]

"""What `snakemake prune` lists and deletes, and above all what it does not."""

import os
import shutil

import pytest
import yaml

from helpers import TINY, changed, copy_repository, finished, planned, snakemake
from reactivation.errors import InputError
from reactivation.planning import prune as module
from reactivation.planning.plan import make_plan
from reactivation.planning.prune import Item, at_work, delete, load_studies, prune, unnamed
from reactivation.study.load import load_study

HASH = "-0123456789"
STUDY = load_study(TINY)
FIGURE = [f"tiny/figures/fig4.{kind}" for kind in ("pdf", "png", "csv", "json")]


def named(config=TINY):
    """Files of all that a study has, as the workflow names them."""
    plan = make_plan(load_study(config))
    files = [f"data/{name}.h5" for name in plan.datasets]
    files += [f"{kind}/{name}.npz" for kind in ("splits", "probes") for name in getattr(plan, kind)]
    files += [f"segments/{name}/{file}" for name in plan.segments for file in ("checkpoints/step1.pt", "segment.json")]
    files += [f"segments/{name}.h5" for name in plan.kernels]
    files += [f".state/{name}/train-0a/state.pt" for name in plan.segments]
    return files + [f"tiny/runs/{name}.csv" for name in plan.runs] + FIGURE


def fill(results, files, size=10):
    for name in files:
        (results / name).parent.mkdir(parents=True, exist_ok=True)
        (results / name).write_bytes(b"x" * size)


@pytest.fixture
def results(tmp_path):
    fill(tmp_path / "results", named())
    return tmp_path / "results"


def listed(results, *studies):
    items, left = unnamed(results, studies or [STUDY])
    return {str(item.path.relative_to(results)): item.bytes for item in items}, [
        str(path.relative_to(results)) for path in left
    ]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


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
    assert f"Left alone: {results}/old (of no config's study" in said and len(files(results / "old")) == 2


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
    """Killed at any file, it has lost its name before; the next call finds and deletes the rest."""
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


def test_every_config_of_the_repository_loads(tmp_path):
    folder = copy_repository(tmp_path) / "config"
    assert len(load_studies(path for path in folder.glob("*.yaml") if path.name != "schema.yaml")) > 3


# ----------------------------------------------------------------------------------------------------- a command
def test_the_command(tmp_path):
    folder = copy_repository(tmp_path)
    fill(folder / "results", [*named(), f"segments/a{HASH}/segment.json"])
    run = snakemake(folder, "prune", config=TINY)
    assert run.returncode == 0, run.stdout
    assert "config/config.yaml" in run.stdout and "config/paper.yaml" in run.stdout and "study.yaml" in run.stdout
    assert "schema.yaml" not in run.stdout and "Not named: 10 B in 1 item." in run.stdout
    without = snakemake(folder, "prune").stdout
    assert f"results/{named()[0]}" in without and "Left alone: results/tiny (of no config's study" in without

    # Only typed, with `prune`, and as what it is.
    for arguments, config, reason in (
        (["prune"], changed(("delete", True)), "delete: unknown key"),
        (["-n", "--config", "delete=true"], TINY, "delete: unknown key"),
        (["prune", "--config", "delete=treu"], TINY, "delete: should be true or false (it is 'treu')"),
    ):
        run = snakemake(folder, *arguments, config=config)
        assert run.returncode and reason in run.stdout and "Traceback" not in run.stdout
    assert "Not named: 10 B in 1 item." in snakemake(folder, "prune", "--config", "delete=false", config=TINY).stdout

    broken = folder / "config/broken.yaml"
    broken.write_text("study: broken\n")
    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode and "Traceback" not in run.stdout
    assert "\nerror: config/broken.yaml does not load, so what it names is not known: seeds: is missing; " in run.stdout
    broken.unlink()
    assert (folder / f"results/segments/a{HASH}/segment.json").exists()

    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode == 0 and "Deleted: 10 B in 1 item." in run.stdout
    assert files(folder / "results") == sorted(named())


def test_both_leave_another_calls_locks_alone(tmp_path):
    """Snakemake removes all locks when it ends."""
    folder = copy_repository(tmp_path)
    fill(folder, [".snakemake/locks/0.output.lock", f"results/data/a{HASH}.h5"])
    assert snakemake(folder, "prune", config=TINY).returncode == 0
    run = snakemake(folder, "prune", "--config", "delete=true", config=TINY)
    assert run.returncode and "error: another call of Snakemake is at work here" in run.stdout
    assert (folder / ".snakemake/locks/0.output.lock").exists() and (folder / f"results/data/a{HASH}.h5").exists()
    run = snakemake(folder, "budget", config=changed(("flops_per_second", 1e9)))
    assert run.returncode == 0 and (folder / ".snakemake/locks/0.output.lock").exists()
    (folder / ".snakemake/locks/0.output.lock").unlink()
    assert planned(folder, config=TINY)["train"] == 8


def test_a_dry_run_of_prune_deletes_nothing(tmp_path):
    folder = copy_repository(tmp_path)
    fill(folder, [f"results/data/a{HASH}.h5"])
    assert snakemake(folder, "prune", "-n", "--config", "delete=true").returncode == 0
    assert (folder / f"results/data/a{HASH}.h5").exists()


def test_after_pruning_only_what_was_pruned_is_made_again(tmp_path):
    wide = changed(("seeds", [0]))
    folder = finished(tmp_path, wide)
    narrow = changed(("seeds", [0]), ("experiments.widths.grid.width", [4]))
    run = snakemake(folder, "prune", "--config", "delete=true", config=narrow)
    assert run.returncode == 0 and "tiny/runs/widths-width2-s0.csv" in run.stdout and "-w4-" not in run.stdout
    assert planned(folder, config=narrow) == {"figure": 1, "all": 1}
    assert planned(folder, config=wide) == {"train": 2, "ntk": 2, "metrics": 1, "figure": 1, "all": 1}

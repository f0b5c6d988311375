"""What no config names is found, all of it and nothing else."""

import os
import shutil

import pytest
import yaml
from helpers import changed, copy_repository, finished, planned, snakemake
from reactivation import prune
from reactivation.config import load_study
from reactivation.errors import InputError
from reactivation.plan import make_plan


def laid_out(root, plan, study):
    """Empty files where a finished study has its own."""
    names = [f"data/{name}.h5" for name in plan.datasets] + [f"segments/{name}.h5" for name in plan.kernels]
    names += [f"{folder}/{name}.npz" for folder in ("splits", "probes") for name in getattr(plan, folder)]
    names += [f"segments/{name}/{file}" for name in plan.segments for file in ("final.pt", "checkpoints/step1.pt")]
    names += [f"{study}/runs/{name}.csv" for name in plan.runs] + [f"{study}/figures/fig4.{s}" for s in ("pdf", "json")]
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"12345")
    return {root / name for name in names}


def test_all_that_is_not_named_and_nothing_else(tmp_path):
    old = make_plan(load_study(changed()))
    new = make_plan(load_study(changed(("seeds", [0]), ("experiments.widths.probe.size", 8), ("figures", {}))))
    laid_out(tmp_path, old, "tiny")
    kept = laid_out(tmp_path, new, "tiny") - {tmp_path / f"tiny/figures/fig4.{s}" for s in ("pdf", "json")}
    state = tmp_path / ".state" / next(iter(set(old.segments) - set(new.segments)))
    state.mkdir(parents=True)
    (tmp_path / "logs").mkdir()
    found = set(prune.unnamed({"tiny": [new]}, tmp_path))
    assert state in found
    assert {path.name for path in found if path.parent.name == "segments"} == set(old.segments) - set(new.segments)
    assert {path.stem for path in found if path.parent.name == "runs"} == set(old.runs) - set(new.runs)
    everything = {path for path in tmp_path.rglob("*") if path.is_file()}
    gone = {path for path in everything if any(path == f or f in path.parents for f in found)}
    assert everything - gone == kept
    assert list(prune.unnamed({"tiny": [old, new]}, tmp_path)) == []


def test_a_file_with_two_names_counts_once(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one").write_bytes(bytes(1000))
    os.link(tmp_path / "a/one", tmp_path / "a/two")
    os.link(tmp_path / "a/one", tmp_path / "three")
    seen = set()
    assert prune.size(tmp_path / "a", seen) == 1000 and prune.size(tmp_path / "three", seen) == 0


def test_deleting_does_not_follow_links(tmp_path, monkeypatch):
    monkeypatch.setattr(prune, "TRASH", tmp_path / "trash")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").touch()
    (tmp_path / "segment").mkdir()
    (tmp_path / "segment/link").symlink_to(tmp_path / "mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    prune.delete(tmp_path / "segment")
    prune.delete(tmp_path / "link")
    assert (tmp_path / "mine/file").exists() and not (tmp_path / "segment").exists()
    assert not (tmp_path / "link").is_symlink() and not list((tmp_path / "trash").iterdir())
    (tmp_path / "trash/half-deleted").mkdir()
    prune.delete(tmp_path / "trash")
    assert not (tmp_path / "trash").exists()


@pytest.mark.parametrize("text", ["study: [", "study: x", "- 1", "", "a: !!python/object/apply:os.getcwd []"])
def test_a_config_that_does_not_load_stops_it(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(InputError, match=r"a.yaml does not load, so what it needs is not known") as error:
        prune.plans([tmp_path / "a.yaml"])
    assert "\n" not in str(error.value)


def test_from_the_command_line(tmp_path):
    config = changed(("seeds", [0]), ("experiments.widths.grid.width", [2, 4]))
    folder = finished(tmp_path / "clone", config)
    shutil.rmtree(folder / "config")
    (folder / "config").mkdir()
    narrow = changed(("seeds", [0]), ("experiments.widths.grid.width", [4]))
    segments = set(make_plan(load_study(config)).segments) - set(make_plan(load_study(narrow)).segments)
    listed = snakemake(folder, "prune", config=narrow)
    assert listed.returncode == 0 and all(f"results/segments/{name}  " in listed.stdout for name in segments)
    assert "results/tiny/runs/widths-width2-s0.csv" in listed.stdout and "delete with `snakemake prune" in listed.stdout
    assert "width4" not in listed.stdout
    (folder / "config/other.yaml").write_text(yaml.safe_dump(config))
    assert "nothing to prune" in snakemake(folder, "prune", config=narrow).stdout
    (folder / "config/other.yaml").write_text("study: [")
    refused = snakemake(folder, "prune", "--config", "delete=true", config=narrow)
    assert refused.returncode != 0 and "other.yaml does not load" in refused.stdout
    (folder / "config/other.yaml").unlink()
    before = {path for path in (folder / "results").rglob("*") if path.is_file()}
    in_file = snakemake(folder, "prune", config=narrow | {"delete": True})
    assert in_file.returncode != 0 and "delete: unknown key" in in_file.stdout
    assert {path for path in (folder / "results").rglob("*") if path.is_file()} == before
    assert snakemake(folder, "prune", "--config", "delete=true", config=narrow).returncode == 0
    assert not any((folder / "results/segments" / name).exists() for name in segments)
    assert planned(folder, config=narrow) == {"figure": 1, "all": 1}


def test_a_dry_run_of_prune_deletes_nothing(tmp_path):
    folder = copy_repository(tmp_path / "clone")
    (folder / "results/segments/odd").mkdir(parents=True)
    assert snakemake(folder, "prune", "-n", "--config", "delete=true").returncode == 0
    assert (folder / "results/segments/odd").exists()

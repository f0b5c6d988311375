"""Kernels from elsewhere run through the real workflow to a figure, alone and together with trained experiments."""

import json
import os
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

import shared_study
from helpers import REPOSITORY, all_planned, changed, copy_repository, snakemake
from reactivation.analysis import metrics
from reactivation.errors import InputError
from reactivation.storage.files import file_digest
from reactivation.storage.headers import BESIDE_AXES
from reactivation.study.outline import of_file

SECTION = (REPOSITORY / "docs/extending.md").read_text().split("\n## Kernels from elsewhere\n")[1].split("\n## ")[0]
(CODE,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)
STUDY = yaml.safe_load(*re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.M | re.S))
COMPARED = {"metric": "spectral_norm", "others": {"path": "published.csv", "value": "norm"}}
STUDY["figures"]["compared"] = {
    "experiment": "two_layers",
    "color": "width",
    "panels": [COMPARED, {"metric": "spectral_norm", "time": "since_switch"}],
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = copy_repository(tmp_path_factory.mktemp("imported") / "clone")
    (folder / "data").mkdir()
    subprocess.run([sys.executable, "-c", CODE], cwd=folder, check=True)
    (folder / "data/published.csv").write_text("width,epoch,norm\n32,5,40\n256,5,30\n512,5,20\n")
    run = snakemake(folder, "--cores", "2", config=STUDY)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "clone")


def test_the_documents_example_runs_through_to_a_figure(done):
    results = done / "results/two_layers"
    assert (results / "figures/switch.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in (done / "results").iterdir()) == [".made", ".state", "logs", "two_layers"]
    runs = pd.concat(map(pd.read_csv, (results / "runs").glob("*.csv")))
    assert sorted(set(runs["width"])) == [32, 256] and sorted(set(runs["seed"])) == [0, 1]
    drawn = pd.read_csv(results / "figures/switch.csv")
    assert (drawn["seeds"] == 2).all() and set(drawn["task"]) == {1, 2}
    kernels = [h5py.File(done / f"data/two-layers-32-{seed}.h5")["kernels/sum"][10] for seed in (0, 1)]
    norm = drawn[(drawn["metric"] == "spectral_norm") & (drawn["width"] == 32) & (drawn["epoch"] == 10)]
    assert norm["mean"].item() == pytest.approx(np.mean([metrics.spectral_norm(K) for K in kernels]))
    assert norm["task"].item() == norm["progress"].item() == 1  # at the switch


def test_switches_and_claims_are_those_of_any_runs(done):
    switched = pd.read_csv(done / "results/two_layers/reactivation.csv").query("task == 2")
    assert len(switched) == 4 and (switched["starts"] == 10).all() and (switched["ends"] == 20).all()
    assert (switched["velocity_ratio"] > 2).all() and switched["similarity"].isna().all()
    claims = pd.read_csv(done / "results/two_layers/claims.csv")
    assert set(claims["verdict"]) <= {"supported", "open"} and set(claims["seeds"]) == {2}  # two seeds decide little
    assert ((claims["effect"] > claims["threshold"]) == (claims["sign"] == ">")).all()
    assert set(claims["kernel"]) == {"sum"}  # files have no other
    assert pd.read_csv(done / "results/two_layers/accuracy.csv").empty
    files = pd.read_csv(done / "results/two_layers/files.csv")
    assert list(files["kernels"].head(2)) == ["data/two-layers-256-0.h5"] * 2 and files["probe"].isna().all()


def test_a_changed_file_runs_again_what_it_changes(copy):
    assert all_planned(copy, config=STUDY) == {}
    path = copy / "data/two-layers-32-0.h5"
    at = path.stat()
    with h5py.File(path, "r+") as file:
        file["kernels/sum"][...] *= 2
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))  # its bytes tell, not its time
    jobs = all_planned(copy, config=STUDY)
    assert jobs["metrics"] == jobs["switches"] == jobs["explore"] == 1 and jobs["figure"] == len(STUDY["figures"])


def test_numbers_of_others_are_drawn_and_their_change_is_noticed(copy):
    figures = copy / "results/two_layers/figures"
    drawn = pd.read_csv(figures / "compared.csv")
    theirs = drawn[drawn["kind"] == "others"]
    assert theirs[["panel", "width", "epoch", "mean"]].to_numpy().tolist() == [[0, 32, 5, 40], [0, 256, 5, 30]]
    since = drawn[(drawn["panel"] == 1) & (drawn["width"] == 32)]  # these files count a step for each checkpoint
    assert since["since_switch"].tolist() == list(range(-10, 11))
    path = copy / "data/published.csv"
    record = json.loads((figures / "compared.json").read_text())
    assert record["others"] == [{"name": "published.csv", "sha256": file_digest(path)}]
    at = path.stat()
    path.write_text(path.read_text().replace("40", "41"))
    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert all_planned(copy, config=STUDY)["figure"] == 1


def test_a_file_whose_values_are_wrong_fails_in_one_line(copy):
    with h5py.File(copy / "data/two-layers-32-0.h5", "r+") as file:
        file["kernels/sum"][3, 0, 1] += 1
    run = snakemake(copy, "--cores", "1", "switch", config=STUDY)
    line = "error: data/two-layers-32-0.h5 is not a file of kernels (kernels/sum[3] is not symmetric): correct it"
    assert run.returncode == 1 and line in run.stdout and "Traceback" not in run.stdout


def test_tools_know_such_a_study(copy):
    (copy / "config/two_layers.yaml").write_text(yaml.safe_dump(STUDY))
    for tool, words in (("budget", "Nothing is trained."), ("prune", "Nothing to prune.")):
        run = snakemake(copy, tool, config=STUDY)
        assert run.returncode == 0 and words in run.stdout, run.stdout
    resolved = yaml.safe_load((copy / "results/two_layers/config.yaml").read_text())
    assert not {"metrics", "figure"} & all_planned(copy, config=resolved).keys()


def test_our_own_kernels_have_the_same_metrics(finished_study, tmp_path, monkeypatch):
    """Kernels of a first task, read from the file that `ntk` wrote, against the experiment that they come from."""
    folder = shutil.copytree(finished_study, tmp_path / "clone")
    (path,) = (folder / "results/segments").glob("*-cnn-w2-*-s0-task1-*/ntk-*.h5")
    with pytest.raises(InputError, match="is in results/, which the workflow makes and prunes: copy it elsewhere"):
        monkeypatch.chdir(folder)
        of_file(str(path))
    shutil.copy(path, tmp_path / "theirs.h5")
    shared = {"kernels": {"path": str(tmp_path / "theirs.h5")}}
    config = changed(("seeds", [0]), ("experiments.shared", shared), of=shared_study.STUDY)
    run = snakemake(folder, "--cores", "2", "results/tiny/runs/shared-s0.csv", config=config)
    assert run.returncode == 0, run.stdout
    tables = [pd.read_csv(folder / f"results/tiny/runs/{name}.csv") for name in ("shared-s0", "widths-width2-s0")]
    tables = [table[table["layer"].isna()] for table in tables]
    keys = ["step", "metric", "kernel", "block", "reference", "dt", "index"]
    given, trained = (table.set_index(keys)["value"] for table in tables)
    assert len(given) > 100 and set(tables[0]["block"]) == {"all", "task1"}
    pd.testing.assert_series_equal(given, trained.loc[given.index])


STUDY_TABLES = ("reactivation.csv", "accuracy.csv", "files.csv")


def test_axes_never_have_the_names_of_columns(done):
    """The name of every other column of a study's tables is refused as an axis's name."""
    results = done / "results/two_layers"
    tables = [*results.glob("runs/*.csv"), *results.glob("figures/*.csv"), *map(results.joinpath, STUDY_TABLES)]
    assert len(tables) > 5
    for path in tables:
        assert set(pd.read_csv(path)) - {"width"} <= BESIDE_AXES, path

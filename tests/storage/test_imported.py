"""Kernels from elsewhere: files that are as they should be run through to a figure, and what is wrong with others is named."""

import os
import re
import shutil
import subprocess
import sys
from typing import get_args

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import REPOSITORY, TINY, all_planned, changed, copy_repository, finished, snakemake
from reactivation.analysis import metrics
from reactivation.analysis.run_table import run_table
from reactivation.errors import InputError
from reactivation.planning.plan import make_plan
from reactivation.storage.headers import BESIDE_AXES
from reactivation.storage.imported import read_imported, structure
from reactivation.study.load import ConfigError, load_study
from reactivation.study.outline import of_file
from reactivation.study.values import Kernel

SECTION = (REPOSITORY / "docs/extending.md").read_text().split("\n## Kernels from elsewhere\n")[1].split("\n## ")[0]
(CODE,) = re.findall(r"^```python\n(.*?)^```$", SECTION, re.M | re.S)
STUDY = yaml.safe_load(*re.findall(r"^```yaml\n(.*?)^```$", SECTION, re.M | re.S))
KINDS = get_args(Kernel)
MINE = {"study": "mine", "seeds": [0, 1], "experiments": {"mine": {"kernels": {"path": "mine.h5"}}}}


def content(times=5, images=6):
    """What a file holds: a random walk of kernels over two tasks."""
    J = np.random.default_rng(0).normal(size=(times, images, 20)).cumsum(0)
    return {
        "kernels/sum": J @ J.swapaxes(1, 2),
        "epoch": np.arange(times) / 2,
        "task": np.arange(times) // 3 + 1,
        "probe/label": np.arange(images) // 2,
        "probe/task": np.arange(images) // 3 + 1,
    }


def write(path, **changes):
    """`content` with `changes` (`...` leaves a data set out) in the file `path`."""
    with h5py.File(path, "w") as file:
        for name, values in (content() | changes).items():
            if values is not ...:
                file[name] = values
    return path


def mine(folder, **keys):
    """The study MINE on files in `folder`, with more keys of the study or, if it has such, of its experiment."""
    of_experiment = {key: value for key, value in keys.items() if key in ("grid", "metrics", "kernels", "dataset")}
    rest = {key: value for key, value in keys.items() if key not in of_experiment}
    experiments = {"mine": MINE["experiments"]["mine"] | of_experiment}
    return MINE | {"data_root": str(folder), "experiments": experiments} | rest


def errors(config):
    with pytest.raises(ConfigError) as caught:
        load_study(config)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


# ------------------------------------------------------------------------------------------ the example of docs
@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = copy_repository(tmp_path_factory.mktemp("imported") / "clone")
    (folder / "data").mkdir()
    subprocess.run([sys.executable, "-c", CODE], cwd=folder, check=True)
    run = snakemake(folder, "--cores", "2", config=STUDY)
    assert run.returncode == 0, run.stdout
    return folder


@pytest.fixture
def copy(done, tmp_path):
    return shutil.copytree(done, tmp_path / "clone")


def test_the_documents_example_runs_through_to_a_figure(done):
    results = done / "results/two_layers"
    assert (results / "figures/switch.pdf").read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in (done / "results").iterdir()) == ["logs", "two_layers"]
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
    assert set(claims["verdict"]) == {"supported"} and set(claims["seeds"]) == {2}
    assert pd.read_csv(done / "results/two_layers/accuracy.csv").empty
    files = pd.read_csv(done / "results/two_layers/files.csv")
    assert list(files["kernels"].head(2)) == ["data/two-layers-256-0.h5"] * 2 and files["probe"].isna().all()


def test_a_changed_file_runs_again_what_it_changes(copy):
    assert all_planned(copy, config=STUDY) == {}
    path = copy / "data/two-layers-32-0.h5"
    with h5py.File(path, "r+") as file:
        file["kernels/sum"][...] *= 2
    os.utime(path)
    jobs = all_planned(copy, config=STUDY)
    assert jobs["metrics"] == jobs["figure"] == jobs["switches"] == jobs["explore"] == 1


def test_a_file_whose_values_are_wrong_fails_in_one_line(copy):
    with h5py.File(copy / "data/two-layers-32-0.h5", "r+") as file:
        file["kernels/sum"][3, 0, 1] += 1
    run = snakemake(copy, "--cores", "1", "switch", config=STUDY)
    line = "error: data/two-layers-32-0.h5 is no file of kernels (kernels/sum[3] is not symmetric): correct it"
    assert run.returncode == 1 and line in run.stdout and "Traceback" not in run.stdout


def test_tools_know_such_a_study(copy):
    (copy / "config/two_layers.yaml").write_text(yaml.safe_dump(STUDY))
    for tool, words in (("budget", "Nothing is trained."), ("prune", "Nothing to prune.")):
        run = snakemake(copy, tool, config=STUDY)
        assert run.returncode == 0 and words in run.stdout, run.stdout
    resolved = yaml.safe_load((copy / "results/two_layers/config.yaml").read_text())
    assert not {"metrics", "figure"} & all_planned(copy, config=resolved).keys()


# ------------------------------------------------------------------------------------- beside trained experiments
def test_our_own_kernels_have_the_same_metrics(tmp_path, monkeypatch):
    """Of a first task, shared as the file that `ntk` wrote; beside the experiment that it is of."""
    folder = finished(tmp_path / "clone", changed(("seeds", [0]), ("experiments.widths.grid.width", [2])))
    (path,) = (folder / "results/segments").glob("*-task1-*/ntk-*.h5")
    with pytest.raises(InputError, match="is in results/, which the workflow makes and prunes: copy it elsewhere"):
        monkeypatch.chdir(folder)
        of_file(str(path))
    shutil.copy(path, tmp_path / "theirs.h5")
    shared = {"kernels": {"path": str(tmp_path / "theirs.h5")}}
    figure = TINY["figures"]["fig4"] | {"experiment": "shared", "panels": [{"metric": "alignment"}]} | {"color": None}
    config = changed(("seeds", [0]), ("experiments.shared", shared), ("figures.mine", figure))
    config["experiments"]["widths"]["grid"]["width"] = [2]
    run = snakemake(folder, "--cores", "2", config=config)
    assert run.returncode == 0, run.stdout
    tables = [pd.read_csv(folder / f"results/tiny/runs/{name}.csv") for name in ("shared-s0", "widths-width2-s0")]
    keys = ["step", "metric", "kernel", "block", "reference", "dt", "index"]
    given, trained = (table.set_index(keys)["value"] for table in tables)
    assert len(given) > 100 and set(tables[0]["block"]) == {"all", "task1"}
    pd.testing.assert_series_equal(given, trained.loc[given.index])


def test_a_path_without_seed_is_one_run(tmp_path):
    write(tmp_path / "mine.h5", epoch=np.arange(5))
    plan = make_plan(load_study(mine(tmp_path, claims={"velocity_spikes": {"experiment": "mine"}})))
    assert list(plan.runs) == ["mine-s0"] and plan.runs["mine-s0"].spec["epochs"] == [2, 2]
    assert plan.claims["tested"]["velocity_spikes"]["runs"] == {"mine-s0": {"seed": 0, "tasks": 2}}


def test_rates_and_words_tell_files_apart(tmp_path):
    for lr in ("0.001", "0.1"):
        for rule in ("sgd", "adam"):
            write(tmp_path / f"{rule}-{lr}-1.h5")
    kernels = {"path": "{rule}-{lr}-{seed}.h5"}
    config = mine(tmp_path, kernels=kernels, grid={"rule": ["sgd", "adam"], "lr": ["1e-3", 0.1]}, seeds=[1])
    names = [f"mine-rule{rule}-lr{lr}-s1" for rule in ("sgd", "adam") for lr in ("1e-3", "0.1")]
    assert list(make_plan(load_study(config)).runs) == names


# ------------------------------------------------------------------------------------------------ what is read
def test_tasks_are_parts_as_segments_are(tmp_path):
    first, second = read_imported(write(tmp_path / "mine.h5"), KINDS)
    assert first["epoch"].tolist() == [0, 0.5, 1] and second["epoch"].tolist() == [1.5, 2]
    assert first["step"].tolist() == [0, 1, 2] and second["step"].tolist() == [3, 4]
    assert structure(tmp_path / "mine.h5", KINDS) == {
        "kernels": ["sum"],
        "epochs": [1, 1],
        "parts": [1, 2],
        "held_out": False,
    }


def test_three_data_sets_are_enough(tmp_path):
    path = write(tmp_path / "mine.h5", task=..., **{"probe/task": ...})
    assert structure(path, KINDS)["epochs"] == [2.0] and structure(path, KINDS)["parts"] == []


def test_rounding_is_taken_out_and_exact_kernels_stay_as_they_are(tmp_path):
    stack = content()["kernels/sum"]
    exact = (stack + stack.swapaxes(1, 2)) / 2
    assert np.array_equal(read(write(tmp_path / "exact.h5", **{"kernels/sum": exact})), exact)
    skewed = exact + 1e-7 * np.abs(exact).max() * np.triu(np.ones(exact.shape[1:]))
    K = read(write(tmp_path / "rounded.h5", **{"kernels/sum": skewed.astype(np.float32)}))
    assert (
        K.dtype == np.float64 and np.array_equal(K, K.swapaxes(1, 2)) and np.abs(K - exact).max() < 1e-6 * exact.max()
    )


def read(path):
    return np.concatenate([of_task["kernels"]["sum"] for of_task in read_imported(path, KINDS)])


def test_kernels_may_begin_with_the_switch(tmp_path):
    """The first task is then its end alone, and has no length."""
    path = write(tmp_path / "mine.h5", task=[1, 2, 2, 2, 2])
    spec = {"experiment": "mine", "seed": 0, "axes": {}, "epochs": structure(path, KINDS)["epochs"]}
    spec |= {"similarity": [None, None], "kernels": ["sum"], "velocity_dt": [1], "overlap_rank": 2, "eigenvectors": 2}
    table = pd.DataFrame(run_table(spec, read_imported(path, KINDS), []))
    at = table.drop_duplicates("step")
    assert at["progress"].tolist() == [1, 1.25, 1.5, 1.75, 2] and at["task"].tolist() == [1, 2, 2, 2, 2]
    assert {"task1", "task2", "task1-task2", "all"} == set(table["block"])


# --------------------------------------------------------------------------------------------- what is wrong
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"epoch": ...}, "it has no data set epoch"),
        ({"probe/label": ...}, "it has no data set probe/label"),
        ({"kernels/sum": ...}, "it has none of kernels/sum, kernels/trace"),
        ({"kernels/sum": ..., "kernels": np.ones(3)}, "it has none of kernels/sum, kernels/trace"),
        ({"kernels/sum": np.ones((5, 6))}, "kernels/sum has the shape (5, 6), not (5, 6, 6)"),
        ({"kernels/sum": np.ones((4, 6, 6))}, "kernels/sum has the shape (4, 6, 6), not (5, 6, 6)"),
        ({"kernels/sum": np.ones((5, 6, 6), complex)}, "kernels/sum is not of real numbers"),
        ({"kernels/sum/group": 1, "kernels/sum": ...}, "it has no data set kernels/sum"),
        ({"epoch": [0, 1, 2, 2, 3]}, "epoch does not ascend from 0 or later"),
        ({"epoch": [-1, 0, 1, 2, 3]}, "epoch does not ascend from 0 or later"),
        ({"epoch": [0, 1, 2, 3, np.nan]}, "epoch is not finite everywhere"),
        ({"epoch": ["0", "1", "2", "3", "4"]}, "epoch is not of real numbers"),
        ({"epoch": []}, "0 checkpoints of 6 images are too few"),
        ({"step": [0, 1, 1, 2, 3]}, "step does not ascend"),
        ({"task": [1, 1, 3, 3, 3]}, "task does not count 1, 2, … without gaps"),
        ({"task": [0, 0, 1, 1, 1]}, "task does not count 1, 2, … without gaps"),
        ({"task": [1, 1, 2, 2, 1]}, "task does not count 1, 2, … without gaps"),
        ({"task": [1, 1, 1, 2]}, "task has the shape (4,), not (5,)"),
        ({"probe/label": [0.5, 1, 2, 3, 4, 5]}, "probe/label is not of whole numbers"),
        ({"probe/label": [0, 1]}, "probe/task has the shape (6,), not (2,)"),
        ({"probe/task": [-1, 1, 1, 2, 2, 2]}, "probe/task is below 0"),
        ({"probe/held_out": [True]}, "probe/held_out has the shape (1,), not (6,)"),
    ],
)
def test_a_wrong_structure_is_one_line_before_anything_runs(changes, words, tmp_path):
    path = write(tmp_path / "mine.h5", **changes)
    (line,) = errors(mine(tmp_path))
    assert line.startswith(f"experiments.mine.kernels.path: {path} is no file of kernels ({words}"), line
    assert line.endswith(": correct it as docs/data-format.md says")


def test_files_that_are_missing_or_no_hdf5_are_named(tmp_path):
    (line,) = errors(mine(tmp_path))
    assert line.startswith(f"experiments.mine.kernels.path: there is no {tmp_path}/mine.h5: put the file there")
    (tmp_path / "mine.h5").write_bytes(b"PK\3\4")
    (line,) = errors(mine(tmp_path))
    assert "is no file of kernels (it is no HDF5 file)" in line
    whole = write(tmp_path / "whole.h5").read_bytes()
    (tmp_path / "mine.h5").write_bytes(whole[:1000])
    (line,) = errors(mine(tmp_path))
    assert "mine.h5 is no file of kernels (" in line


@pytest.mark.parametrize(
    "change, words",
    [
        (np.diag([np.nan] * 6), "kernels/sum[2] is not finite everywhere"),
        (np.diag([np.inf] * 6), "kernels/sum[2] is not finite everywhere"),
        (np.triu(np.ones((6, 6))), "kernels/sum[2] is not symmetric"),
        (-100 * np.eye(6), "kernels/sum[2] is not positive semi-definite"),
    ],
)
def test_kernels_that_are_none_are_named(change, words, tmp_path):
    stack = content()["kernels/sum"]
    stack[2] += change
    path = write(tmp_path / "mine.h5", **{"kernels/sum": stack})
    with pytest.raises(InputError, match=re.escape(f"{path} is no file of kernels ({words})")):
        read_imported(path, KINDS)


@pytest.mark.parametrize(
    "keys, line",
    [
        ({"kernels": {}}, "experiments.mine.kernels.path: is missing"),
        ({"kernels": {"path": "mine.h5", "root": "."}}, "experiments.mine.kernels.root: unknown key"),
        ({"kernels": {"pth": "mine.h5", "path": "mine.h5"}}, "experiments.mine.kernels.pth: unknown key; did you mean path?"),
        ({"dataset": "glyphs"}, "experiments.mine.dataset: does not belong here; it is a key of another kind"),
        ({"grid": {"width": [1]}}, "experiments.mine.kernels.path: should contain {width}: runs of other values have"),
        ({"grid": {"width": [1, True]}}, "experiments.mine.grid.width.1: Input should be a number or a word (it is True)"),
        ({"grid": {"seed": [1]}}, "experiments.mine.grid.seed: seed is a column of tables; choose another name"),
        ({"kernels": {"path": "{widht}.h5"}}, "experiments.mine.kernels.path: has {widht}, which stands for nothing; known"),
        ({"metrics": {"velocity_dt": [0]}}, "experiments.mine.metrics.velocity_dt.0: Input should be greater than or"),
    ],
)  # fmt: skip
def test_mistakes_in_the_experiment(keys, line, tmp_path):
    write(tmp_path / "mine.h5")
    found = errors(mine(tmp_path, **keys))
    assert len(found) == 1 and found[0].startswith(line), found


@pytest.mark.parametrize(
    "panel, words",
    [
        ({"metric": "test_accuracy"}, "metric: test_accuracy is of predictions, and the experiment has kernels only"),
        ({"metric": "forgetting"}, "metric: forgetting is of predictions, and the experiment has kernels only"),
        ({"metric": "trace", "kernel": "trace"}, "kernel: the experiment has sum only"),
        ({"metric": "trace", "block": ["task3"]}, "block: trace has no block 'task3'; it has all, task1, task2, current"),
        ({"metric": "kernel_velocity", "dt": 2}, "dt: 2 is not in the experiment's velocity_dt [1]"),
        ({"metric": "trace", "kind": "summary", "statistic": "drop"}, "x: should name an axis of the grid: how similar"),
        (
            {"metric": "trace", "kind": "summary", "statistic": "drop", "task": 3},
            "task: 3 is more than the 2 of a run",
        ),
    ],
)  # fmt: skip
def test_panels_on_what_kernels_do_not_tell_are_refused(panel, words, tmp_path):
    write(tmp_path / "mine.h5")
    found = errors(mine(tmp_path, figures={"fig": {"experiment": "mine", "panels": [panel]}}))
    assert f"figures.fig.panels.0.{words}" in [line[: len(f"figures.fig.panels.0.{words}")] for line in found]
    assert len(found) == (2 if panel.get("task") else 1)


def test_claims_need_what_they_need(tmp_path):
    write(tmp_path / "mine.h5")
    claims = {"repeats": {"experiment": "mine"}, "wider_is_lazier": {"experiment": "mine"}, "kernel": "trace"}
    found = errors(mine(tmp_path, claims=claims))
    for words in ("mine should have 3 tasks, it has 2", "mine should have 2 values of width", "twice that at least"):
        assert any(words in line for line in found), found
    assert any("should compute the kernel trace" in line for line in found)


def test_an_experiment_that_trains_needs_its_data_set():
    (line,) = errors(changed(("datasets", ...)))
    assert line == "experiments.widths.dataset: there is no data set 'glyphs'; this config has none"


STUDY_TABLES = ("reactivation.csv", "accuracy.csv", "files.csv")


def test_axes_never_have_the_names_of_columns(done):
    """Whatever stands beside axes in a table of a study is refused as an axis's name."""
    results = done / "results/two_layers"
    tables = [*results.glob("runs/*.csv"), *results.glob("figures/*.csv"), *map(results.joinpath, STUDY_TABLES)]
    assert len(tables) > 5
    for path in tables:
        assert set(pd.read_csv(path)) - {"width"} <= BESIDE_AXES, path

"""The real workflow, on a tiny study, as a user calls it."""

import hashlib
import json
import os
import re
import shutil
import subprocess

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from helpers import (
    PAGES,
    TINY,
    all_planned,
    call,
    changed,
    copy_repository,
    edit,
    finished,
    jobs_of,
    planned,
    snakemake,
)
from reactivation.data.images import Images
from reactivation.planning.plan import make_plan
from reactivation.seeds import stream
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_class_count, read_images, read_normalisation
from reactivation.storage.kernels import read_kernels
from reactivation.storage.tables import read_tables
from reactivation.study.load import load_study
from reactivation.study.reserved import TARGETS
from reactivation.training.networks import cnn
from shared_study import EVERYTHING, STUDY

EXPERIMENT = "experiments.widths"


@pytest.fixture
def done(finished_study):
    return finished_study


@pytest.fixture
def copy(done, tmp_path):
    """A copy of that folder, for tests that change files; times are kept."""
    return shutil.copytree(done, tmp_path / "clone")


def edited(*edits):
    """STUDY with the values at dotted paths replaced."""
    return changed(*edits, of=STUDY)


def files(folder, pattern):
    return sorted((folder / "results").glob(pattern))


# --------------------------------------------------------------------------------------------- what is written
def test_a_figure_is_a_pdf_a_png_and_the_numbers_it_shows(done):
    figures = done / "results/tiny/figures"
    assert sorted(path.name for path in figures.glob("fig4*")) == ["fig4.csv", "fig4.json", "fig4.pdf", "fig4.png"]
    with Image.open(figures / "fig4.png") as image:
        assert image.size[0] > 1500  # 200 dots an inch
    assert (figures / "fig4.pdf").read_bytes().startswith(b"%PDF")
    drawn = pd.read_csv(figures / "fig4.csv")
    by_chance = [f"alignment_{name}" for name in ("identity", "permuted_low", "permuted_high")]
    named = [panel["metric"] for panel in STUDY["figures"]["fig4"]["panels"]]
    assert sorted(drawn["metric"].unique()) == sorted([*named, *by_chance])
    assert (drawn["seeds"] == 2).all() and sorted(drawn["width"].unique()) == [2, 4]
    assert np.isfinite(drawn[["mean", "low", "high"]]).all().all()
    runs = read_tables(files(done, "tiny/runs/widths-*.csv"))
    norm = runs[(runs["metric"] == "spectral_norm") & (runs["kernel"] == "sum") & (runs["block"] == "all")]
    norm = norm[norm["layer"].isna()]
    expected = norm.groupby(["width", "step"])["value"].mean()
    shown = drawn[drawn["metric"] == "spectral_norm"].set_index(["width", "step"])["mean"]
    pd.testing.assert_series_equal(shown, expected, check_names=False)


def test_a_segment_has_its_checkpoints_logs_and_origin(done):
    segments = files(done, "segments/*-cnn-w*")
    assert len(segments) == 8
    for segment in segments:
        record = json.loads((segment / "segment.json").read_text())
        steps = sorted(int(path.stem.removeprefix("step")) for path in segment.glob("checkpoints/*.pt"))
        # 24 images in batches of 8: three steps an epoch, two epochs a task.
        assert steps == ([0, 1, 2, 3, 4, 6] if "task1" in segment.name else [7, 8, 9, 10, 12])
        assert record["final_step"] == steps[-1] and record["checkpoints"] == len(steps)
        assert {"config", "code", "git_commit", "versions", "device", "started", "seconds"} <= record.keys()
        assert "host" not in record
        final = read_checkpoint(segment / "final.pt")
        last = read_checkpoint(segment / f"checkpoints/step{steps[-1]:08d}.pt")
        assert all(torch.equal(last["model"][name], tensor) for name, tensor in final["model"].items())
        assert list(pd.read_csv(segment / "training.csv")["epoch"]) == ([1, 2] if "task1" in segment.name else [3, 4])


def test_the_second_task_starts_where_the_first_ended(done):
    """Its first step, taken again by hand, leads to its first checkpoint."""
    second = files(done, "segments/*-w4-*-s1-task2-*")[0]
    spec = json.loads((second / "segment.json").read_text())["config"]
    assert [task["classes"] for task in spec["tasks"]] == [[0, 1], [2, 3]]
    first = files(done, "segments/*-w4-*-s1-task1-*")[0]
    before = read_checkpoint(first / "final.pt")
    after = read_checkpoint(second / "checkpoints/step00000007.pt")
    assert (before["step"], before["epoch"], after["epoch"]) == (6, 2, pytest.approx(2 + 1 / 3))
    (data,), (split,) = files(done, "data/*.h5"), files(done, "splits/*-task2-*.npz")
    images = read_images(data, "train", read_arrays(split)["task2_train"])
    (mean, std), classes = read_normalisation(data), read_class_count(data)
    shuffle = torch.Generator().manual_seed(stream(spec["seed"], "batches", 2))
    x, y = Images.on(torch.device("cpu"), *images, mean, std).batch(torch.randperm(24, generator=shuffle)[:8])
    model = cnn(4, 8, classes)
    model.load_state_dict(before["model"])
    torch.nn.functional.cross_entropy(model(x), y).backward()
    for name, parameter in model.named_parameters():
        stepped = (parameter - spec["training"]["lr"] * parameter.grad).detach()
        torch.testing.assert_close(stepped, after["model"][name], rtol=1e-5, atol=1e-7)
        assert not torch.equal(before["model"][name], after["model"][name])


def test_kernels_are_those_of_the_saved_weights(done):
    """The reference reads the files alone and loops over backward passes in float64."""
    segment = files(done, "segments/*-w4-*-s0-task2-*")[0]
    (path,) = segment.glob("ntk-*.h5")
    read = read_kernels(path)
    (data,) = files(done, "data/*.h5")
    pixels, labels = read_images(data, "train", read["probe"]["index"])
    assert labels.tolist() == read["probe"]["label"].tolist() == [0, 1, 1, 2, 3, 3]
    assert read["probe"]["task"].tolist() == [1, 1, 1, 2, 2, 2]
    (mean, std), classes = read_normalisation(data), read_class_count(data)
    x = torch.tensor((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    model = cnn(4, 8, classes).double()
    checkpoint = read_checkpoint(segment / "checkpoints/step00000010.pt")
    model.load_state_dict(checkpoint["model"])
    gradients = []
    for image in x:
        grads = [torch.autograd.grad(f, list(model.parameters()), retain_graph=True) for f in model(image[None])[0]]
        gradients.append(torch.stack([torch.cat([g.flatten() for g in of_output]) for of_output in grads]))
    J = torch.stack(gradients)
    at = read["step"].tolist().index(10)
    expected = {"sum": J.sum(1) @ J.sum(1).T, "trace": torch.einsum("icp,jcp->ij", J, J) / classes}
    for kind, kernel in expected.items():
        np.testing.assert_allclose(read["kernels"][kind][at], kernel, rtol=1e-5, atol=1e-6 * kernel.max())


def test_accuracy_within_tasks_is_that_of_the_saved_weights(done):
    """The reference reads the files alone, in float64."""
    (data,) = files(done, "data/*.h5")
    pixels, labels = read_images(data, "test", np.arange(16))
    (mean, std), model = read_normalisation(data), cnn(4, 8, read_class_count(data)).double()
    x = torch.tensor((pixels / 255 - mean) / std).permute(0, 3, 1, 2)
    tasks = [np.array([0, 1]), np.array([2, 3])]
    of_run = []
    for k in (1, 2):
        (segment,) = files(done, f"segments/*-w4-*-s1-task{k}-*")
        table = pd.read_csv(segment / "within.csv").set_index(["step", "task", "class"])
        paths = sorted((segment / "checkpoints").glob("*.pt"))
        assert len(table) == len(paths) * 2 * k and (table["images"] == 4).all()
        for path in paths:
            checkpoint = read_checkpoint(path)
            model.load_state_dict(checkpoint["model"])
            with torch.no_grad():
                logits = model(x).numpy()
            for number, own in enumerate(tasks[:k], start=1):
                right = own[logits[:, own].argmax(1)] == labels
                for c in own:
                    assert table.loc[checkpoint["step"], number, c]["accuracy_within_task"] == right[labels == c].mean()
                of_run.append((checkpoint["step"], f"task{number}", right[np.isin(labels, own)].mean()))
    run = read_tables(files(done, "tiny/runs/widths-width4-s1.csv"))
    found = run[run["metric"] == "accuracy_within_task"][["step", "block", "value"]]
    assert sorted(found.itertuples(index=False, name=None)) == sorted(of_run)
    first = found[found["block"] == "task1"].set_index("step")["value"]
    lost = run[(run["metric"] == "forgetting_within_task") & (run["block"] == "all")].set_index("step")["value"]
    pd.testing.assert_series_equal(lost, first[6] - first.loc[7:])
    switches = pd.read_csv(done / "results/tiny/reactivation.csv").query("run == 'widths-width4-s1' and task == 2")
    assert (switches["forgetting_within_task"] == lost[12]).all()
    accuracy = pd.read_csv(done / "results/tiny/accuracy.csv").query("run == 'widths-width4-s1'")
    ends = {step: rows.set_index("block")["value"] for step, rows in found.groupby("step")}
    for trained, step in enumerate((0, 6, 12)):
        row = accuracy[accuracy["trained"] == trained].set_index("task")["accuracy_within_task"]
        wanted = [ends[step][f"task{k}"] if k <= max(1, trained) else np.nan for k in (1, 2)]
        np.testing.assert_array_equal(row[[1, 2]], wanted)


def test_kernel_files_say_where_they_come_from(done):
    for path in files(done, "segments/*/ntk-*.h5"):
        with h5py.File(path) as file:
            assert file["kernels/sum"].shape == (len(file["epoch"]), 6, 6) and file["kernels/sum"].dtype == np.float64
            attributes = dict(file.attrs)
            for key in ("config", "code", "git_commit", "versions", "device", "dtype", "started", "seconds"):
                assert attributes[key]
            assert "reactivation/ntk/kernel.py:" in attributes["code"]
            assert json.loads(attributes["config"])["segment"]["model"]["name"] == "cnn"
            assert len(attributes["seconds_per_checkpoint"]) == len(file["epoch"])
            assert (attributes["peak_bytes_per_checkpoint"] > 0).all()


ORIGIN = {"config", "code", "git_commit", "versions", "device", "started", "seconds"}


def test_every_file_of_images_or_kernels_and_every_figure_says_where_it_comes_from(tmp_path):
    panels = [{"metric": "alignment", "title": "Größe α → β"}]
    config = changed(("seeds", [0]), (f"{EXPERIMENT}.grid.width", [4]), ("figures.fig4.panels", panels))
    folder = finished(tmp_path / "clone", config, "fig4")
    for path in folder.glob("results/**/*.h5"):
        with h5py.File(path) as file:
            assert file.attrs.keys() >= ORIGIN and all(file.attrs[key] for key in ORIGIN)
            assert isinstance(json.loads(file.attrs["config"]), dict)
    figure = folder / "results/tiny/figures/fig4"
    beside = json.loads(figure.with_suffix(".json").read_text())
    assert beside.keys() >= ORIGIN and "draw_figure.py:" in beside["code"]
    assert beside["config"] == {
        "study": "tiny",
        "seeds": [0],
        "datasets": config["datasets"],
        "experiments": config["experiments"],
        "figures": {"fig4": config["figures"]["fig4"]},
    }
    for name, digest in beside["files"].items():
        assert hashlib.sha256((figure.parent / name).read_bytes()).hexdigest() == digest
    assert beside["files"].keys() == {"fig4.csv", "fig4.pdf", "fig4.png"}
    tables = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in files(folder, "tiny/runs/*.csv")}
    assert beside["runs"] == tables and beside["diverged"] == beside["left_out"] == []
    with Image.open(figure.with_suffix(".png")) as image:
        assert image.text["Title"] == "tiny: fig4" and json.loads(image.text["config"]) == beside["config"]
        assert {key: image.text[key] for key in ORIGIN - {"config"}} == {
            key: beside[key] for key in ORIGIN - {"config"}
        }
    keywords = re.search(rb"/Keywords \((.*?[^\\])\)\s", figure.with_suffix(".pdf").read_bytes(), re.DOTALL)[1]
    inside = json.loads(re.sub(rb"\\([()\\])", rb"\1", keywords))
    assert inside == {key: image.text[key] for key in (*ORIGIN, "made_with")}


def test_the_same_config_gives_the_same_bits(done, tmp_path):
    """In another folder, on one core instead of two, and in a Python of its own for each job, as users have it.

    Second tasks and tables are compared in this way by the tests of Slurm and conda.
    """
    again = copy_repository(tmp_path / "again")
    (name,) = [name for name in make_plan(load_study(STUDY)).kernels if "-w4-lr0.05-s0-task1-" in name]
    target = f"results/segments/{name}.h5"
    real = subprocess.run(**call(again, "--cores", "1", target, config=STUDY), capture_output=True, text=True)
    assert real.returncode == 0, real.stderr
    with h5py.File(again / target) as new, h5py.File(done / target) as old:
        for data in ("kernels/sum", "kernels/trace", "layers/head/sum", "step", "epoch", "probe/index"):
            assert new[data][:].tobytes() == old[data][:].tobytes()
    same = [*files(again, "segments/*/evaluation.csv"), *files(again, "segments/*/checkpoints/*.pt")]
    assert len(same) > 5
    for path in same:
        assert path.read_bytes() == (done / path.relative_to(again)).read_bytes()


# ---------------------------------------------------------------------------------------------- what is planned
def test_a_second_call_has_nothing_to_do(done):
    assert all_planned(done, *EVERYTHING, config=STUDY) == {}
    assert planned(done, "fig4", "results/tiny/figures/figS2.pdf", config=STUDY) == {}


def test_adding_a_width_and_a_seed_plans_only_their_jobs(done):
    """Five runs of `widths` more: three of the new width, two of the new seed."""
    wider = edited((f"{EXPERIMENT}.grid.width", [2, 4, 8]), ("seeds", [0, 1, 2]), ("claims", ...))
    jobs = {"train": 10, "ntk": 10, "within": 10, "metrics": 5, "figure": 1, "fig4": 1}
    assert planned(done, "fig4", config=wider) == jobs


def test_a_figure_of_its_own_choice_is_redrawn_alone(done):
    assert planned(done, config=edited(("figures.fig4.title", "Other"))) == {"figure": 1, "all": 1}


def test_where_things_run_and_lie_changes_nothing_but_the_record_of_the_config(done):
    elsewhere = edited(("device", "auto"), ("data_root", "/elsewhere"))
    assert all_planned(done, config=elsewhere) == {"resolved": 1, "all": 1}


def test_a_new_caption_makes_no_figure_again(done):
    another = edited(("figures.fig4.caption", "Another"))
    assert all_planned(done, *EVERYTHING, config=another) == {"resolved": 1, "all": 1}


def test_a_threshold_reruns_the_claims_only(done):
    config = edited(("claims.velocity_spikes.ratio", 3))
    assert {"switches", "claims", "metrics", "figure"} & set(all_planned(done, config=config)) == {"claims"}


def test_images_are_read_again_when_they_change_and_not_when_they_move(tmp_path):
    folder = copy_repository(tmp_path / "clone")
    for name in ("train/a/1.png", "train/b/1.png", "test/a/1.png", "test/b/1.png"):
        (tmp_path / "here/images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (9, 9, 9)).save(tmp_path / "here/images" / name)
    entry = {"source": "image_folder", "root": "images", "image_size": 8, "classes": 2}
    config = changed(("datasets.glyphs", entry), (f"{EXPERIMENT}.scenario.classes_per_task", 1))
    (name,) = make_plan(load_study(config)).datasets
    target, at = f"results/data/{name}.h5", lambda place: ("--config", f"data_root={tmp_path / place}")
    run = snakemake(folder, "--cores", "2", target, *at("here"), config=config)
    assert run.returncode == 0 and "threads: 2" in run.stdout
    assert "4/4 images" in (folder / f"results/logs/dataset/{name}.log").read_text()
    assert planned(folder, target, *at("here"), config=config) == {}
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert planned(folder, target, *at("there"), config=config) == {}
    assert planned(folder, target, *at("nowhere"), config=config) == {}
    # Snakemake deletes a result before its job: this one may be the last copy of the images.
    edit(folder, "reactivation/data/parallel.py", "AHEAD = 16", "AHEAD = 17")
    run = snakemake(folder, "--cores", "2", target, *at("nowhere"), config=config)
    assert run.returncode != 0 and f"{target} would be made again, but there is no " in run.stdout
    assert "Traceback" not in run.stdout and (folder / target).exists()
    edit(folder, "reactivation/data/parallel.py", "AHEAD = 17", "AHEAD = 16")
    # The same names and sizes elsewhere, and other pixels.
    other = shutil.copytree(tmp_path / "there", tmp_path / "other") / "images/train/a/1.png"
    size = other.stat().st_size
    Image.new("RGB", (8, 8), (7, 7, 7)).save(other)
    assert other.stat().st_size == size
    run = snakemake(folder, "--cores", "2", target, *at("other"), config=config)
    assert run.returncode == 0 and jobs_of(run.stdout) == {"dataset": 1}
    images, _ = read_images(folder / target, "train", np.arange(2))
    assert images[:, 0, 0, 0].tolist() == [7, 9]
    assert planned(folder, target, *at("there"), config=config) == {"dataset": 1}
    (tmp_path / "other/images/train/a/2.png").symlink_to(tmp_path / "nowhere")
    out = failed(folder, target, *at("other"), config=config)
    assert re.search(r"^error: .*/a/2.png cannot be read \(.*\): replace or remove it$", out, re.MULTILINE)
    assert (folder / target).exists()


def test_names_that_figures_cannot_have(tmp_path):
    rules = snakemake(copy_repository(tmp_path), "--list-rules", config=changed(("figures", {}))).stdout.split("\n")
    assert {rule.strip() for rule in rules if rule.strip().isidentifier()} == set(TARGETS)


def test_another_study_shares_what_is_the_same(done):
    """And asking for no layers, or for no twins, trains nothing anew, though the kernels' files are others."""
    other = changed(("study", "other"), ("seeds", [1]), (f"{EXPERIMENT}.grid.width", [2]))
    assert planned(done, config=other) == {"ntk": 2, "metrics": 1, "figure": 1, "all": 1}
    other["experiments"]["widths"]["layers"] = True
    assert planned(done, config=other) == {"metrics": 1, "figure": 1, "all": 1}


def test_a_target_trains_only_what_it_needs(done):
    figures = STUDY["figures"] | {
        "narrow": {"kind": "curves", "experiment": "lrs", "color": "lr", "panels": [{"metric": "alignment"}]}
    }
    lrs = STUDY["experiments"]["widths"] | {"grid": {"lr": [0.01]}, "model": {"name": "cnn", "width": 3}}
    lrs["training"] = {"epochs": 2, "batch_size": 8}
    config = edited(("figures", figures), ("experiments.lrs", lrs))
    jobs = {"train": 4, "ntk": 4, "within": 4, "metrics": 2, "figure": 1, "narrow": 1}
    assert planned(done, "narrow", config=config) == jobs


CLAIMED = {"switches": 1, "claims": 1}


@pytest.mark.parametrize(
    "module, old, new, jobs",
    [
        (
            "reactivation/ntk/sums.py",
            "ROWS = 128",
            "ROWS = 127",
            {"ntk": 8, "metrics": 8, "figure": 3} | CLAIMED,
        ),
        ("reactivation/figures/layout.py", '"font.size": 8', '"font.size": 9', {"figure": 3, "claims": 1}),
        (
            "reactivation/analysis/run_table.py",
            "chosen.sum() > 1",
            "chosen.sum() > 2",
            {"metrics": 10, "figure": 3} | CLAIMED,
        ),
        (
            "train_segment.py",
            "threads=snakemake.threads",
            "threads=int(snakemake.threads)",
            {"train": 12, "ntk": 8, "function": 4, "within": 8, "metrics": 10, "figure": 3} | CLAIMED,
        ),
        ("reactivation/analysis/switches.py", "away.max() / 2", "away.max() / 3", CLAIMED),
        ("reactivation/analysis/verdicts.py", "slack = 1e-9", "slack = 1e-8", {"claims": 1}),
    ],
)
def test_code_reruns_what_it_can_change(copy, module, old, new, jobs):
    edit(copy, module, old, new)
    dry = snakemake(copy, "-n", config=STUDY).stdout
    assert {rule: count for rule, count in jobs_of(dry).items() if rule not in PAGES} == jobs | {"all": 1}
    assert f"{module}:" in dry  # the reason names the module


def test_comments_docstrings_and_times_of_code_rerun_nothing(copy):
    edit(copy, "reactivation/ntk/kernel.py", '"""The empirical', '"""An empirical')
    edit(copy, "reactivation/study/schema.py", '"""Name of', '"""The name of')
    edit(copy, "train_segment.py", "\nwith logged", "\n# A comment.\nwith logged")
    for path in copy.glob("workflow/**/*"):
        os.utime(path)
    assert all_planned(copy, config=STUDY) == {}


# --------------------------------------------------------------------------------------------------- bad input
def failed(folder, *arguments, config):
    run = snakemake(folder, "--cores", "1", *arguments, config=config)
    assert run.returncode != 0
    assert "Traceback" not in run.stdout
    return run.stdout


def test_config_errors_stop_before_anything_runs(tmp_path):
    folder = copy_repository(tmp_path)
    out = failed(folder, config=changed((f"{EXPERIMENT}.grid.width", [0]), ("sneeds", 1)))
    assert "study.yaml: 2 errors" in out
    assert f"  {EXPERIMENT}.grid.width.0: Input should be greater than or equal to 1 (it is 0)" in out
    assert "  sneeds: unknown key; did you mean seeds?" in out
    assert not (folder / "results").exists()


def test_a_missing_data_root_is_one_line(tmp_path):
    folder = copy_repository(tmp_path)
    entry = {"source": "image_folder", "root": "images.tar.gz", "image_size": 8, "classes": 4}
    out = failed(folder, config=changed(("datasets.glyphs", entry)))
    assert "error: there is no data/images.tar.gz: put the image folder (or its tarball) there" in out
    (folder / "images.tar.gz").write_bytes(b"\x1f\x8b broken")
    out = failed(folder, "--config", "data_root=.", config=changed(("datasets.glyphs", entry)))
    assert "error: images.tar.gz cannot be read to its end" in out
    assert not files(folder, "data/*")


def test_another_config_file_replaces_the_default(tmp_path):
    folder = copy_repository(tmp_path)
    listed = snakemake(folder, "-n", "--quiet", "rules", config=TINY).stdout
    assert "quickstart" not in listed and "glyphs-cnn-w16" not in listed
    default = snakemake(folder, "-n")
    assert default.returncode == 0 and "results/quickstart/figures/fig4.pdf" in default.stdout


def test_a_gpu_that_is_not_there(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    out = failed(copy_repository(tmp_path), config=changed(("device", "cuda")))
    assert "error: device is cuda, but torch sees no GPU here: set device: cpu or auto" in out

"""docs/extending.md: its diffs apply to this repository, its studies run, its table says what runs again."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from helpers import REPOSITORY, copy_repository, planned, snakemake
from reactivation.catalogue import METRICS
from reactivation.data.sources import folder_samples
from reactivation.jobs.fingerprint import fingerprint
from reactivation.ntk.kernel import UNPROVED
from reactivation.study.load import load_study

TEXT = (REPOSITORY / "docs/extending.md").read_text()
SCRIPTS = sorted(path.name for path in (REPOSITORY / "workflow/scripts").glob("*.py"))


def blocks(language, text=TEXT):
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


SECTIONS = dict(re.findall(r"^#{2,3} ([^\n]+)\n(.*?)(?=^#{2,3} |\Z)", TEXT, re.M | re.S))
DIFFS = {title.lower(): blocks("diff", text)[0] for title, text in SECTIONS.items() if blocks("diff", text)}
STUDIES = {study["study"]: study for study in map(yaml.safe_load, blocks("yaml")) if "study" in study}
for more in map(yaml.safe_load, blocks("yaml")):
    if "study" not in more:
        STUDIES["there_and_back"]["figures"] |= more["figures"]
# A few images in the layout of MNIST's file.
MNIST = {
    name: array
    for part, count in (("train", 20), ("test", 10))
    for name, array in (
        (f"x_{part}", np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)),
        (f"y_{part}", (np.arange(count) * 3 % 10).astype(np.uint8)),
    )
}
# Cells of the table of what runs again: section, changed files, scripts.
TABLE = [
    [re.findall(r"`([\w.]+)`", cell) or re.findall(r"\[(.*?)\]", cell) for cell in row.split("|")[1:4]]
    for row in re.findall(r"^\| \[.*$", TEXT, re.M)
]


BY_CHANCE = {name for metric in METRICS.values() for names in metric.chance.values() for name in names}


def apply(diff, folder):
    run = subprocess.run(["git", "apply", "-"], input=diff, cwd=folder, text=True, capture_output=True)
    assert run.returncode == 0, run.stderr


def test_the_table_has_every_diff():
    assert sorted(section for (section,), _, _ in TABLE) == sorted(DIFFS)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0][0])
def test_a_diff_applies_by_itself_and_runs_again_what_the_table_says(row, tmp_path):
    (section,), files, scripts = row
    root = tmp_path / "workflow/scripts"
    shutil.copytree(REPOSITORY / "workflow/scripts", root, ignore=shutil.ignore_patterns("__pycache__"))
    before = {path: path.read_bytes() for path in root.rglob("*.py")}
    apply(DIFFS[section], tmp_path)
    assert sorted(path.name for path in before if path.read_bytes() != before[path]) == sorted(files)
    # `budget` and `prune` make no results.
    changed = [
        s
        for s in SCRIPTS
        if fingerprint(s, root) != fingerprint(s)
        and s not in ("print_budget.py", "prune_results.py", "verify_results.py")
    ]
    assert changed == scripts


@pytest.fixture(scope="module")
def extended(tmp_path_factory):
    """A copy of the repository with all diffs, all studies in config/, and the images that its Python snippets make."""
    folder = copy_repository(tmp_path_factory.mktemp("extended") / "clone")
    for diff in DIFFS.values():
        apply(diff, folder)
    for name, study in STUDIES.items():
        (folder / f"config/{name}.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    (folder / "data").mkdir()
    np.savez(folder / "data/mnist.npz", **MNIST)
    for code in blocks("python"):
        subprocess.run([sys.executable, "-c", code], cwd=folder, check=True)
    return folder


@pytest.mark.parametrize("name", [name for name in STUDIES if name != "cifar100"])
def test_a_study_runs_as_it_is_written(extended, name):
    """Whether a reader who pastes diff and study gets the figure: nothing else runs them."""
    run = snakemake(extended, "--cores", "2", "--configfile", f"config/{name}.yaml")
    assert run.returncode == 0, run.stdout
    for figure, spec in STUDIES[name]["figures"].items():
        path = extended / f"results/{name}/figures/{figure}"
        assert path.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
        drawn = pd.read_csv(path.with_suffix(".csv"))
        drawn = drawn[~drawn["metric"].isin(BY_CHANCE)]
        wanted = [
            (panel.get("kind", spec.get("kind", "curves")), panel.get("metric", "eigenvalues"))
            for panel in spec["panels"]
        ]
        assert list(drawn[["kind", "metric"]].drop_duplicates().itertuples(index=False, name=None)) == wanted


def test_a_study_on_cifar_is_planned(extended):
    load_study(STUDIES["cifar100"])
    jobs = planned(extended, "--configfile", "config/cifar100.yaml")
    assert jobs["dataset"] == 1 and jobs["train"] == jobs["ntk"] == 2


def test_mnist_becomes_a_folder_of_its_images(extended):
    read = list(folder_samples(extended / "data/mnist", image_size=28, classes=10))
    assert len(read) == 30
    for part in ("train", "test"):
        order = np.argsort(MNIST[f"y_{part}"], kind="stable")
        assert [int(name) for of, name, _ in read if of == part] == MNIST[f"y_{part}"][order].tolist()
        images = np.stack([image for of, _, image in read if of == part])
        assert (images == MNIST[f"x_{part}"][order][..., None]).all()


def test_what_was_added_is_described_by_make_schema(extended):
    for module, words in (("study.schema", "new_classes"), ("study.handbook", "`participation_ratio`")):
        run = subprocess.run(
            [sys.executable, "-m", f"reactivation.{module}"],
            cwd=Path(extended, "workflow/scripts"),
            capture_output=True,
            text=True,
            check=True,
        )
        assert words in run.stdout


def test_an_added_network_has_the_sizes_that_torch_counts(extended):
    code = (
        "import torch; from reactivation.planning import network_sizes; from reactivation.training import networks\n"
        "keys = {'name': 'linear', 'width': 5, 'parametrization': 'pytorch', 'depth': 3}\n"
        "built = networks.build(keys, 8, 7)\n"
        "print(network_sizes.network(keys, 8, 7).bytes - sum(4 * p.numel() for p in built.parameters()))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=Path(extended, "workflow/scripts"), capture_output=True)
    assert run.stdout == b"0\n", run.stderr


def test_an_added_operation_is_right_and_a_wrong_one_is_refused_as_the_page_says(extended):
    """Whether the page's operation, which this repository does not have, passes the page's own tests."""
    paths = f"pythonpath={extended / 'workflow/scripts'} {REPOSITORY / 'tests/support'}"
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", paths, "tests/ntk/operations"]
    run = subprocess.run(command, cwd=extended, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout
    (message,) = blocks("text", SECTIONS["An operation of the kernel"])
    assert message.split() == f"ValueError: {UNPROVED.format(layer='0', error=3)}".split()

"""What people publish of a study names neither the machine that made it, nor its user or their folders."""

import base64
import os
import re
import subprocess
import zipfile
import zlib
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

import elsewhere
from convergence import PANEL
from helpers import call, changed, copy_repository
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

SECRETS = (b"secrethost", b"secretuser")


def on_a_machine_called_secrethost(folder, *arguments, config):
    """`snakemake <arguments>` in `folder`."""
    called = call(folder, *arguments, config=config)
    if os.geteuid() or subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode:
        pytest.skip("another host name needs root")
    called["args"] = ["unshare", "--uts", "sh", "-c", 'hostname secrethost && exec "$@"', "sh", *called["args"]]
    run = subprocess.run(**called, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)
    assert run.returncode == 0, run.stdout


def images(folder):
    for part, number in (("train", 12), ("test", 4)):
        for name in "abcd":
            (folder / part / name).mkdir(parents=True)
            for i in range(number):
                Image.new("RGB", (8, 8), (9 * i, 50, ord(name))).save(folder / part / name / f"{i}.png")


def study(folder):
    """A study that names absolute folders wherever a study can."""
    others = {"others": {"path": str(folder / "numbers.csv"), "value": "trace"}}
    folders = changed()["experiments"]["widths"] | {"dataset": "mine", "grid": {"width": [2]}}
    return changed(
        ("seeds", [0]),
        ("data_root", str(folder)),
        ("datasets.mine", {"source": "image_folder", "root": str(folder / "images"), "image_size": 8, "classes": 4}),
        ("datasets.cifar", {"source": "torchvision", "name": "CIFAR10", "root": str(folder)}),
        ("experiments.widths.grid.width", [2]),
        ("experiments.folders", folders),
        ("experiments.below", {"kernels": {"path": "mine.h5"}}),
        ("experiments.absolute", {"kernels": {"path": str(folder / "mine.h5")}}),
        ("figures.fig4.panels", [{"metric": "spectral_norm"}, PANEL]),
        ("figures.fig4.experiment", "folders"),
        ("figures.fig4.color", ...),
        ("figures.fig5", {"panels": [{"metric": "trace", "experiment": of} | others for of in ("below", "absolute")]}),
    )


def contents(path):
    """The bytes of a file, and what is packed in it."""
    whole = path.read_bytes()
    yield whole
    if path.suffix == ".pdf":
        for packed in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", whole, re.DOTALL):
            yield zlib.decompressobj().decompress(packed) if packed[:1] == b"x" else packed
    if path.suffix == ".png":
        with Image.open(path) as image:
            yield repr(image.info).encode()
    if path.suffix in (".pt", ".npz"):
        with zipfile.ZipFile(path) as archive:
            yield from (part.encode() + archive.read(part) for part in archive.namelist())
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            found = [repr(dict(file.attrs))]
            file.visititems(lambda name, item: found.append(name + repr(dict(item.attrs))))
            yield "".join(found).encode()
    if path.suffix == ".html":
        yield from (base64.b64decode(text) for text in re.findall(rb"base64,((?:[A-Za-z0-9+/]{4})+)", whole))


def test_nothing_that_is_published_names_the_machine_its_user_or_their_folders(tmp_path):
    """Only a whole study has every file that is published, the report among them."""
    data, folder = tmp_path / "secretuser/data", copy_repository(tmp_path / "secretuser/clone")
    images(data / "images")
    elsewhere.write(data / "mine.h5", epoch=np.arange(5))
    (data / "numbers.csv").write_text("epoch,trace\n1,5e2\n")
    config = study(data)
    on_a_machine_called_secrethost(folder, "--cores", "2", config=config)
    on_a_machine_called_secrethost(folder, "--report", "results/tiny/report.html", config=config)
    results = folder / "results"
    files = [path for path in results.rglob("*") if path.is_file() and path.relative_to(results).parts[0] != "logs"]
    published = [path for path in files if path.relative_to(results).parts[0] != ".state"]
    kinds = {".h5", ".npz", ".pt", ".csv", ".json", ".png", ".pdf", ".html", ".md", ".yaml"}
    assert {path.suffix for path in published} >= kinds
    naming = {
        str(path.relative_to(results)) for path in published for c in contents(path) if any(s in c for s in SECRETS)
    }
    assert naming == {"tiny/config.yaml"}  # which else would not be that study: its image folder, its kernels
    text = (results / "tiny/config.yaml").read_text()
    assert re.findall("^.*secret.*$", text, re.MULTILINE) == [
        f"    root: {data}/images",
        f"      path: {data}/mine.h5",
    ]
    again = yaml.safe_load(text) | {"data_root": str(data)}
    assert make_plan(load_study(again)) == make_plan(load_study(config))
    listed = pd.read_csv(results / "tiny/files.csv").set_index("experiment")["kernels"]
    assert set(listed["below"]) == set(listed["absolute"]) == {"mine.h5"} and Path(listed["widths"].iloc[0]).parts[0]

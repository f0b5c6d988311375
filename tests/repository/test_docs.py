"""The code, files and keys that documents name exist."""

import ast
import re
import subprocess
import sys
import tomllib
from typing import get_args

import pytest
import yaml

from helpers import REPOSITORY
from reactivation.catalogue import PANEL_METRICS
from reactivation.storage.headers import BESIDE_AXES, CLAIMS
from reactivation.study.schema import Study
from reactivation.study.schema_datasets import Dataset
from reactivation.study.schema_experiments import SECTIONS, Checkpoints, Experiment, Metrics, Probe
from reactivation.study.schema_figures import Curves

DOCUMENTS = [
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    *(f"{folder}/README.md" for folder in ("benchmarks", "config", "envs")),
    *(f"docs/{p.name}" for p in (REPOSITORY / "docs").glob("*.md")),
]
METHOD = (REPOSITORY / "docs/method.md").read_text()


def test_the_readmes_kernel_is_a_function_of_any_network():
    (code,) = re.findall(
        r"^```python\n(from reactivation.*?)^```$", (REPOSITORY / "README.md").read_text(), re.M | re.S
    )
    before = (
        "import torch\nmodel = torch.nn.Sequential(torch.nn.Linear(3, 2))\nx, x2 = torch.rand(4, 3), torch.rand(5, 3)\n"
    )
    after = "assert before.layers['0']['trace'].shape == (4, 4) and between.shape == (4, 5)\n"
    subprocess.run([sys.executable, "-c", before + code + after], cwd=REPOSITORY / "workflow/scripts", check=True)


def anchors(path):
    """Anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", h)).lower().replace(" ", "-") for h in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    path = REPOSITORY / document
    text = re.sub(r"^```.*?^```$", "", path.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not re.match(r"https?://", target):
            name, _, anchor = target.partition("#")
            file = path.parent / name if name else path
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def defined(path):
    """Names of functions and classes at the top of a module."""
    tree = ast.parse(path.read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}


def test_functions_and_tests_that_the_method_names_exist():
    named = re.findall(r"\[`(\w+)\.(?!py`)(\w+)`\]\(([^)]+\.py)\)", METHOD)
    assert len(named) > 80
    for module, name, link in named:
        path = REPOSITORY / "docs" / link
        assert path.stem == module and name in defined(path), f"{module}.{name}"


def test_every_metric_is_in_the_method():
    named = set(re.findall(r"`(\w+)`", METHOD))
    assert {"eigenvalues", *PANEL_METRICS} <= named


def test_every_column_is_in_the_data_format():
    text = (REPOSITORY / "docs/data-format.md").read_text()
    assert all(f"`{column}`" in text for column in BESIDE_AXES | {*CLAIMS})


PLACES = {
    "": (Study, Experiment),
    "datasets.<name>.": get_args(get_args(Dataset)[0]),
    **{f"{name}.": forms for name, forms in SECTIONS.items()},
    "checkpoints.": (Checkpoints,),
    "probe.": (Probe,),
    "metrics.": (Metrics,),
    "panels'": (Curves,),
}


def test_keys_and_defaults_of_open_points_are_those_of_the_schema():
    table = METHOD.split("## What the paper leaves open")[1]
    rows = [[cell.strip() for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| .*$", table, re.M)[2:]]
    assert len(rows) > 15
    for _, keys, default, *_ in rows:
        said = re.findall(r"`(.*?)`", default)
        for i, name in enumerate(re.findall(r"`([\w.<>]+)`", keys)):
            key = name.split(".")[-1]
            place = "panels'" if "panels'" in keys else name.removesuffix(key)
            fields = [form.model_fields[key] for form in PLACES[place] if key in form.model_fields]
            assert fields, key
            optional = [field for field in fields if not field.is_required()]
            if default == "required":
                assert len(optional) < len(fields), key
            elif optional[0].default is not None:
                assert yaml.safe_load(said[i]) == optional[0].default, key


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((REPOSITORY / "CITATION.cff").read_text())
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {"cff-version", "message", "title", "authors"} <= citation.keys() and citation["cff-version"] == "1.2.0"
    assert citation["type"] == "software"
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    paper = citation["preferred-citation"]
    assert {"type", "title", "authors", "year"} <= paper.keys()
    for author in citation["authors"] + paper["authors"]:
        assert author.keys() in ({"name"}, {"family-names", "given-names"})


def test_the_changelog_says_of_each_change_whether_numbers_change():
    text = (REPOSITORY / "CHANGELOG.md").read_text()
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert re.search(rf"^## \[?{re.escape(version)}\]?", text, re.M)
    entries = re.findall(r"^\* .*?(?=^\* |^#|\Z)", text, re.M | re.S)
    assert entries and all(
        re.search(r"Numbers: (unchanged|change in .* because|new)", " ".join(entry.split())) for entry in entries
    )

"""One version of each dependency, wherever it is named."""

import re
import tomllib

import pytest
import yaml
from helpers import REPOSITORY

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib"}


def pins(requirements):
    return dict(re.fullmatch(r"([A-Za-z0-9_.-]+)==([0-9a-z.]+)", line).groups() for line in requirements)


RUNTIME = pins(PROJECT["project"]["dependencies"])


@pytest.mark.parametrize(
    "lock, wanted",
    [
        ("requirements.lock", PROJECT["project"]["dependencies"]),
        ("requirements-dev.lock", PROJECT["dependency-groups"]["dev"]),
        ("benchmarks/requirements.lock", PROJECT["dependency-groups"]["benchmarks"]),
    ],
)
def test_locks_pin_everything_and_agree_with_the_project(lock, wanted):
    locked = {name.lower(): version for name, version in pins((REPOSITORY / lock).read_text().split()).items()}
    assert pins(wanted).items() <= locked.items()
    assert len(locked) > len(wanted)


@pytest.mark.parametrize("path", sorted((REPOSITORY / "envs").glob("*.yaml")), ids=lambda path: path.name)
def test_conda_environments_agree_with_the_project(path):
    dependencies = yaml.safe_load(path.read_text())["dependencies"]
    versions = dict(entry.split("=") for entry in dependencies)
    assert versions.pop("python") == "3.11"
    assert {CONDA_NAMES.get(name, name): version for name, version in versions.items()}.items() <= RUNTIME.items()

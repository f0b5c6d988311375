"""One version of each dependency, wherever it is named; environments name what their scripts import, and no more."""

import ast
import re
import sys
import tomllib

import pytest
import yaml

from helpers import ENVIRONMENTS, REPOSITORY
from reactivation.jobs.fingerprint import SCRIPTS, fingerprint

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
CONDA_NAMES = {"pytorch": "torch", "matplotlib-base": "matplotlib", "snakemake-minimal": "snakemake"}
IMPORT_NAMES = {"pillow": "PIL", "pyyaml": "yaml"}
# Imported in functions of shared modules that only other scripts call.
UNREACHED = {
    "data": {"filelock", "torch", "torchvision"},
    "torchvision": set(),
    "torch": set(),
    "analysis": {"filelock"},
    "report": {"h5py"},
    "snakemake": {"filelock", "torch"},
}
# Imported no more. Conda would take the file without it for another environment, and make all that it made stale.
KEPT = {"torch": {"PIL"}}


def pins(requirements):
    return dict(re.fullmatch(r"([A-Za-z0-9_.-]+)==([0-9a-z.]+)", line).groups() for line in requirements)


RUNTIME = pins(PROJECT["project"]["dependencies"])


def environment(name):
    """Versions that envs/<name>.yaml names, by PyPI's names."""
    dependencies = yaml.safe_load((REPOSITORY / f"envs/{name}.yaml").read_text())["dependencies"]
    versions = dict(entry.split("=") for entry in dependencies)
    assert versions.pop("python") == "3.11"
    return {CONDA_NAMES.get(name, name): version for name, version in versions.items()}


def imported(files):
    """Third-party packages that these files, or what they import, import at once, and only in functions."""
    at_once, later = set(), set()
    modules = {entry.split(":")[0] for file in files for entry in fingerprint(file)}
    for tree in (ast.parse((SCRIPTS / module).read_text()) for module in modules):
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = {node.module.split(".")[0]}
            else:
                continue
            (at_once if node in tree.body else later).update(names - sys.stdlib_module_names - {"reactivation"})
    return at_once, later - at_once


def planning():
    """Files of the library that the Snakefile and rule files import."""
    files = [REPOSITORY / "Snakefile", *(REPOSITORY / "workflow/rules").glob("*.smk")]
    rules = "".join(path.read_text() for path in files)
    modules = re.findall(r"from reactivation\.([\w.]+) import", rules)
    for room, names in re.findall(r"from reactivation\.(\w+) import ([\w, ]+)", rules):
        modules += [f"{room}.{name}" for name in re.findall(r"\w+", names)]
    files = [f"reactivation/{module.replace('.', '/')}.py" for module in modules]
    return [file for file in files if (SCRIPTS / file).is_file()]


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


@pytest.mark.parametrize("name", sorted(path.stem for path in (REPOSITORY / "envs").glob("*.yaml")))
def test_environments_agree_with_the_project_and_list_exactly_what_is_imported(name):
    versions = environment(name)
    assert versions.items() <= RUNTIME.items()
    files = [f"{script}.py" for script in ENVIRONMENTS[name]] if name in ENVIRONMENTS else planning()
    at_once, later = imported(files)
    assert UNREACHED[name] <= later
    if name == "snakemake":
        del versions["pygments"]  # Snakemake itself imports it, for --report
    listed = {IMPORT_NAMES.get(package, package) for package in versions if not package.startswith("snakemake")}
    assert listed == at_once | later - UNREACHED[name] | KEPT.get(name, set())

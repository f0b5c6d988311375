"""One way to lint and one version of each tool, whether by hand, before a commit or in continuous integration."""

import re
import subprocess
import tomllib

import pytest
import yaml

from helpers import REPOSITORY

TOOLS = ("ruff check", "ruff format --check", "snakefmt --check", "mypy", "lint-imports", "snakemake --lint")


def read(path):
    return (REPOSITORY / path).read_text()


def commands(*targets):
    """What make would run, if everything were installed."""
    installed = ["-o", ".venv/runtime", "-o", ".venv/development"]
    run = subprocess.run(
        ["make", "-n", *installed, *targets], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return run.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_lint_runs_every_tool_of_the_environment(tool):
    assert f".venv/bin/{tool}" in commands("lint")


def test_continuous_integration_lints_and_tests_with_the_python_that_is_needed():
    targets = re.search(r"^make (.*)$", read(".ci/run"), re.M).group(1).split()
    assert set(TOOLS) | {"pytest"} == {tool for tool in (*TOOLS, "pytest") if tool in commands(*targets)}
    (job,) = yaml.safe_load(read(".github/workflows/ci.yaml"))["jobs"].values()
    assert any(".ci/run" in step.get("run", "") for step in job["steps"])
    (python,) = [step["with"]["python-version"] for step in job["steps"] if "setup-python" in step.get("uses", "")]
    assert tomllib.loads(read("pyproject.toml"))["project"]["requires-python"].startswith(f">={python},")
    actions = [step["uses"] for step in job["steps"] if "uses" in step]
    assert actions and all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in actions)


def test_a_commit_is_checked_by_the_same_tools():
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    (hook,) = repository["hooks"]
    assert repository["repo"] == "local" and hook["language"] == "system" and hook["entry"] == "make --silent check"


def test_the_catalog_finds_what_a_workflow_of_standard_usage_has():
    usage = yaml.safe_load(read(".snakemake-workflow-catalog.yml"))["usage"]
    assert usage["software-stack-deployment"] == {"conda": True}
    assert read("config/README.md").startswith("<!-- Written by `make schema`")

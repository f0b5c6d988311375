"""Rules say literally where results are; the library says it once."""

import re
from pathlib import Path

import pytest

from helpers import REPOSITORY
from reactivation.jobs.workplace import ROOT
from reactivation.planning import paths
from reactivation.study.reserved import FOLDERS, RULES, TARGETS, TOOLS
from reactivation.training.train_job import OUTPUTS

TEMPLATES = {name: value for name, value in vars(paths).items() if name.isupper() and isinstance(value, str)}
RULE_FILES = sorted((REPOSITORY / "workflow/rules").glob("*.smk"))


def outputs():
    """The paths under `output:` of all rules, with their wildcards in single braces."""
    found = {}
    for file in RULE_FILES:
        constants = dict(re.findall(r'^(\w+) = (?:directory\()?"(results/[^"]+)"', file.read_text(), re.M))
        for name, body in re.findall(r"^rule (\w+):\n(.*?)(?=^rule |\Z)", file.read_text(), re.M | re.S):
            block = re.search(r"^    output:\n(.*?)(?=^    \w+:|\Z)", body, re.M | re.S)
            text = block[1] if block else ""
            literal = re.findall(r'"(results/[^"]+)"', text)
            literal += [path for constant, path in constants.items() if re.search(rf"\b{constant}\b", text)]
            found[name] = {
                re.sub(r"\{(\{\w+\})\}", r"\1", path).replace("{STUDY.study}", "{study}") for path in literal
            }
    return found


def test_each_output_of_a_rule_is_a_path_of_the_library_and_the_other_way_round():
    named = {path for rule in outputs().values() for path in rule}
    assert named == set(TEMPLATES.values()) - {paths.SEGMENT}
    assert len(TEMPLATES) == len(set(TEMPLATES.values()))


def test_reserved_names_are_those_of_rules_and_folders():
    rules = {name for file in RULE_FILES for name in re.findall(r"^rule (\w+):", file.read_text(), re.M)}
    assert rules == {*RULES, *TOOLS} and set(TARGETS) == rules | {"all", "figures"}
    shared = {Path(path).parts[1] for path in TEMPLATES.values() if not path.startswith("results/{study}/")}
    assert shared | {"logs"} == set(FOLDERS)
    assert ROOT.parts[0] == "results" and ROOT.name.startswith(".")


def test_a_training_has_the_files_that_its_job_publishes():
    of_segment = (paths.CHECKPOINTS, paths.FINAL, paths.TRAINING, paths.EVALUATION, paths.RECORD)
    assert [Path(path).name for path in of_segment] == list(OUTPUTS.values())


@pytest.mark.parametrize("name", ["train", "ntk", "metrics", "figure"])
def test_the_files_that_matter_are_among_them(name):
    """Otherwise the pattern above finds nothing and compares nothing."""
    assert outputs()[name]

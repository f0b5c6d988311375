"""Whether a result was made by the code, config and versions of now."""

import json
from importlib import metadata

import pytest

from helpers import REPOSITORY
from reactivation.jobs.bound import identity
from reactivation.jobs.provenance import public
from reactivation.planning.binding import binding, expected_versions
from reactivation.storage.receipts import receipt_path

RESULT = "results/segments/a/ntk-0123456789.h5"
OLD, NOW = {"torch": "2.12.1"}, {"torch": "2.13.0"}
PARAMS = {"code": ["a.py:1"], "spec": {"x": 1.5}, "binding": "anything"}
SAME = identity(PARAMS)


@pytest.fixture
def made(tmp_path, monkeypatch):
    """made(…) writes the receipt of RESULT."""
    monkeypatch.chdir(tmp_path)

    def write(versions, expected=None, **of):
        path = receipt_path(RESULT)
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {"versions": versions, "expected": expected or versions, "binding": "as before"}
        path.write_text(json.dumps({"bytes": 1, "sha256": "", **SAME, **about, **of}))

    return write


def now(identity=SAME, warn=False, call="noon"):
    return binding(RESULT, identity, NOW, warn, call)


def test_code_and_config_are_told_apart_whatever_the_order_of_keys():
    assert identity({"spec": {"x": 1.5}, "code": ["a.py:1"], "binding": ""}) == SAME
    code, config = ({**PARAMS, key: value} for key, value in (("code", ["a.py:2"]), ("spec", {"x": 1})))
    assert [identity(code)[key] == SAME[key] for key in ("code", "config")] == [False, True]
    assert [identity(config)[key] == SAME[key] for key in ("code", "config")] == [True, False]


def test_what_was_made_as_now_has_the_param_with_which_it_was_made(made):
    assert now() == ""  # nothing was made
    made({"torch": "2.13.0+cpu"})
    assert now() == now(call="one o'clock") == "as before"


def test_what_was_made_otherwise_has_a_new_param_in_each_call(made):
    """So that a job that failed, whose params Snakemake records too, runs again."""
    made(NOW, code="another")
    assert now() == "it was made by other code (noon)"
    assert now(call="one o'clock") == "it was made by other code (one o'clock)"
    made(OLD, config="another")
    assert now() == "it was made by other config, torch 2.12.1, now torch 2.13.0 (noon)"


def test_versions_may_only_be_named(made):
    made(OLD)
    assert now() == "it was made by torch 2.12.1, now torch 2.13.0 (noon)"
    assert now(warn=True) == "as before"


def test_a_job_that_had_other_versions_than_were_expected_is_not_made_again_for_ever(made):
    made(OLD, expected=NOW)
    assert now() == "as before"


def test_versions_are_those_of_this_python_or_those_that_conda_installs():
    here = {package: public(metadata.version(package)) for package in ("torch", "numpy", "h5py")}
    assert expected_versions(REPOSITORY / "envs/torch.yaml", conda=False) == here
    assert expected_versions(REPOSITORY / "envs/torch.yaml", conda=True) == here  # both are pinned to the same
    assert expected_versions(REPOSITORY / "envs/report.yaml", conda=True).keys() == {"numpy"}

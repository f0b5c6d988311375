"""Where a result comes from, and what is not said of it."""

import platform
import time

import pytest

from helpers import changed
from reactivation.jobs.provenance import git_commit, host, provenance, without_folders
from reactivation.study.load import ConfigError, load_study

SPEC = {
    "dataset": {"source": "image_folder", "root": "/home/secretuser/imagenet"},
    "of": [{"kernels": {"path": "~secretuser/{seed}.h5"}}, {"root": "images/mine"}],
    "title": "/not a path",
    "seed": 0,
}


def test_neither_the_machine_nor_its_folders_are_named(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "secrethost")
    found = provenance(SPEC, ["a:0"], time.time(), ("numpy",))
    assert "secret" not in str(found) and "host" not in found
    assert without_folders(SPEC) == {
        "dataset": {"source": "image_folder", "root": "imagenet"},
        "of": [{"kernels": {"path": "{seed}.h5"}}, {"root": "images/mine"}],
        "title": "/not a path",
        "seed": 0,
    }


def test_a_machine_is_named_if_the_study_asks(monkeypatch):
    monkeypatch.setattr(platform, "node", lambda: "secrethost")
    assert host({"device": "cpu"}) == host({"record_host": False}) == {}
    assert host({"record_host": True}) == {"host": "secrethost"}


@pytest.mark.parametrize("text, wanted", [(True, True), ("true", True), ("False", False)])
def test_it_may_be_asked_for_on_the_command_line(text, wanted):
    """Snakemake leaves `--config record_host=true` as text."""
    assert load_study(changed(("record_host", text))).record_host is wanted
    with pytest.raises(ConfigError, match="record_host: Input should be a valid boolean"):
        load_study(changed(("record_host", "yes please")))


def test_a_job_has_the_commit_of_its_call(monkeypatch):
    """Another may be checked out while it waits or works."""
    monkeypatch.setenv("REACTIVATION_COMMIT", "0123")
    assert git_commit() == "0123"

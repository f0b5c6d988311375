"""Times of files that a killed call had touched come back; those of results made again since do not change."""

import os
from pathlib import Path

import pytest

from plans import fill
from reactivation.planning.accept import finish
from reactivation.storage.accepted import ACCEPTED, history, keep
from reactivation.storage.receipts import write_receipt

NAMES = [f"segments/a-0123456789/{name}" for name in ("segment.json", "final.pt", "checkpoints/.snakemake_timestamp")]
KERNELS = "results/segments/a-0123456789/ntk-0123456789.h5"


@pytest.fixture
def touched(tmp_path, monkeypatch):
    """Results, two jobs', that a call had touched when it was killed; their times from before."""
    monkeypatch.chdir(tmp_path)
    fill(Path("results"), [*NAMES, KERNELS.removeprefix("results/")])
    paths = [*(f"results/{name}" for name in NAMES), KERNELS]
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    for path in (paths[0], KERNELS):
        write_receipt(path, {"versions": {}})
    before = {path: Path(path).stat().st_mtime_ns for path in paths}
    keep([{"when": "now", "pending": before | {"results/gone.csv": 3}}])
    for path in paths:
        os.utime(path)
    return before


def times(paths):
    return {path: Path(path).stat().st_mtime_ns for path in paths}


def test_times_come_back(touched):
    before = {path: time for path, time in touched.items() if path != "results/gone.csv"}
    assert times(before) != before
    finish()
    assert times(before) == before and history() == [{"when": "now", "interrupted": True}]


def test_what_was_made_again_keeps_its_time(touched):
    write_receipt(KERNELS, {"versions": {}})
    now = times([KERNELS])
    finish()
    assert times([KERNELS]) == now and times(["results/" + NAMES[1]]) == {"results/" + NAMES[1]: 10**18}


def test_not_while_another_call_is_at_work(touched):
    fill(Path(), [".snakemake/locks/0.output.lock"])
    finish()
    assert "pending" in history()[0]


def test_an_empty_history_has_no_file(touched):
    keep([])
    assert not ACCEPTED.exists() and history() == []
    finish()

"""Disks that cannot be written, and limits on what may be, in the real workflow; full disks are in test_faults.py."""

import contextlib
import subprocess

import pytest

import faults
from helpers import call, changed, copy_repository
from reactivation.planning.plan import make_plan
from reactivation.study.load import load_study

# Its data set and its weights take more bytes than the limit of the test, Snakemake's own files take less.
CONFIG = changed(
    ("seeds", [0]),
    ("experiments.widths.grid.width", [48]),
    ("experiments.widths.training.epochs", 1),
    ("datasets.glyphs.image_size", 16),
    ("datasets.glyphs.train_per_class", 100),
)
LIMIT = 40  # kB


def snakemake(folder, *arguments, limit="unlimited"):
    """`snakemake <arguments>` under a limit on the size of files: in a shell of its own, as nothing raises it again."""
    called = call(folder, *arguments, config=CONFIG)
    called["args"] = ["bash", "-c", f'ulimit -f {limit} && exec "$@"', "bash", *called["args"]]
    return subprocess.run(**called, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600)


def test_what_cannot_be_written_is_one_line_each_and_then_goes_on(tmp_path):
    """Snakemake makes folders itself, and jobs end in many ways: only the real workflow shows what a user sees."""
    folder, plan = copy_repository(tmp_path / "clone"), make_plan(load_study(CONFIG))
    (dataset,), first = plan.datasets, next(iter(plan.segments))
    results = folder / "results"
    targets = [f"results/data/{dataset}.h5"], [f"results/segments/{first}/final.pt"]
    with faults.small_disk(folder, 64) as mounted:
        if not mounted:
            pytest.skip("mounting a small file system needs root")

        def remount(options):
            subprocess.run(["mount", "-o", f"remount,{options}", str(results)], check=True)

        remount("ro")
        said = snakemake(folder, "--cores", "1")
        assert said.returncode != 0 and "Traceback" not in said.stdout
        assert "results cannot be written, as its file system is read-only: make it writable and run" in said.stdout
        remount("rw,nr_inodes=50")
        with contextlib.suppress(OSError):
            for i in range(50):
                (results / f"ballast{i}").touch()
        said = snakemake(folder, "--cores", "1")
        assert said.returncode != 0 and "Traceback" not in said.stdout
        assert "no inode is free for results: its disk has room, but already holds as many files" in said.stdout
        for ballast in results.glob("ballast*"):
            ballast.unlink()
        remount("nr_inodes=5000")
        for of_stage in targets:
            said = snakemake(folder, "--cores", "1", *of_stage, limit=LIMIT)
            assert said.returncode != 0 and "Traceback" not in said.stdout
            words = "would be larger than a file may be, by `ulimit -f` or on its file system: raise that limit and run"
            (line,) = {line.strip() for line in said.stdout.splitlines() if "error:" in line}
            assert line.startswith("error: results/") and words in line
            assert not list(results.rglob(".partial-*"))
            assert snakemake(folder, "--cores", "1", *of_stage).returncode == 0

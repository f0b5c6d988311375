"""A job's own folder, which survives a kill: Snakemake deletes a killed job's outputs, but does not look here.

It lies below results/.state/ and is named by everything that its result depends on: code, versions, config and inputs.
A job that is started again finds there what the killed one left, and nothing that other code or another config made.

The folder is removed by a job that needs the result, and that Snakemake starts only once it has recorded the result.
The job of a training's kernels does not remove it: on a cluster, both run before Snakemake hears of either.
"""

import contextlib
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path("results/.state")


@contextlib.contextmanager
def workplace(segment: str, kind: str, **identity: Any) -> Iterator[Path]:
    """The folder of a job's work on `segment`. Waits for an earlier job that outlived its Snakemake and works there."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
    folder = ROOT / segment / f"{kind}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        yield folder


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # imported here: the environment of metrics has no filelock

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for an earlier job, whose Snakemake was killed, to finish the same work", flush=True)
        lock.acquire()
    except NotImplementedError:  # a file system without locks; files are whole nevertheless
        print("this file system has no locks: make sure that no earlier job is still at work", flush=True)
    try:
        yield
    finally:
        lock.release()


def forget(segment: str, kind: str) -> None:
    """Remove what jobs of `kind` have saved for `segment`, whatever their code: the result is complete."""
    for folder in (ROOT / segment).glob(f"{kind}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty, or not there
        (ROOT / segment).rmdir()

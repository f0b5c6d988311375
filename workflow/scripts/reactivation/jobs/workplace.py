"""A job's own folder, where Snakemake, which deletes the outputs of a killed job, does not look.

It lies below results/.state/ and is named by everything that its result depends on: code, versions, config
and inputs. A job that is started again finds there what the killed one left, and nothing that another code or
config made. The folder goes when a job starts that needs the result and that Snakemake only starts once it has taken note of
it: not the kernels of a training, which a cluster's job computes before Snakemake hears of either.
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
    """The folder of one job's work on `segment`; waits for a job whose Snakemake was killed and which goes on with it."""
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:10]
    folder = ROOT / segment / f"{kind}-{key}"
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        yield folder


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout  # here: the metrics' environment has none

    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print("waiting for an earlier job, whose Snakemake was killed, to finish the same work", flush=True)
        lock.acquire()
    except NotImplementedError:  # a file system without locks: what is written is whole all the same
        print("this file system has no locks: make sure that no earlier job is still at work", flush=True)
    try:
        yield
    finally:
        lock.release()


def forget(segment: str, kind: str) -> None:
    """Remove what jobs of `kind` have saved for `segment`, by whatever code: their result is complete."""
    for folder in (ROOT / segment).glob(f"{kind}-*"):
        shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # not empty, or not there
        (ROOT / segment).rmdir()

"""What a job has done so far, kept where Snakemake, which deletes the outputs of a killed job, does not look.

A job works in a folder of its own below results/.state/, named by all that its result depends on: code, versions, config
and what it reads. A job that is started again finds there what the killed one left, and nothing that another code or
config made. The folder goes when a job starts that needs the result and that Snakemake only starts once it has taken note of
it: not the kernels of a training, which a cluster's job computes before Snakemake hears of either.
"""

import contextlib
import hashlib
import json
import shutil
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from . import storage
from .errors import Interrupted

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


class Writer:
    """Calls functions one after another in a thread of its own: a computation goes on while its results are written.

    No more than `waiting` calls are put off. What one of them raises, a later use of the writer raises, or the end of its block,
    unless another error ends that.
    """

    def __init__(self, waiting: int = 2):
        self.thread, self.waiting = ThreadPoolExecutor(1), waiting
        self.calls: deque[Future] = deque()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.flush()
        finally:
            self.thread.shutdown(cancel_futures=True)

    def put(self, function: Callable, *arguments: Any) -> None:
        while self.calls and (len(self.calls) >= self.waiting or self.calls[0].done()):
            self.calls.popleft().result()
        self.calls.append(self.thread.submit(function, *arguments))

    def checkpoint(self, path: str | Path, model: Any, step: int, epoch: float) -> None:
        """Put off `storage.write_checkpoint` of the weights that `model` has now."""
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        self.put(storage.write_checkpoint, path, weights, step, epoch)

    def flush(self) -> None:
        """Wait for all calls."""
        while self.calls:
            self.calls.popleft().result()


class Saved:
    """The state of a long computation: saved `every` so many seconds, and at once when the job is asked to stop.

    That is by SIGTERM, which Slurm sends before it preempts, or by Ctrl-C; both only while this is entered.
    `found`: what an earlier job saved, if any. `started` (Unix time) and `sittings` count from the first of these jobs.
    `first` is called before each saving.
    """

    def __init__(self, path: Path, every: float, first: Callable[[], None] = lambda: None):
        self.path, self.every, self.first, self.stopping = path, every, first, 0
        self.found = storage.read_state(path) if path.exists() else None
        earlier = self.found.pop("work") if self.found else {"started": time.time(), "seconds": 0.0, "sittings": 0}
        self.started, self.spent, self.sittings = earlier["started"], earlier["seconds"], earlier["sittings"] + 1
        self.began = self.last = time.monotonic()

    def __enter__(self):
        wanted = [s for s in (signal.SIGTERM, signal.SIGINT) if signal.getsignal(s) is not signal.SIG_IGN]
        self.before = {number: signal.signal(number, self._stop) for number in wanted}
        return self

    def __exit__(self, *_):
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, _) -> None:
        self.stopping = number

    def seconds(self) -> float:
        """Of all these jobs together, but for what was lost."""
        return self.spent + time.monotonic() - self.began

    def due(self) -> bool:
        return bool(self.stopping) or time.monotonic() - self.last >= self.every

    def write(self, content: dict[str, Any]) -> None:
        """Save `content`; Interrupted if the job has been asked to stop."""
        self.first()
        work = {"started": self.started, "seconds": self.seconds(), "sittings": self.sittings}
        storage.write_tensors(self.path, content | {"work": work})
        self.last = time.monotonic()
        if self.stopping:
            raise Interrupted(self.stopping)

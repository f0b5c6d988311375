"""The saved state of a long computation, and a thread that writes while the computation goes on."""

import signal
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from reactivation.errors import Interrupted
from reactivation.storage.checkpoints import read_state, write_checkpoint, write_tensors
from reactivation.storage.receipts import Entry, described


class Writer:
    """A thread that calls functions one after another, so that a computation goes on while its results are written.

    At most `waiting` calls are queued. If one raises an error, a later use of the writer raises it, or else the end of
    its block, unless the block itself ends with an error.
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

    def checkpoint(self, path: str | Path, model: Any, step: int, epoch: float, files: dict[str, Entry]) -> None:
        """Queue `write_checkpoint` of the weights that `model` has now, and then its description in `files`."""
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}

        def write() -> None:
            write_checkpoint(path, weights, step, epoch)
            files[Path(path).name] = described(Path(path))

        self.put(write)

    def flush(self) -> None:
        """Wait for all queued calls."""
        while self.calls:
            self.calls.popleft().result()


class Saved:
    """The state of a long computation, saved every `every` seconds, and at once when the job is asked to stop.

    A job is asked by SIGTERM, which Slurm sends before it preempts, or by Ctrl-C; both are caught only in the `with`
    block. `found`: what an earlier job saved, if any. `started` (Unix time) and `sittings` (the number of jobs) count
    from the first of these jobs. `files`: what these jobs have written besides, with size and digest. `first` is called
    before each saving.
    """

    def __init__(self, path: Path, every: float, first: Callable[[], None] = lambda: None):
        self.path, self.every, self.first, self.stopping = path, every, first, 0
        self.found = read_state(path) if path.exists() else None
        new: dict[str, Any] = {"started": time.time(), "seconds": 0.0, "sittings": 0, "files": {}}
        earlier = self.found.pop("work") if self.found else new
        self.started, self.spent, self.sittings = earlier["started"], earlier["seconds"], earlier["sittings"] + 1
        self.files: dict[str, Entry] = earlier["files"]
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

    def discard(self) -> None:
        """Forget what an earlier job saved, but not the time that it took."""
        self.found, self.files = None, {}
        self.path.unlink(missing_ok=True)

    def seconds(self) -> float:
        """Seconds of work in all these jobs together, without what was lost."""
        return self.spent + time.monotonic() - self.began

    def due(self) -> bool:
        return bool(self.stopping) or time.monotonic() - self.last >= self.every

    def write(self, content: dict[str, Any]) -> None:
        """Save `content`. Raises Interrupted if the job has been asked to stop."""
        self.first()
        work = {"started": self.started, "seconds": self.seconds(), "sittings": self.sittings, "files": self.files}
        write_tensors(self.path, content | {"work": work})
        self.last = time.monotonic()
        if self.stopping:
            raise Interrupted(self.stopping)

"""Errors that a user can mend, each in one line, and the end of a job that was asked to stop."""

import errno
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

# What the system's errors mean for a file that is as it should be, by their names in `errno`. Not all systems have all.
MEANINGS = {
    ("ENOSPC",): "no room for {it} on its disk: make room and run again, to go on from here",
    ("EDQUOT",): "no room for {it}: the quota of this user or group is used up. Make room and run again, to go on from "
    "here",
    ("EFBIG",): "{it} would be larger than a file may be, by `ulimit -f` or on its file system: raise that limit and "
    "run again, to go on from here",
    ("EROFS",): "{it} cannot be {done}, as its file system is read-only: make it writable and run again, to go on from "
    "here",
    ("EACCES", "EPERM"): "{it} cannot be {done} by this user: change the permissions of the file, or of its folder, "
    "and run again",
    ("EAGAIN", "EDEADLK"): "{it} is locked by another program that has it open: close it there and run again",
    ("ENOLCK",): "{it} cannot be locked, as its file system grants no locks now: run again later, or with the "
    "environment variable HDF5_USE_FILE_LOCKING=FALSE",
    (
        "ESTALE",
    ): "{it} cannot be {done}, as it was replaced on its file server meanwhile (stale file handle): run again",
    (
        "EIO",
        "EREMOTEIO",
        "ENXIO",
        "ENODEV",
        "ETIMEDOUT",
        "ENOTCONN",
        "EHOSTDOWN",
    ): "{it} cannot be {done}, as its disk, or the network to it, fails ({said}): check these and run again",
    ("EMFILE", "ENFILE"): "{it} cannot be {done}, as too many files are open: raise `ulimit -n`, or run fewer jobs at "
    "a time",
    ("ENAMETOOLONG",): "{it} cannot be {done}, as its file system allows only shorter names or paths: choose shorter "
    "names in the study, or another folder",
}
MEANING_OF = {
    getattr(errno, name): meaning for names, meaning in MEANINGS.items() for name in names if hasattr(errno, name)
}
NO_INODES = (
    "no inode is free for {it}: its disk has room, but already holds as many files as it can. Delete files there and "
    "run again, to go on from here"
)
BY_NUMBER = re.compile(r"(?:errno = |\[Errno )(\d+)")


class InputError(Exception):
    """An error that the user can mend. Its one line names the key or file, what is wrong and what to do."""


class Interrupted(Exception):
    """A signal asked the job to stop, and the job has saved its state."""

    def __init__(self, number: int):
        super().__init__(
            f"stopped by {signal.Signals(number).name}; what was done is saved: run again to go on from here"
        )
        self.status = 128 + number


def one_line(error: BaseException) -> str:
    """The message of `error` on one line, or the name of its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def system_number(error: BaseException | None) -> int | None:
    """The number of the system's error that `error`, or one behind it, passes on; None if MEANINGS has none of them.

    HDF5 and torch pass on only the text of the system's error.
    """
    return next((number for part in _chain(error) for number in _numbers(part) if number in MEANING_OF), None)


def trouble(error: BaseException, path: str | Path | None, done: str) -> str | None:
    """One line that says why a file, though not damaged, cannot be `done` (read, written), and what to do.

    None if `error` is of another kind. `path` is the file, or None if only `error` may know it.
    """
    number = system_number(error)
    if number is None or (path is None and number == errno.EAGAIN and "lock" not in str(error)):  # no more processes
        return None
    named = path if path is not None else next((of for part in _chain(error) if (of := _file(part))), None)
    meaning = NO_INODES if number == errno.ENOSPC and _no_inodes(named or "results") else MEANING_OF[number]
    line = meaning.format(it="a file of this job" if named is None else named, done=done, said=os.strerror(number))
    return line if named is not None else f"{line} ({one_line(error)})"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and those behind it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _numbers(error: BaseException) -> Iterator[int]:
    if not isinstance(error, OSError | RuntimeError):
        return
    if isinstance(number := getattr(error, "errno", None), int):
        yield number
        return
    yield from map(int, BY_NUMBER.findall(str(error)))
    yield from (number for number in MEANING_OF if os.strerror(number) in str(error))


def _file(error: BaseException) -> str | None:
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes) else None


def _no_inodes(path: str | Path) -> bool:
    """Whether the file system of `path`, which need not exist, has room for bytes but not for another file."""
    there = next((folder for folder in (Path(path), *Path(path).absolute().parents) if folder.exists()), Path())
    state = os.statvfs(there)
    return state.f_files > 0 and state.f_favail == 0 and state.f_bavail > 0

"""Errors that a user can mend, each in one line, and the end of a job that was asked to stop."""

import errno
import os
import signal

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


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


def no_room(error: BaseException | None) -> bool:
    """Whether `error`, or an error behind it, says that a disk is full.

    HDF5 and torch pass on only the text of the system's error, not its number.
    """
    while error is not None:
        if getattr(error, "errno", None) in NO_ROOM or any(os.strerror(number) in str(error) for number in NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False

"""What a user can mend, said in one line; and being asked to stop."""

import errno
import os
import signal

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class InputError(Exception):
    """Something the user can mend: one line naming the key or file, what is wrong and what to do."""


class Interrupted(Exception):
    """The job was asked to stop, by a signal, and has saved its state."""

    def __init__(self, number: int):
        super().__init__(
            f"stopped by {signal.Signals(number).name}; what was done is saved: run again to go on from here"
        )
        self.status = 128 + number


def one_line(error: BaseException) -> str:
    """What `error` says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def no_room(error: BaseException | None) -> bool:
    """Whether `error`, or what it comes from, is a full disk: as the system says it, or as HDF5 and torch pass it on."""
    while error is not None:
        if getattr(error, "errno", None) in NO_ROOM or any(os.strerror(number) in str(error) for number in NO_ROOM):
            return True
        error = error.__cause__ or error.__context__
    return False

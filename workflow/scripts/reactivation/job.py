"""What every job of the workflow shares: its log, and one clear line for what its user can mend."""

import contextlib
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path


class InputError(Exception):
    """Something the user can mend: one line naming the key or file, what is wrong and what to do."""


def one_line(error: BaseException) -> str:
    """What `error` says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


@contextlib.contextmanager
def logged(log: str | Path) -> Iterator[None]:
    """Send what is printed, errors included, to the file `log`, line by line.

    An `InputError` leaves one line there and exit status 1; any other exception its traceback.
    """
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(Path(log).open("w", buffering=1, encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(file))
        stack.enter_context(contextlib.redirect_stderr(file))
        try:
            yield
        except InputError as error:
            print(f"error: {error}")
            sys.exit(1)
        except Exception:
            # Snakemake prints the log of a failed job; its own traceback would only repeat this one.
            traceback.print_exc()
            sys.exit(1)

"""What every job of the workflow shares: fast start-up, a log, and one clear line for an error that its user can mend.

Only scripts import this, before anything else.
"""

import contextlib
import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from reactivation.errors import InputError, Interrupted, no_room

# Importing torch makes a million objects, none of them garbage. To search them costs a job 0.1 s now and 0.2 s at its
# end. So the collector is off while scripts import, and later leaves out what they imported (`logged`).
gc.disable()


@contextlib.contextmanager
def logged(log: str | Path) -> Iterator[None]:
    """Send what is printed, errors included, to the file `log`, line by line.

    An `InputError`, a full disk or a request to stop leaves one line there and sets the exit status; any other
    exception leaves its traceback. If there is no room for the log itself, the line goes to the terminal.
    """
    gc.freeze()
    gc.enable()
    with contextlib.ExitStack() as stack:
        try:
            file = Path(log).open("w", buffering=1, encoding="utf-8")  # noqa: SIM115
            stack.callback(_close, file)
            stack.enter_context(contextlib.redirect_stdout(file))
            stack.enter_context(contextlib.redirect_stderr(file))
            yield
        except InputError as error:
            _say(f"error: {error}")
            sys.exit(1)
        except Interrupted as error:
            _say(str(error))
            sys.exit(error.status)
        except KeyboardInterrupt:
            _say("stopped by SIGINT: run again, to go on from what is saved")
            sys.exit(130)
        except Exception as error:
            if no_room(error):
                _say("error: no room on the disk: make room and run again, to go on from what is saved")
            else:
                # Snakemake prints the log of a failed job; its own traceback would only repeat this one.
                traceback.print_exc()
            sys.exit(1)


def tell(text: str, log: str | Path) -> None:
    """Print what a tool found, and keep it in the file `log` if the disk has room."""
    print(text)
    with contextlib.suppress(OSError):
        Path(log).write_text(f"{text}\n", encoding="utf-8")


def _say(line: str) -> None:
    try:
        print(line, flush=True)
    except OSError:
        print(line, file=sys.__stderr__)


def _close(file: IO) -> None:
    with contextlib.suppress(OSError):  # no room for its last lines, as was said already
        file.close()

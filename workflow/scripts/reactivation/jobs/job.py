"""What every job of the workflow shares: fast start-up, a log, and one clear line for an error that its user can mend.

Only scripts import this, before anything else.
"""

import contextlib
import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from reactivation.jobs import executed  # noqa: F401  first: it keeps the source of every module imported after it

# isort: split
from reactivation.errors import InputError, Interrupted, trouble
from reactivation.jobs.bound import check_code, check_job, record_outputs

# Importing torch makes a million objects, none of them garbage. To search them costs a job 0.1 s now and 0.2 s at its
# end. So the collector is off while scripts import, and later leaves out what they imported (`log_to`).
gc.disable()


@contextlib.contextmanager
def logged(snakemake: Any) -> Iterator[None]:
    """The frame of a job: its log, the check of its code and inputs before, the record of its outputs after."""
    with log_to(snakemake.log[0]):
        check_job(snakemake)
        yield
        check_code(snakemake)  # again, for what was imported, or read of a page, on the way
        record_outputs(snakemake)


@contextlib.contextmanager
def log_to(log: str | Path) -> Iterator[None]:
    """Send what is printed, errors included, to the file `log`, line by line.

    An `InputError`, a full or read-only disk and their like, or a request to stop leaves one line there and sets the
    exit status; any other exception leaves its traceback. If the log itself cannot be written, the line goes to the
    terminal.
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
            if line := trouble(error, None, "read or written"):
                _say(f"error: {line}")
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

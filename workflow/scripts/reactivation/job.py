"""What every job of the workflow shares: a quick start, its log, and one clear line for what its user can mend.

Only scripts import this, before anything else.
"""

import contextlib
import gc
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from .errors import InputError

# Importing torch makes a million objects and no garbage: searching them for some costs a job 0.1 s now and 0.2 s at its
# end. So none is searched for while this module's importer imports the others, nor among them later (`logged`).
gc.disable()


@contextlib.contextmanager
def logged(log: str | Path) -> Iterator[None]:
    """Send what is printed, errors included, to the file `log`, line by line.

    An `InputError` leaves one line there and exit status 1; any other exception its traceback.
    """
    gc.freeze()
    gc.enable()
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

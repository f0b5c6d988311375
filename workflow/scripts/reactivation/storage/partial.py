"""Temporary names of files and folders that are being written: whose they are, and whether anyone goes on with them.

Several clones, on several machines, may write into one folder. So a name says which process writes, and only what
nobody writes any more is removed.
"""

import contextlib
import hashlib
import os
import platform
import re
import shutil
import time
from functools import cache
from pathlib import Path

LONGEST = 255  # bytes of a file's name, on nearly every file system
# The beginning of a temporary name: of the machine, of the time since it started, and the process. Earlier releases
# gave less, or nothing.
PARTIAL = r"\.partial-(?:(?P<machine>[0-9a-f]{8})(?P<boot>[0-9a-f]{4})-)?(?:(?P<pid>\d+)-)?"
DAY = 24 * 60 * 60  # seconds after which nobody is thought to go on with a temporary file


def temporary_name(path: Path) -> Path:
    """The name under which this process writes `path`. It tells other processes whether anyone still does."""
    machine, boot = _here()
    beginning = f".partial-{machine}{boot}-{os.getpid()}-"
    # The suffix stays: writers choose a format by it.
    return path.with_name(beginning + fitting(path.name, LONGEST - len(beginning), path.suffix))


def remove_left(path: Path) -> None:
    """Remove what earlier processes left when they were killed as they wrote `path`, a file or a folder."""
    try:
        found = list(path.parent.iterdir())
    except OSError:  # there is none, or it may not be listed
        return
    for left in found:
        if left.name.startswith(".partial-") and _left_of(left.name, path) and abandoned(left):
            with contextlib.suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def _left_of(name: str, path: Path) -> bool:
    """Whether `name` is a temporary name of `path`."""
    found = re.match(PARTIAL, name)
    return found is not None and name in (
        found[0] + path.name,
        found[0] + fitting(path.name, LONGEST - len(found[0]), path.suffix),
    )


def abandoned(left: Path) -> bool:
    """Whether nobody writes the temporary file or folder `left` any more.

    A process on another machine, or in another container, may share the disk and be at work: it has a day.
    """
    found = re.match(PARTIAL, left.name)
    if found is None or found["machine"] is None:  # an earlier release did not say who writes it
        return True
    machine, boot = _here()
    if found["machine"] == machine and (found["boot"] != boot or not _lives(int(found["pid"] or 0))):
        return True
    try:
        return time.time() - left.lstat().st_mtime > DAY
    except OSError:  # it has its final name by now
        return False


@cache
def _here() -> tuple[str, str]:
    """Marks of this machine, and container, and of the time since it was started. They give no names away."""
    found = {"name": platform.node()}
    for path in ("/etc/machine-id", "/proc/sys/kernel/random/boot_id"):  # not on every system
        with contextlib.suppress(OSError):
            found[path] = Path(path).read_text()
    with contextlib.suppress(OSError):  # in another container, a process of the same number is another one
        found["processes"] = str(Path("/proc/self/ns/pid").readlink())
    boot = hashlib.sha256(found.pop("/proc/sys/kernel/random/boot_id", "").encode()).hexdigest()
    return hashlib.sha256(repr(found).encode()).hexdigest()[:8], boot[:4]


def _lives(pid: int) -> bool:
    """Whether a process of this number runs on this machine."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1]
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # another user's, or no /proc
        return True
    return state not in (b"Z", b"X")  # killed, though nobody has asked how it ended


def fitting(name: str, most: int, end: str = "") -> str:
    """`name` if it has at most `most` bytes; otherwise its beginning, a hash of all of it, and `end`, its last part."""
    if len(name.encode()) <= most:
        return name
    end = f"-{hashlib.sha256(name.encode()).hexdigest()[:10]}{end}"
    return name.encode()[: most - len(end.encode())].decode(errors="ignore") + end

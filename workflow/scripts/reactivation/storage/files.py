"""Write files so that they are whole or absent, and read them so that damage is noticed.

Each file is written under a temporary name and renamed when it is on disk. HDF5 files have checksums of data and of
metadata, archives of NumPy and torch have zip's. Readers check what else can be checked; their errors name the
damaged file and say what to do.
"""

import contextlib
import glob
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from reactivation.errors import InputError, no_room, one_line


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`: synced and renamed to `path` at the end, removed on an error.

    Raises InputError if the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # Left by an earlier job. If that still runs, because only its Snakemake was killed, it now fails. No harm is done:
    # its results are made here. Trainings and kernels wait for an earlier job before they come here (workplace.py).
    for left in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
        left.unlink(missing_ok=True)
    # The suffix stays: writers choose a format by it.
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # otherwise a machine that dies may leave the new name without content
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        if no_room(error):
            raise InputError(f"no room for {path} on its disk: make room and run again, to go on from here") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def reading(path: str | Path, kind: str = "damaged", remedy: str = "delete it and run again") -> Iterator[None]:
    """Turn an error of the block into an InputError that names the file and says what to do."""
    try:
        yield
    except (
        OSError,
        LookupError,
        ValueError,
        EOFError,
        TypeError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise InputError(f"{path} is {kind} ({one_line(error)}): {remedy}") from error


def check(sound: bool, what: str) -> None:
    """Raise ValueError(what) unless `sound`; `reading` adds the file's name."""
    if not sound:
        raise ValueError(what)


def archive_digest(path: str | Path) -> str:
    """A digest of an archive of NumPy or torch, from the checksums in its table of contents."""
    with reading(path), zipfile.ZipFile(path) as archive:
        parts = [f"{part.filename} {part.file_size} {part.CRC:08x}" for part in archive.infolist()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def whole_text(path: str | Path) -> str:
    """The text of a table. ValueError if its last line is cut off."""
    text = Path(path).read_text(encoding="utf-8")
    check(text.endswith("\n"), "it is cut off")
    return text


def write_text(path: str | Path, text: str) -> None:
    """Write a file of text, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def publish(path: str | Path, output: str | Path) -> None:
    """Give the file or folder `path` the second name `output`: either may be deleted independently.

    It costs nothing with hard links; a file system without them gets a copy.
    """
    path, output = Path(path), Path(output)
    if path.is_file():
        with atomic(output) as temporary:
            _link(path, temporary)
        return
    temporary = output.with_name(f".partial-{output.name}")
    for left in (temporary, output):
        shutil.rmtree(left, ignore_errors=True)
    shutil.copytree(path, temporary, copy_function=_link)
    temporary.replace(output)


def _link(path: str | Path, name: str | Path) -> None:
    try:
        os.link(path, name)
    except OSError:  # a file system without hard links
        shutil.copyfile(path, name)


def write_json(path: str | Path, content: dict) -> None:
    write_text(path, json.dumps(content, indent=2) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """What `write_json` wrote."""
    with reading(path):
        return json.loads(Path(path).read_text(encoding="utf-8"))

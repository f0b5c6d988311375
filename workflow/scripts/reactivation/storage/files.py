"""Write files so that they are whole or absent, and read them so that damage is noticed.

Each file is written under a temporary name and renamed when it is on disk. HDF5 files have checksums of data and of
metadata, archives of NumPy and torch have zip's. Readers check what else can be checked; their errors name the
damaged file and say what to do.
"""

import contextlib
import errno
import hashlib
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from reactivation.errors import InputError, one_line, trouble
from reactivation.storage.partial import remove_left, temporary_name


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """A temporary path in the folder of `path`: synced and renamed to `path` at the end, removed on an error.

    Raises InputError if `path` cannot be written: a full or read-only disk, no permission, and their like.
    """
    path = Path(path)
    temporary = temporary_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())  # otherwise a machine that dies may leave the new name without content
        temporary.replace(path)
    except (OSError, RuntimeError) as error:
        if line := trouble(error, _culprit(error, path, temporary), "written"):
            raise InputError(line) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_writable(folder: str | Path) -> None:
    """InputError if nothing can be written into `folder`, which says so before many jobs try."""
    tried = temporary_name(Path(folder, "tried"))
    try:
        tried.parent.mkdir(parents=True, exist_ok=True)
        tried.touch()
    except OSError as error:
        if line := trouble(error, folder, "written"):
            raise InputError(line) from error
        raise
    finally:
        with contextlib.suppress(OSError):
            tried.unlink(missing_ok=True)


def _culprit(error: OSError | RuntimeError, path: Path, temporary: Path) -> Path:
    """The file that `error` is about: `path`, unless it names another one, such as a source that is copied."""
    name = getattr(error, "filename", None)
    named = None if name is None else Path(os.fsdecode(name))
    return path if named is None or named in (temporary, *path.parents) else named


@contextlib.contextmanager
def reading(path: str | Path, kind: str = "damaged", remedy: str = "delete it and run again") -> Iterator[None]:
    """Turn an error of the block into an InputError that names the file and says what to do.

    The file is of that `kind` only if its content is to blame, not a lock, a permission, the disk or its network.
    """
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
        if line := trouble(error, path, "read"):
            raise InputError(line) from error
        if isinstance(error, FileNotFoundError) and not os.path.lexists(path):
            raise InputError(f"there is no {path}: run again, and what makes it runs first") from error
        raise InputError(f"{path} is {kind} ({one_line(error)}): {remedy}") from error


def is_own_path(path: str) -> bool:
    """Whether only this machine or user has the path: it begins at the root, or at a user's home."""
    return Path(path).is_absolute() or path.startswith("~")


def check(sound: bool, what: str) -> None:
    """Raise ValueError(what) unless `sound`; `reading` adds the file's name."""
    if not sound:
        raise ValueError(what)


def archive_digest(path: str | Path) -> str:
    """A digest of an archive of NumPy or torch, from the checksums in its table of contents."""
    with reading(path), zipfile.ZipFile(path) as archive:
        parts = [f"{part.filename} {part.file_size} {part.CRC:08x}" for part in archive.infolist()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def json_digest(content: Mapping[str, Any]) -> str:
    """The first ten hexadecimal digits of the SHA-256 of canonical JSON, by which specs are told apart."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes."""
    with reading(path), Path(path).open("rb") as file:
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
    temporary = temporary_name(output)
    try:
        remove_left(output)
        shutil.rmtree(temporary, ignore_errors=True)  # of an earlier process of this number
        shutil.copytree(path, temporary, copy_function=_link)
        _exchange(temporary, output)
    except OSError as error:
        if line := trouble(error, output, "written"):
            raise InputError(line) from error
        raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _exchange(folder: Path, output: Path) -> None:
    """Rename `folder` to `output`, in place of what is there."""
    for attempt in range(3):
        shutil.rmtree(output, ignore_errors=True)
        try:
            folder.replace(output)
            return
        except OSError as error:  # another job, of another clone, has published the same folder meanwhile
            if attempt == 2 or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise


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

"""What tells images apart: a digest of their bytes and names, not of where they lie or when they were written.

A folder and a tarball of it, compressed or not, have one digest.
"""

import hashlib
import os
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from reactivation.data.archives import archive_files
from reactivation.data.folders import Place, content, folder_files, order
from reactivation.data.parallel import mapped
from reactivation.errors import InputError, one_line

LONG = 1e9  # bytes whose first digest takes so long that a person is told
THREADS = 8  # they pay where a file system answers late
TOGETHER = 64  # files that a thread reads before it looks for more

Listed = tuple[tuple[str, ...], str, os.stat_result]
"""A file of a source: its place (empty for a source that is one file), path and state."""


@dataclass(frozen=True)
class Source:
    """What was found in a source."""

    digest: str
    images: int | None  # None if only a reader of this kind of source can tell
    ordered: bool  # whether a tarball's members are in the order of a folder's files


class ImagesDigest:
    """A digest of image files, which are added in order. InputError if a file comes twice."""

    def __init__(self, root: Path | None):
        self.root, self.images = root, 0
        self._content, self._last = hashlib.sha256(), (False, "", "")

    def add(self, place: Place, digest: bytes) -> None:
        """Add a file by its place and the SHA-256 of its bytes."""
        key = order(place)
        if key == self._last:
            raise InputError(
                f"{self.root} has {'/'.join(place)} twice: unpack it, see that the right one is there, and pack it anew"
            )
        if key < self._last:
            raise InputError(f"{self.root} changed, or its members are not in the order that was asked for: run again")
        self._content.update(_line(place, digest))
        self._last, self.images = key, self.images + 1

    def hexdigest(self) -> str:
        """The digest of all files so far, or an empty text before the first."""
        return self._content.hexdigest() if self.images else ""


def _line(place: Iterable[str], digest: bytes) -> bytes:
    return os.fsencode("/".join(place)) + b"\0" + digest


def listing(kind: str, root: Path) -> list[Listed]:
    """The files of a source of the kind `kind`, unread and in order; none if nothing is at `root`.

    Of image folders they are the images, of other sources all files that are not hidden.
    """
    try:
        if root.is_file():
            return [((), str(root), root.stat())]
        if not root.is_dir():
            return []
        files = folder_files(root) if kind == "image_folder" else _all_files(root)
        return [(place, path, os.stat(path)) for place, path in files]  # noqa: PTH116 – Path.stat takes twice as long
    except OSError as error:
        raise InputError(f"{error.filename or root} cannot be read ({one_line(error)}): make it readable") from error


def _all_files(root: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """All files in a folder and in the folders below it, in order, without hidden ones."""

    def stop(error: OSError) -> None:
        raise error

    for folder, below, names in os.walk(root, onerror=stop):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for path in (Path(folder, name) for name in sorted(names) if not name.startswith(".")):
            if stat.S_ISREG(path.stat().st_mode):
                yield path.relative_to(root).parts, str(path)


def stamp(files: Iterable[Listed]) -> str:
    """A digest of names, sizes and times, which costs no reading; files whose stamp is the same have not changed.

    The time of the last change of a file's state is among them: unlike the time of its content, which archivers set,
    it tells that another file came in its place.
    """
    marks = hashlib.sha256()
    for place, _, state in files:
        numbers = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
        marks.update(_line(place, repr(numbers).encode()))
    return marks.hexdigest()


def read_source(kind: str, root: Path, files: list[Listed]) -> Source:
    """The digest of a source, all of whose bytes are read; `files`: its listing, which is not empty."""
    size = sum(state.st_size for *_, state in files)
    if size > LONG:
        print(f"reading {size / 1e9:.0f} GB in {root}, once, to know these images again", file=sys.stderr, flush=True)
    if kind != "image_folder":
        digests = hashlib.sha256()
        for (place, _, _), digest in zip(files, _digests([path for _, path, _ in files]), strict=True):
            digests.update(_line(place, digest))
        return Source(digests.hexdigest(), None, True)
    found: Iterable[tuple[Place, bytes]]
    if root.is_file():
        found = [(place, hashlib.sha256(image).digest()) for place, _, image in archive_files(root)]
    else:
        places = ((part, name, file) for (part, name, file), _, _ in files)
        found = zip(places, _digests([path for _, path, _ in files]), strict=True)
    return _images(root, found)


def _images(root: Path, found: Iterable[tuple[Place, bytes]]) -> Source:
    """The digest of images that are given by their places and the digests of their bytes."""
    files = [(order(place), place, digest) for place, digest in found]
    ordered = all(before[0] <= after[0] for before, after in pairwise(files))
    digest = ImagesDigest(root)
    for _, place, of_file in sorted(files):
        digest.add(place, of_file)
    return Source(digest.hexdigest(), digest.images, ordered)


def _digests(paths: list[str]) -> Iterator[bytes]:
    """The SHA-256 of each file."""

    def of_some(start: int) -> list[bytes]:
        return [hashlib.sha256(content(path)).digest() for path in paths[start : start + TOGETHER]]

    for some in mapped(of_some, range(0, len(paths), TOGETHER), THREADS):
        yield from some

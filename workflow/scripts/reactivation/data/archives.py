"""The image files of a tarball, read member by member; nothing is written to disk.

A tarball holds one tree, `{train,test}/<class>/<file>`, at its top or in folders above. Members that point outside it,
links and devices are refused, as are damaged archives.
"""

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from reactivation.data.folders import LAYOUT, PARTS, Place, hidden, same_name
from reactivation.errors import InputError, one_line

COMPRESSIONS = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\x00": lzma}
MAX_MEMBER_BYTES = 64 << 20  # the most for one image in a tarball


def archive_files(tarball: Path) -> Iterator[tuple[Place, str, bytes]]:
    """The place, name for messages and content of each image file of a tarball, as its members come."""
    tree: str | None = None  # the folder in which train/ and test/ are
    spelled: dict[tuple[str, str], str] = {}  # classes as members write them
    try:
        with _uncompressed(tarball) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                path = _image_path(member, tarball)
                if path is None or (file := archive.extractfile(member)) is None:
                    continue
                above, (part, name, last) = "/".join(path.parts[:-3]), path.parts[-3:]
                if tree is None:
                    tree = above
                if above != tree:
                    raise InputError(
                        f"{tarball} holds two trees of images, in {tree or '.'} and in {above or '.'} "
                        f"({member.name!r}): pack them apart"
                    )
                place = (part, same_name(name), same_name(last))
                if spelled.setdefault(place[:2], name) != name:
                    raise InputError(
                        f"{tarball} has two folders called {part}/{place[1]}, written in two forms of Unicode: "
                        "pack it anew with one of them"
                    )
                yield place, f"{tarball}:{member.name}", file.read()
            while stream.read(1 << 20):  # to the end, where the checksums are
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{tarball} cannot be read to its end ({one_line(error)}): copy it anew") from error


@contextlib.contextmanager
def _uncompressed(tarball: Path) -> Iterator[BinaryIO]:
    """The uncompressed bytes of the archive.

    `tarfile` alone would not do: it does not check a stream's checksums, and takes an archive that is cut off between
    two members for a whole one.
    """
    with tarball.open("rb") as file:
        start = file.read(6)
        opened = next((module.open for magic, module in COMPRESSIONS.items() if start.startswith(magic)), None)
        if opened is None:
            file.seek(max(0, tarball.stat().st_size - 1024))
            if any(file.read()):
                raise tarfile.ReadError("no end-of-archive mark: cut off, or not a tar archive")
        file.seek(0)
        yield opened(file) if opened else file


def _image_path(member: tarfile.TarInfo, tarball: Path) -> PurePosixPath | None:
    """The path of a member that is an image file; None for folders and for the hidden files of some archivers."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{tarball}: member {member.name!r} points outside the archive: refused")
    if member.isdir() or hidden(path):
        return None
    if not member.isfile():
        links = member.islnk() or member.issym()
        remedy = " (tar --dereference --hard-dereference packs what links lead to)" if links else ""
        raise InputError(f"{tarball}: member {member.name!r} is not a regular file: refused{remedy}")
    if member.size > MAX_MEMBER_BYTES:
        raise InputError(f"{tarball}: member {member.name!r} declares {member.size} bytes: too large for an image")
    *above, part, name, _ = ("", "", *path.parts)
    if {*PARTS} & set(above):
        raise InputError(f"{tarball}: member {member.name!r} is in a folder inside a class: {LAYOUT}")
    return path if part in PARTS and name else None

"""The image files of a folder: `{train,test}/<class>/<file>`, listed in order.

Names are compared in one form of Unicode (NFC), because a Mac writes é as two characters where others write one. Upper
and lower case differ. Links count as what they lead to, hidden files and empty folders as nothing.
"""

import os
import stat
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePath

from reactivation.data.facts import Counts
from reactivation.errors import InputError, one_line

Place = tuple[str, str, str]
"""Where an image file is: part ("train" or "test"), class, name."""

PARTS = ("train", "test")
LAYOUT = "it must hold {train,test}/<class>/<image files>"


def order(place: Place) -> tuple[bool, str, str]:
    """The key by which image files are sorted: training before test, then by class and name."""
    part, name, file = place
    return part != "train", name, file


def same_name(name: str) -> str:
    """A name in the form in which names are compared and stored."""
    return unicodedata.normalize("NFC", name)


def hidden(path: PurePath) -> bool:
    """Whether the file or a folder above it is hidden, as are those that archivers, editors and notebooks leave."""
    return any(part.startswith(".") for part in path.parts)


def folder_files(root: Path) -> Iterator[tuple[Place, str]]:
    """The place and path of each image file of a folder, in order and unread.

    InputError if a folder cannot be listed, or if something in a class is no file: nothing is left out without a word.
    """
    for part in PARTS:
        for name, folder in _visible(root / part):
            if _mode(folder) != stat.S_IFDIR:
                continue  # a list of the classes, for example
            for file, entry in _visible(Path(folder)):
                kind = _mode(entry)
                if kind == stat.S_IFDIR:
                    raise InputError(f"{entry.path} is a folder inside a class: {LAYOUT}")
                if kind != stat.S_IFREG:
                    raise InputError(f"{entry.path} is not a regular file: remove it")
                yield (part, name, file), entry.path


def _visible(folder: Path) -> list[tuple[str, os.DirEntry[str]]]:
    """What is in a folder, sorted by name, without what is hidden; nothing if there is no such folder."""
    found: dict[str, os.DirEntry[str]] = {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name = same_name(entry.name)
                if not name.startswith(".") and found.setdefault(name, entry) is not entry:
                    raise InputError(
                        f"{folder} has two entries called {name}, written in two forms of Unicode: rename or remove one"
                    )
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(f"{folder} cannot be listed ({one_line(error)}): make it readable") from error
    return sorted(found.items())


def _mode(entry: os.DirEntry[str]) -> int:
    """The type of what is at `entry`, or of what a link leads to."""
    # The listing itself says what is a file and what a folder, so that only links and oddities cost a call.
    if entry.is_file(follow_symlinks=False):
        return stat.S_IFREG
    if entry.is_dir(follow_symlinks=False):
        return stat.S_IFDIR
    try:
        return stat.S_IFMT(entry.stat().st_mode)
    except OSError as error:
        raise InputError(f"{entry.path} cannot be read ({one_line(error)}): replace or remove it") from error


def count_folder(root: Path | None) -> Counts | None:
    """Numbers of images of each class in a folder; None if `root` is not a folder (a tarball would have to be read)."""
    if root is None or not root.is_dir():
        return None
    found = sorted(Counter((part, name) for (part, name, _), _ in folder_files(root)).items())
    train, test = ([images for (part, _), images in found if part == wanted] for wanted in PARTS)
    return train, test


def content(path: str | Path) -> bytes:
    """The bytes of a file in an image folder."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}): replace or remove it") from error

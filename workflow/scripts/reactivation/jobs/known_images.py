"""The digests of images, which are remembered as long as names, sizes and times of their files stay the same.

What is remembered is in results/.state/sources/, one small file for each place. Where that cannot be written or read,
images are read each time.
"""

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from reactivation.data.source_digest import ImagesDigest, Source, listing, read_source, stamp
from reactivation.errors import InputError
from reactivation.storage.files import read_json, write_json

if TYPE_CHECKING:
    from reactivation.data import specs

MEMORY = Path("results/.state/sources")
WITHOUT = ("glyphs", "torchvision")  # sources that are drawn, or that check their own files


def known(spec: "specs.Dataset", root: str | Path | None) -> Source | None:
    """What is in the source of a data set, whose entry of `datasets` is `spec`; None if nothing is there."""
    if root is None or spec["source"] in WITHOUT:
        return None
    root = Path(root)
    files = listing(spec["source"], root)
    if not files:
        return None
    mark, memory = stamp(files), _memory(spec, root)
    if found := _recalled(memory, mark):
        return found
    found = read_source(spec["source"], root, files)
    if stamp(listing(spec["source"], root)) == mark:  # nothing changed while it was read
        with contextlib.suppress(OSError, InputError):
            write_json(memory, {"stamp": mark, **vars(found)})
    return found


def confirm(spec: "specs.Dataset", root: str | Path | None, read: ImagesDigest, planned: str) -> None:
    """InputError unless the images that were read are those that Snakemake saw when it planned to read them."""
    seen = read.hexdigest()
    if not seen and (found := known(spec, root)):  # a source that does not add what it reads
        seen = found.digest
    if root is not None and seen != planned:
        with contextlib.suppress(OSError):
            _memory(spec, Path(root)).unlink(missing_ok=True)
        raise InputError(f"{root} changed after it was looked at, or while it was read: run again")


def _memory(spec: "specs.Dataset", root: Path) -> Path:
    """The file that remembers a place."""
    place = f"{spec['source']} {root.resolve()}"
    return MEMORY / f"{hashlib.sha256(place.encode(errors='surrogateescape')).hexdigest()[:16]}.json"


def _recalled(memory: Path, mark: str) -> Source | None:
    """What is remembered, or None if that is nothing, is damaged, or was found before a file changed."""
    try:
        found = read_json(memory)
        if found["stamp"] != mark:
            return None
        source = Source(found["digest"], found["images"], found["ordered"])
    except (InputError, LookupError, TypeError):
        return None
    sound = isinstance(source.digest, str) and isinstance(source.images, int | None) and source.ordered in (True, False)
    return source if sound else None

"""The code that a job runs, compared with the code that its result will be recorded under.

Snakemake takes the fingerprints of all code when it starts; a job imports what is on the disk when *it* starts, which
a look at another branch changes. So each module of the library is read once here, these bytes are compiled and kept,
and `check` compares them with the fingerprint. Python by itself would compare only a source's time and size with those
of its compiled code. Compiled code is kept here too, next to Python's own, with the digest of its source.

Import this before any other module of the library. What a process has imported by then (packages, which hold no code,
and three modules of jobs, which touch no result) is compared with what is on the disk.
"""

import hashlib
import importlib.abc
import importlib.util
import json
import marshal
import os
import sys
from collections.abc import Iterable
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType
from typing import Any

from reactivation.jobs.code_digest import PLANNED, code_digest, fingerprint_digest, parsed

LIBRARY = "reactivation"
SCRIPTS = Path(__file__).resolve().parents[2]
TEMPLATES = SCRIPTS.parent
CHANGED = (
    "has changed since snakemake was called, so nothing is published: it would be recorded as made by the code of that "
    "time. Call the same command again"
)
PREAMBLE = b"######## snakemake preamble end #########\n"

READ: dict[str, bytes] = {}  # the source of each module of the library that was imported, by its full name


class Loader(SourceFileLoader):
    """Compiles a module from bytes that it keeps in READ, or takes compiled code of exactly these bytes."""

    def get_code(self, fullname: str) -> CodeType:
        source = READ[fullname] = self.get_data(self.path)
        digest = hashlib.sha256(source).digest()
        kept = importlib.util.cache_from_source(self.path, optimization="bound")
        try:
            found = self.get_data(kept)
            if found.startswith(digest):
                return marshal.loads(found[len(digest) :])
        except (OSError, ValueError, EOFError, TypeError):  # none, or cut off
            pass
        code = self.source_to_code(source, self.path)
        if not sys.dont_write_bytecode:
            self.set_data(kept, digest + marshal.dumps(code))  # whole or not at all; does nothing if it may not
        return code


class Finder(importlib.abc.MetaPathFinder):
    """Finds the library's modules where Python would, for `Loader` to load."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.partition(".")[0] != LIBRARY:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec and isinstance(spec.loader, SourceFileLoader):
            spec.loader = Loader(fullname, spec.loader.path)
        return spec


sys.meta_path.insert(0, Finder())


def different(code: list[str], sources: dict[str, str]) -> str | None:
    """The first thing that this process runs and `code`, the fingerprint of its job, does not name; None if all agree.

    `sources`: SHA-256 of each module's bytes when the fingerprints were taken. Bytes that differ may still be the same
    code, with another comment.
    """
    planned = dict(entry.rsplit(":", 1) for entry in code)
    script = _script_name(planned)
    for name, source in [(script, _script()), *_imported()]:
        if name not in planned:
            return f"{name} was imported, which is not in the fingerprint of this job's code"
        if hashlib.sha256(source).hexdigest() != sources.get(name) and _code(source) != planned[name]:
            return f"{name} {CHANGED}"
    return None


def _code(source: bytes) -> str:
    try:
        return code_digest(parsed(source))
    except (SyntaxError, ValueError):
        return ""


def _script_name(modules: Iterable[str]) -> str:
    """The script among the modules of a fingerprint: the only one that is in no folder."""
    (name,) = (module for module in modules if "/" not in module)
    return name


def _script() -> bytes:
    """The script as Snakemake copied it for this job, after what Snakemake puts before it."""
    return Path(sys.argv[0]).read_bytes().partition(PREAMBLE)[2]


def _imported() -> Iterable[tuple[str, bytes]]:
    """The modules of the library that this process has imported: path below the scripts' folder, source."""
    for name, module in sys.modules.items():
        if name.partition(".")[0] == LIBRARY:
            path = Path(module.__file__ or "").resolve()
            inside = path.is_relative_to(SCRIPTS)
            yield (
                path.relative_to(SCRIPTS).as_posix() if inside else str(path),
                READ[name] if name in READ else path.read_bytes(),
            )


def check(snakemake: Any) -> str | None:
    """What is wrong with the code that a job runs, in one line; None if it is the code that the job was planned with.

    Covers the script, the modules imported so far, the template of a page, and, on a cluster, what the Snakemake that
    the user called had planned, as the one on the node has read the code anew.
    """
    code, page = snakemake.params.code, snakemake.params.get("page")
    found = different(code, snakemake.config["where"]["code"])
    if page and not found:
        name, _, digest = page.rpartition(":")
        if hashlib.sha256((TEMPLATES / name).read_bytes()).hexdigest()[:10] != digest:
            found = f"workflow/{name} {CHANGED}"
    if not found and (planned := json.loads(os.environ.get(PLANNED, "{}"))):
        script = _script_name(entry.partition(":")[0] for entry in code)
        if planned.get(script) != fingerprint_digest(code):
            found = f"{script}, or what it imports, {CHANGED}"
    return found

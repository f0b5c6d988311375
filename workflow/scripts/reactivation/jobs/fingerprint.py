"""Fingerprints of the code that a job's result depends on: its script and every module here that the script imports.

Snakemake's own code trigger re-runs a rule when its script is merely touched, but not when a module that the script
imports changes. So the profile turns it off, and rules carry fingerprints among their `params`. A change of code
re-runs the jobs whose results it can change; a change of a comment or docstring re-runs nothing.

A change of the config needs no fingerprint. Rules also carry their part of the config among their `params`, and
Snakemake re-runs a job whose `params` changed (`rerun-triggers` in profiles/default/config.yaml).
"""

import ast
import hashlib
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from reactivation.jobs.code_digest import code_digest, fingerprint_digest, parsed

SCRIPTS = Path(__file__).resolve().parents[2]

TAKEN: dict[str, str] = {}  # a digest of each fingerprint that was taken here
SOURCES: dict[str, str] = {}  # SHA-256 of the bytes of each module of which a fingerprint was taken here


def planned_code() -> str:
    """Digests of all fingerprints that were taken here, by script, as text for a job's environment."""
    return json.dumps(TAKEN)


def fingerprint(script: str, root: Path = SCRIPTS) -> list[str]:
    """`["reactivation/ntk/kernel.py:1b2c…", …]`, sorted: the script (a name below `root`) and what it imports there.

    A list rather than one digest: Snakemake's dry run then names the module that changed.
    """
    pending, digests = [Path(script)], {}
    while pending:
        module = pending.pop()
        if module not in digests:
            digests[module], imported = _read(root / module, root)
            pending += imported
    found = sorted(f"{module.as_posix()}:{code}" for module, code in digests.items())
    TAKEN[script] = fingerprint_digest(found)
    return found


@cache
def _read(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """A digest of a module's code, and the modules below `root` that it imports."""
    source = path.read_bytes()
    if root == SCRIPTS:
        SOURCES[path.relative_to(root).as_posix()] = hashlib.sha256(source).hexdigest()
    tree = parsed(source)
    imported = tuple(dict.fromkeys(_imports(tree, path.relative_to(root), root)))
    return code_digest(tree), imported


def _imports(tree: ast.Module, module: Path, root: Path) -> Iterator[Path]:
    """Files below `root` that run when `tree`'s imports do, those of packages included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.parent.parts[: len(module.parent.parts) - node.level + 1] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            parts = name.split(".")
            for depth in range(1, len(parts) + 1):
                stem = Path(*parts[:depth])
                for candidate in (stem / "__init__.py", stem.with_suffix(".py")):
                    if (root / candidate).is_file():
                        yield candidate

"""Fingerprints of the code that a job's result depends on: its script and every module here that the script imports.

Snakemake's own code trigger re-runs a rule when its script is merely touched, but not when a module that the script
imports changes. So the profile turns it off, and rules carry fingerprints among their `params`. A change of code
re-runs the jobs whose results it can change; a change of a comment or docstring re-runs nothing.

A change of the config needs no fingerprint. Rules also carry their part of the config among their `params`, and
Snakemake re-runs a job whose `params` changed (`rerun-triggers` in profiles/default/config.yaml).
"""

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parents[2]


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
    return sorted(f"{module.as_posix()}:{code}" for module, code in digests.items())


@cache
def _read(path: Path, root: Path) -> tuple[str, tuple[Path, ...]]:
    """A digest of a module's code, without comments and docstrings, and the modules below `root` that it imports."""
    tree = ast.parse(path.read_bytes(), filename=str(path))
    tree.body = [part for part in tree.body if not _for_type_checkers(part)]
    imported = tuple(dict.fromkeys(_imports(tree, path.relative_to(root), root)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Attribute docstrings are bare strings too, and have no effect either.
            node.body = [part for part in node.body if not _bare_string(part)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:10], imported


def _bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _for_type_checkers(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING: …`, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


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

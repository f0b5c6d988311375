"""A digest of a module's code: it changes with what runs, not with a comment, a docstring or the formatting."""

import ast
import hashlib

PLANNED = "REACTIVATION_CODE"  # variable of the environment: what the Snakemake that the user called had planned


def parsed(source: bytes) -> ast.Module:
    """The syntax tree of a module, without what only type checkers read."""
    tree = ast.parse(source)
    tree.body = [part for part in tree.body if not _for_type_checkers(part)]
    return tree


def code_digest(tree: ast.Module) -> str:
    """The first ten hexadecimal digits of a digest of `tree`, from which docstrings are removed."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            # Attribute docstrings are bare strings too, and have no effect either.
            node.body = [part for part in node.body if not _bare_string(part)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:10]


def fingerprint_digest(code: list[str]) -> str:
    """A short digest of a fingerprint."""
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:10]


def _bare_string(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _for_type_checkers(node: ast.stmt) -> bool:
    """Whether a statement is `if TYPE_CHECKING: …`, which never runs."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"

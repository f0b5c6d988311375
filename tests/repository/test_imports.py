"""What modules are called, and what they import."""

from collections import Counter

from helpers import REPOSITORY, own_process

LIGHT = [
    *("planning.plan", "planning.requests", "planning.strays", "study.load", "jobs.fingerprint", "jobs.state"),
    *("analysis.metrics", "analysis.run_table", "figures.select", "figures.layout", "storage.tables"),
]


def test_light_modules_do_not_import_torch():
    """Importing torch costs seconds, in each of hundreds of jobs. Prints the first of the modules that does."""
    code = f"""
import importlib, sys

for name in {LIGHT}:
    importlib.import_module(f"reactivation.{{name}}")
    if "torch" in sys.modules:
        sys.exit(print(name))
"""
    assert own_process(code) == ""


def test_no_two_files_of_python_have_one_name():
    """Whoever reads a name in a message, a fingerprint or a document finds one file."""
    folders = (REPOSITORY / folder for folder in ("workflow", "tests", "benchmarks"))
    names = Counter(path.name for folder in folders for path in folder.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"__init__.py", "conftest.py"}

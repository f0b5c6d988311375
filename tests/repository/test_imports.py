"""What modules are called, and what they import."""

from collections import Counter

import pytest

from helpers import REPOSITORY, own_process


@pytest.mark.parametrize(
    "module",
    [
        *("planning.plan", "planning.requests", "planning.strays", "study.load", "jobs.fingerprint", "jobs.state"),
        *("analysis.metrics", "analysis.run_table", "figures.select", "figures.layout", "storage.tables"),
    ],
)
def test_light_modules_do_not_import_torch(module):
    """Importing torch costs seconds, in each of hundreds of jobs."""
    code = f"import sys, reactivation.{module}; sys.exit('torch' in sys.modules)"
    own_process(code)


def test_no_two_files_of_python_have_one_name():
    """Whoever reads a name in a message, a fingerprint or a document finds one file."""
    folders = (REPOSITORY / folder for folder in ("workflow", "tests", "benchmarks"))
    names = Counter(path.name for folder in folders for path in folder.rglob("*.py"))
    assert {name for name, count in names.items() if count > 1} <= {"__init__.py", "conftest.py"}

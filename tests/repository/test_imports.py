"""What modules import."""

import pytest

from helpers import own_process


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

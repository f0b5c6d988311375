"""The snippets of documents read the results of a study."""

import re
import shutil
import subprocess
import sys

import pytest

from helpers import REPOSITORY


def snippets(document):
    text = (REPOSITORY / document).read_text()
    return [code for code in re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S) if "results/" in code]


@pytest.fixture
def done(finished_study, tmp_path):
    """A folder with the results of a study, and without the workflow's own code."""
    for name in ("results", "config"):
        shutil.copytree(finished_study / name, tmp_path / name)
    (tmp_path / "results/quickstart").symlink_to("tiny")
    return tmp_path


def test_every_snippet_reads_a_study(done):
    """They run one after another in one process, as in a notebook."""
    documents = ("README.md", "docs/running.md", "docs/data-format.md")
    codes = [code for document in documents for code in snippets(document)]
    assert len(codes) > 10 and all(len(code.strip().splitlines()) <= 8 for code in codes)
    notebook = "".join(f"exec({code!r}, {{}})\n" for code in codes)
    run = subprocess.run([sys.executable, "-W", "error", "-c", notebook], cwd=done, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

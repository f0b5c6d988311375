"""Fingerprints change with code that runs, and with nothing else."""

import pytest
from helpers import REPOSITORY
from reactivation.jobs import fingerprint as module
from reactivation.jobs.fingerprint import fingerprint

SCRIPT = '"""Doc."""\nfrom reactivation import used\nfrom reactivation.other import f\n\nprint(used.x, f())\n'
FILES = {
    "script.py": SCRIPT,
    "reactivation/__init__.py": "",
    "reactivation/used.py": "from .deep import y\nx = y\n",
    "reactivation/deep.py": "import os\ny = 1  # one\n",
    "reactivation/other.py": "def f():\n    '''Doc.'''\n    return 2\n",
    "reactivation/unused.py": "z = 1\n",
}


@pytest.fixture
def code(tmp_path):
    """code(file, text): the fingerprint of the script after `file` is rewritten."""

    def after(*edit):
        for name, text in {**FILES, **dict([edit] if edit else [])}.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(text)
        module._read.cache_clear()
        return fingerprint("script.py", tmp_path)

    return after


def test_it_names_the_script_and_all_it_imports(code):
    names = [entry.split(":")[0] for entry in code()]
    assert names == [f"reactivation/{m}.py" for m in ("__init__", "deep", "other", "used")] + ["script.py"]


@pytest.mark.parametrize(
    "name, text",
    [
        ("script.py", "# A comment.\n" + SCRIPT),
        ("script.py", SCRIPT.replace("Doc", "Another doc")),
        ("reactivation/other.py", 'def f():\n\n    """Another."""\n    return (2)\n'),
        ("reactivation/deep.py", "import os\n\n\ny = 1\n"),
        ("reactivation/unused.py", "z = 2\n"),
    ],
)
def test_comments_docstrings_formatting_and_other_modules_change_nothing(code, name, text):
    assert code() == code(name, text)


@pytest.mark.parametrize(
    "name, text",
    [
        ("script.py", SCRIPT + "print(1)\n"),
        ("reactivation/deep.py", "import os\ny = 2\n"),
        ("reactivation/other.py", "def f():\n    return 'text'\n"),
    ],
)
def test_code_changes_its_own_entry_only(code, name, text):
    before, after = code(), code(name, text)
    assert [entry.split(":")[0] for entry in set(after) - set(before)] == [name]


def test_the_rules_own_scripts():
    def modules(script):
        return {entry.split(":")[0].removeprefix("reactivation/") for entry in fingerprint(script)}

    assert "ntk.py" in modules("ntk.py") and "plots.py" not in modules("ntk.py")
    assert {"models.py", "training.py"} <= modules("train.py") and "tables.py" not in modules("train.py")
    assert "plots.py" in modules("figure.py") and "training.py" not in modules("figure.py")
    # What describes configs never decides results: adding a key must not retrain.
    scripts = {path.name for path in (REPOSITORY / "workflow/scripts").glob("*.py")} - {"budget.py", "prune.py"}
    assert len(scripts) == 14
    configs = {
        f"{m}.py" for m in ("fields", "schema", "schema_figures", "grid", "checks", "config", "scenarios", "plan")
    }
    assert not any(configs & modules(script) for script in scripts)

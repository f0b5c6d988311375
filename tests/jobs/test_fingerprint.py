"""Fingerprints change with code that runs, and with nothing else."""

import pytest

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


def test_what_only_type_checkers_read_changes_nothing(code):
    typed = "from typing import TYPE_CHECKING\nfrom reactivation.deep import y\nx = y\n"
    block = "if TYPE_CHECKING:\n    from reactivation import unused\n"
    assert code("reactivation/used.py", typed) == code("reactivation/used.py", block + typed)


# ---------------------------------------------------------------------------------------------- this repository's own
MAKE_NO_RESULTS = {"print_budget.py", "prune_results.py", "verify_results.py"}
SCRIPTS = {path.name for path in module.SCRIPTS.glob("*.py")} - MAKE_NO_RESULTS


def run_again_after(edited):
    """Scripts that run again after a statement is added to a file of the library."""
    return {
        script
        for script in SCRIPTS
        if any(entry.startswith(f"reactivation/{edited}:") for entry in fingerprint(script))
    }


@pytest.mark.parametrize(
    "edited, scripts",
    [
        # Each edit runs again what it can change; networks train again only after edits of what training uses.
        (
            "storage/tables.py",
            {"draw_figure", "judge_claims", "measure_switches", "write_explorer", "write_table_page"},
        ),
        ("storage/kernels.py", {"compute_kernels", "compute_metrics"}),
        ("storage/checkpoints.py", {"compare_functions", "compute_kernels", "measure_within_tasks", "train_segment"}),
        ("training/loop.py", {"train_segment"}),
        ("training/training_log.py", {"train_segment"}),
        ("analysis/metrics.py", {"compute_metrics"}),
        ("analysis/switches.py", {"measure_switches"}),
        ("analysis/verdicts.py", {"judge_claims"}),
        ("figures/layout.py", {"draw_figure", "judge_claims"}),
        ("figures/forest.py", {"judge_claims"}),
        ("report/pages.py", {"write_config", "write_explorer", "write_table_page"}),
        (
            "training/networks.py",
            {"compare_functions", "compare_widths", "compute_kernels", "measure_within_tasks", "train_segment"},
        ),
        ("training/within_task.py", {"measure_within_tasks"}),
        ("storage/within.py", {"compute_metrics", "measure_within_tasks"}),
        ("ntk/contraction.py", {"compare_widths", "compute_kernels"}),
        ("data/sources.py", {"build_dataset"}),
        ("data/source_digest.py", {"build_dataset"}),
        ("jobs/known_images.py", {"build_dataset"}),
        ("catalogue.py", set()),
        ("data/specs.py", set()),
    ],
)
def test_an_edit_runs_again_what_it_can_change(edited, scripts):
    assert (module.SCRIPTS / "reactivation" / edited).is_file()
    assert run_again_after(edited) == {f"{script}.py" for script in scripts}


def test_what_describes_configs_and_plans_never_decides_results():
    """Adding a key must not train anything again."""
    assert len(SCRIPTS) == 15
    for room in ("study", "planning"):
        for path in (module.SCRIPTS / "reactivation" / room).glob("*.py"):
            assert not run_again_after(f"{room}/{path.name}"), path

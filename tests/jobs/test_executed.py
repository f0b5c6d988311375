"""The code that a process runs is what is compared, not what is on the disk a moment later."""

import hashlib
import json
import os
import shutil
import subprocess
import sys

import pytest

from reactivation.jobs.fingerprint import SCRIPTS

SCRIPT = '"""Doc."""\nimport reactivation.result\n'
AFTER = """
import json, sys
sys.path.insert(0, {scripts!r})
from reactivation.jobs import executed
import reactivation.result
{then}
sys.argv = [{copy!r}]
print(json.dumps([reactivation.result.VALUE, executed.different({code!r}, {sources!r})]))
"""
TAKE = """
import json
from reactivation.jobs.fingerprint import SOURCES, fingerprint
print(json.dumps([fingerprint("script.py"), SOURCES]))
"""


@pytest.fixture
def scripts(tmp_path):
    """A folder of scripts with what `executed` imports, one script and one module that a result depends on."""
    folder = tmp_path / "scripts"
    for name in ("__init__", "jobs/__init__", "jobs/executed", "jobs/code_digest", "jobs/fingerprint"):
        path = folder / f"reactivation/{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SCRIPTS / f"reactivation/{name}.py", path)
    (folder / "reactivation/result.py").write_text("VALUE = 1\n")
    (folder / "script.py").write_text("import reactivation.jobs.executed\n" + SCRIPT)
    return folder


def python(code, folder):
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.fixture
def job(scripts):
    """job(then): what a process has of the module, and what it finds different; `then` is run after its imports."""
    code, sources = python(TAKE, scripts)
    copy = scripts.parent / "tmp.script.py"

    def run(then="", script=None):
        text = script or (scripts / "script.py").read_text()
        copy.write_text(f"preamble\n######## snakemake preamble end #########\n{text}")
        values = {"scripts": str(scripts), "then": then, "copy": str(copy), "code": code, "sources": sources}
        return python(AFTER.format(**values), scripts)

    return run


def swap(path, old, new):
    path.write_text(path.read_text().replace(old, new))


def test_the_same_code_is_not_different(job, scripts):
    assert job() == [1, None]
    swap(scripts / "reactivation/result.py", "VALUE", "# A comment.\nVALUE")
    assert job() == [1, None]


def test_code_swapped_before_it_is_imported_is_different(job, scripts):
    swap(scripts / "reactivation/result.py", "1", "2")
    value, found = job()
    assert value == 2 and found.startswith("reactivation/result.py has changed since snakemake was called, so nothing")


def test_code_swapped_back_after_it_was_imported_is_different(job, scripts):
    module = scripts / "reactivation/result.py"
    swap(module, "1", "2")
    value, found = job(then=f"open({str(module)!r}, 'w').write('VALUE = 1\\n')")
    assert value == 2 and found.startswith("reactivation/result.py has changed")


def test_code_swapped_after_it_was_imported_is_what_was_planned(job, scripts):
    value, found = job(then=f"open({str(scripts / 'reactivation/result.py')!r}, 'w').write('VALUE = 2\\n')")
    assert value == 1 and found is None


def test_code_of_the_same_size_and_time_is_not_taken_from_what_python_compiled(job, scripts):
    module = scripts / "reactivation/result.py"
    at = module.stat()
    assert job() == [1, None]  # compiled code is kept
    swap(module, "1", "2")
    os.utime(module, ns=(at.st_atime_ns, at.st_mtime_ns))
    assert job()[0] == 2
    assert list((module.parent / "__pycache__").glob("result*bound.pyc"))


def test_compiled_code_that_is_cut_off_is_compiled_again(job, scripts):
    assert job() == [1, None]
    (kept,) = (scripts / "reactivation/__pycache__").glob("result*bound.pyc")
    os.truncate(kept, 40)
    assert job() == [1, None]


def test_the_script_itself_is_compared(job):
    assert job(script="import reactivation.jobs.executed\n" + SCRIPT + "print(1)\n")[1].startswith(
        "script.py has changed"
    )


def test_a_module_beyond_the_fingerprint_or_the_folder_is_named(job, scripts, tmp_path):
    (scripts / "reactivation/other.py").write_text("")
    said = " was imported, which is not in the fingerprint of this job's code"
    assert job(then="import reactivation.other")[1] == "reactivation/other.py" + said
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/far.py").write_text("")
    then = f"reactivation.__path__.append({str(tmp_path / 'elsewhere')!r}); import reactivation.far"
    assert job(then=then)[1] == str(tmp_path / "elsewhere/far.py") + said


def test_on_a_cluster_what_the_user_called_counts(job, scripts):
    """The Snakemake on the node reads rules and code anew, and would find nothing different."""
    (scripts / "page.html").write_text("<p>")
    ask = """
import os
from types import SimpleNamespace
class Params(SimpleNamespace):
    def get(self, name): return getattr(self, name, None)
def asked(planned, page=None):
    os.environ["REACTIVATION_CODE"] = json.dumps(planned)
    executed.TEMPLATES = executed.Path(PLACE)
    params = Params(code=FINGERPRINT, **({"page": page} if page else {}))
    return executed.check(SimpleNamespace(params=params, config={"where": {"code": BYTES}}))
"""
    code, sources = python(TAKE, scripts)
    ask = ask.replace("FINGERPRINT", repr(code)).replace("BYTES", repr(sources)).replace("PLACE", repr(str(scripts)))
    ask += "sys.argv = [COPY]\n".replace("COPY", repr(str(scripts.parent / "tmp.script.py")))
    for call, said in (
        ("asked({})", None),
        ("asked({'script.py': executed.fingerprint_digest(REPR)})", None),
        ("asked({'script.py': '0123456789'})", "script.py, or what it imports, has changed since snakemake was called"),
        ("asked({}, 'page.html:" + hashlib.sha256(b"<p>").hexdigest()[:10] + "')", None),
        ("asked({}, 'page.html:0123456789')", "workflow/page.html has changed since snakemake was called"),
    ):
        found = job(then=f"{ask}reactivation.result.VALUE = {call.replace('REPR', repr(code))}\n")[0]
        assert found == said or found.startswith(said)

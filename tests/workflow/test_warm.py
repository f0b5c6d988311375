"""The warm Python runs a script as Python does."""

import os
import subprocess
import sys

import pytest

import warm_python

SCRIPT = """
import atexit, os, sys
atexit.register(print, "the end")
print(sys.argv[1:], os.getcwd(), os.environ["WORD"], sys.path[0], __name__, sys.stdin.read())
print("reactivation" in sys.modules, file=sys.stderr)
{end}
"""
ENDS = {
    "well": "",
    "status": "sys.exit(3)",
    "words": "sys.exit('words')",
    "exception": "raise ValueError('wrong')",
    "killed": "sys.stdout.flush(); os.kill(os.getpid(), 9)",
}


def run(python, folder, *arguments, **environment):
    return subprocess.run(
        [python, *arguments], cwd=folder, env=os.environ | environment, input="text", capture_output=True, text=True
    )


@pytest.mark.parametrize("end", ENDS)
def test_a_script_is_run_as_by_python(tmp_path, end):
    (tmp_path / "script.py").write_text(SCRIPT.format(end=ENDS[end]))
    real, warm = (
        run(python, tmp_path, "script.py", "an argument", WORD="größer")
        for python in (sys.executable, warm_python.program())
    )
    assert warm.stdout == real.stdout and len(real.stdout) > 20
    assert warm.stderr.splitlines()[-1:] == real.stderr.splitlines()[-1:]  # tracebacks have a frame more
    assert warm.returncode == (137 if end == "killed" else real.returncode)


def test_options_and_a_path_of_modules_are_left_to_python_itself(tmp_path):
    (tmp_path / "module.py").write_text("print('imported')")
    (tmp_path / "script.py").write_text("import module")
    for arguments, environment in ((["-c", "import module"], {}), (["script.py"], {"PYTHONPATH": str(tmp_path)})):
        done = run(warm_python.program(), tmp_path, *arguments, **environment)
        assert (done.returncode, done.stdout) == (0, "imported\n"), done.stderr


def test_no_two_forks_draw_the_same_numbers(tmp_path):
    (tmp_path / "script.py").write_text(
        "import numpy, random, torch\nprint(random.random())\nprint(torch.rand(1), numpy.random.rand())\n"
    )
    first, second = (run(warm_python.program(), tmp_path, "script.py").stdout.splitlines() for _ in range(2))
    assert len(first) == 2 and not set(first) & set(second)

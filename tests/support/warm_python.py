"""A Python that has imported Snakemake and the scripts' packages already, for the many small studies that tests run.

Importing them takes Snakemake one second and a job of torch one and a half, which is most of what a tiny study takes.
`program` is a file to call like `python script.py ...`. It hands its arguments, folder, environment and open files to a
server, which forks; the fork runs the script. Nothing of this repository is imported beforehand, and Snakemake is not
changed.

What a fork does not take from its caller: limits, umask, process group, and environment that packages read when they
are imported (numbers of threads, matplotlib's backend, the seed of hashes). It has all PACKAGES, whether or not the
script imports them; a fork that ends by `os._exit` counts as killed; and it outlives a caller that is killed. So tests
about any of that call the real Python, and so do some on real studies: their bits must be the same (test_study,
test_slurm, test_conda).
"""

import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path
from typing import NoReturn

PACKAGES = (
    *("snakemake.cli", "snakemake.script", "pydantic", "yaml", "jinja2", "filelock", "psutil", "tqdm", "PIL.Image"),
    *("numpy", "pandas", "h5py", "torch", "numba", "matplotlib.pyplot", "matplotlib.backends.backend_pdf"),
)
# Before the packages load: these libraries read it once. Snakemake sets it to one for nearly all jobs.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
# Started by sh, as the path of Python may have spaces or be too long for a first line.
CLIENT = """#!/bin/sh
'''exec' "{python}" -IS "$0" "$@"
' '''
import json, os, socket, sys
if sys.argv[1:2] == [] or sys.argv[1][0] == "-" or "PYTHONPATH" in os.environ:
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    socket.send_fds(server, [b"."], [0, 1, 2])
    server.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]).encode())
    server.shutdown(socket.SHUT_WR)
    status = server.makefile().read()  # until the fork has ended
sys.exit(int(status or 137))  # killed
"""


@functools.cache
def program() -> Path:
    """The file to call, which talks to this process's server."""
    server()
    path = folder() / "python"
    path.write_text(CLIENT.format(python=sys.executable, address=str(folder() / "socket")))
    path.chmod(0o755)
    return path


@functools.cache
def folder() -> Path:
    """Where the program and the server's address are: a short path, as addresses must be, whatever TMPDIR is."""
    return Path(tempfile.mkdtemp(dir="/tmp"))


@functools.cache
def server() -> subprocess.Popen:
    """The server, once it listens. It ends with this process, or when its standard input is closed."""
    environment = os.environ | ONE_THREAD | {"MPLBACKEND": "agg"}
    command = [sys.executable, __file__, str(folder())]
    started = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert started.stdout and started.stdout.readline() == b"ready\n"
    return started


def stop() -> None:
    """End the server, if there is one, and wait for it, so that its processor time is counted with this process's."""
    if server.cache_info().currsize:
        server().communicate()
        shutil.rmtree(folder())


def serve(place: Path) -> socket.socket | None:
    """Fork for each call; return its connection in the fork, and None in the server, at the end."""
    for package in PACKAGES:
        importlib.import_module(package)
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "socket"))
        listener.listen()
        print("ready", flush=True)
        while True:
            ready, *_ = select.select([listener, sys.stdin], [], [])
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            if sys.stdin in ready:
                return None
            connection, _ = listener.accept()
            if os.fork() == 0:
                return connection
            connection.close()


def run(connection: socket.socket, client: Path) -> NoReturn:
    """Run the script that the client was called with, in the place of the client."""
    import numpy as np  # the server has both already
    import torch

    _, descriptors, *_ = socket.recv_fds(connection, 1, 3)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.argv, place, environment = json.loads(connection.makefile().read())
    os.chdir(place)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[0] = str(Path(sys.argv[0]).parent.resolve())
    sys.executable = str(client)
    # Python's own generator is seeded anew by the fork; these two would start alike in all forks.
    np.random.seed()  # noqa: NPY002
    torch.seed()
    status = 0
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(OSError):  # the caller may be gone
        connection.sendall(str(status).encode())
    os._exit(status)  # to take all modules apart, as Python does at its end, would copy the server's memory


if __name__ == "__main__":
    here = Path(sys.argv[1])
    called = serve(here)
    if called:
        run(called, here / "python")

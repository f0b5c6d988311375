"""One measurement of `ntk_approaches.py` in a process of its own, which is ended if it takes too much."""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from machine import available_bytes, pinned, resident_bytes

RESERVE = 0.02  # share of the available memory; below it a process is ended, whatever its own ceiling
LIMITS = ("timeout", "memory")


def add_limits(positive: Callable, timeout: float = 900) -> None:
    """Add the options `LIMITS`."""
    positive("--timeout", type=float, default=timeout, help="seconds a process may take")
    positive("--memory", type=float, default=0.9 * available_bytes() / 1e9, help="GB a process may hold")


def in_own_process(task: dict, options: argparse.Namespace, folder: Path) -> dict:
    """The outcome of one task; a `note` if its process failed or had to be ended. `folder` is for temporary files."""
    result = folder / "result.json"
    result.unlink(missing_ok=True)
    task = {"result": str(result), "device": "cpu", "threads": options.threads, **task}
    how = pinned(options.threads)
    how["env"]["JAX_PLATFORMS"] = "cpu"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("ntk_approaches.py"), json.dumps(task)],
            stdout=log,
            stderr=log,
            **how,
        )
        try:
            note = _watch(process, options)
        finally:
            process.kill()
            process.wait()
        if note is None and result.exists():
            return json.loads(result.read_text())
        log.seek(0)
        return {"note": note or f"error: {(log.read().strip().splitlines() or ['no output'])[-1][:100]}"}


def _watch(process: subprocess.Popen, options: argparse.Namespace) -> str | None:
    """Wait for a process; return a note if it takes too much time or memory and should be ended."""
    began, held, reserve = time.monotonic(), 0, RESERVE * available_bytes()
    while process.poll() is None:
        held = max(held, resident_bytes(process.pid))
        if held > options.memory * 1e9 or available_bytes() < reserve:
            return f"does not fit (> {held / 1e9:.1f} GB)"
        if time.monotonic() - began > options.timeout:
            return f"> {options.timeout:g} s"
        time.sleep(0.05)
    # Killed by the operating system, which noticed before this loop did that memory ran out.
    return f"does not fit (> {held / 1e9:.1f} GB)" if process.returncode == -9 else None

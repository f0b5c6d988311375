"""The memory that the machine has and that a process takes, in bytes, read from Linux's /proc."""

import os
from pathlib import Path


def available_bytes() -> int:
    """Memory that new processes can take without swapping, within the container's limit if there is one."""
    free = _field("/proc/meminfo", "MemAvailable")
    group = Path("/sys/fs/cgroup")
    try:
        limit = int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):  # no such control group, or no limit ("max")
        return free
    return min(free, limit)


def resident_bytes(pid: int | str = "self") -> int:
    """Memory that a process holds now; 0 once it is gone."""
    return _field(f"/proc/{pid}/status", "VmRSS")


def peak_bytes() -> int:
    """The most memory this process held since `reset_peak`."""
    return _field("/proc/self/status", "VmHWM")


def reset_peak() -> None:
    """Start the record of this process's peak anew."""
    Path("/proc/self/clear_refs").write_text("5")


def pinned(threads: int) -> dict:
    """Arguments of subprocess for a process with `threads` cores, whose libraries start as many threads."""
    names, cores = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), sorted(os.sched_getaffinity(0))
    return {
        "env": os.environ | dict.fromkeys(names, str(threads)),
        "preexec_fn": lambda: pin(cores[:threads]),  # before the process imports anything that counts cores
    }


def pin(cores: list[int]) -> None:
    """Keep this process to some cores, and make it the first to be killed when memory runs out."""
    os.sched_setaffinity(0, cores)
    Path("/proc/self/oom_score_adj").write_text("1000")


def _field(path: str, name: str) -> int:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), 0)

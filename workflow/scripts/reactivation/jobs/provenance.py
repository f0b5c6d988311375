"""Where a result comes from: code, versions, machine and time."""

import json
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[4]


def provenance(
    config: Mapping[str, Any], code: list[str], started: float, packages: tuple[str, ...], seconds: float | None = None
) -> dict[str, str]:
    """Attributes of a result: all strings, so that any HDF5 reader shows them.

    `started`: Unix time in seconds; `seconds`: those of work, by default all since `started`.
    """
    return {
        "config": json.dumps(config, sort_keys=True),
        "code": " ".join(code),
        "git_commit": git_commit(),
        "versions": json.dumps(versions(packages)),
        "host": platform.node(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": f"{time.time() - started if seconds is None else seconds:.3f}",
    }


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python and of `packages`."""
    return {"python": platform.python_version()} | {package: metadata.version(package) for package in packages}


def git_commit() -> str:
    """The repository's commit, with `-dirty` if files differ from it; `unknown` outside a git checkout."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return described.stdout.strip()

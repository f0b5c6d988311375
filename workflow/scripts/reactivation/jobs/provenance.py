"""Where a result comes from: code, versions, machine and time."""

import json
import os
import platform
import subprocess
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from reactivation.storage.files import is_own_path

PATHS = ("root", "path", "data_root")  # keys of configs whose values are paths
COMMIT = "REACTIVATION_COMMIT"  # variable of the environment: the commit when the user called Snakemake
REPOSITORY = Path(__file__).resolve().parents[4]


def provenance(
    config: Mapping[str, Any], code: list[str], started: float, packages: tuple[str, ...], seconds: float | None = None
) -> dict[str, str]:
    """Attributes of a result: all strings, so that any HDF5 reader shows them.

    `started`: Unix time in seconds; `seconds`: those of work, by default all since `started`. Results are published:
    nothing here names a machine, a user or a folder of theirs.
    """
    return {
        "config": json.dumps(without_folders(config), sort_keys=True),
        "code": " ".join(code),
        "git_commit": git_commit(),
        "versions": json.dumps(versions(packages)),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "seconds": f"{time.time() - started if seconds is None else seconds:.3f}",
    }


def host(where: Mapping[str, Any]) -> dict[str, str]:
    """The machine's name, if the study asks for it to be recorded; `where`: what jobs know besides their params."""
    return {"host": platform.node()} if where.get("record_host") else {}


def without_folders(config: Any) -> Any:
    """A config with only the last part of paths that begin at the root or at a user's home."""
    if isinstance(config, list):
        return [without_folders(part) for part in config]
    if not isinstance(config, Mapping):
        return config
    own = {key for key, value in config.items() if key in PATHS and isinstance(value, str) and is_own_path(value)}
    return {key: Path(value).name if key in own else without_folders(value) for key, value in config.items()}


def versions(packages: tuple[str, ...]) -> dict[str, str]:
    """Versions of Python and of `packages`."""
    return {"python": platform.python_version()} | {package: metadata.version(package) for package in packages}


def public(version: str) -> str:
    """A version without the name of its build: 2.13.0+cpu computes the same as 2.13.0 on a CPU."""
    return version.partition("+")[0].partition(".post")[0]


def git_commit() -> str:
    """The repository's commit, with `-dirty` if files differ from it; `unknown` outside a git checkout.

    In a job it is that of the user's call: another commit may be checked out meanwhile.
    """
    if COMMIT in os.environ:
        return os.environ[COMMIT]
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

"""Whether a result was made by what would make it now: the same code, config and versions.

Snakemake compares the params of a call with those that it recorded. It also records params of a job that failed, and
knows nothing of results that another clone put in their place. So a job notes in the receipt of its result what made
it, and one of its params says whether that is still so.
"""

from functools import cache
from importlib import metadata
from pathlib import Path

import yaml

from reactivation.jobs.provenance import public
from reactivation.storage.receipts import read_receipt

OTHER_CONFIG = "other config"
OTHERS = {"code": "other code", "config": OTHER_CONFIG}
DECISIVE = ("torch", "numpy", "h5py")  # packages whose versions decide bits
CONDA = {"torch": "pytorch"}  # conda's names, where they differ
BOUND_OTHERWISE = "it was made by "
CALL = "REACTIVATION_CALL"  # variable of the environment: when the user called Snakemake


@cache
def expected_versions(environment: Path, conda: bool) -> dict[str, str]:
    """The versions of DECISIVE packages that a job should have, of those that its `environment` names.

    With `conda` they are those of that file, in which conda installs the job; otherwise those of this Python.
    """
    entries = yaml.safe_load(environment.read_text(encoding="utf-8"))["dependencies"]
    pinned = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    found = {}
    for package in DECISIVE:
        if (name := CONDA.get(package, package)) in pinned:
            found[package] = pinned[name] if conda else _installed(package)
    return found


def _installed(package: str) -> str:
    try:
        return public(metadata.version(package))
    except metadata.PackageNotFoundError:
        return "not installed"


def binding(result: str, identity: dict[str, str], versions: dict[str, str], warn: bool, call: str) -> str:
    """What stands among the params of the job that makes `result`.

    As long as the result was made by the code and config of `identity`, with `versions`, it is what stood there when it
    was made; `warn`: other versions are only named. Otherwise it is new in each `call`, until the result is made again:
    Snakemake records params of a failed job too.
    """
    made = read_receipt(result)
    if made is None:
        return ""
    other = [words for what, words in OTHERS.items() if made.get(what) != identity[what]]
    if not warn and (words := other_versions(made, versions)):
        other.append(words)
    return f"{BOUND_OTHERWISE}{', '.join(other)} ({call})" if other else made.get("binding", "")


def other_versions(made: dict, versions: dict[str, str]) -> str | None:
    """The versions that a result was made with, in words, if a job would have others now.

    A job may have had other versions than planning expected. That alone makes nothing stale: it would be so again.
    """
    had = {package: public(version) for package, version in made["versions"].items()}
    if versions in (had, made.get("expected")):
        return None
    return f"{listed_versions(had)}, now {listed_versions(versions)}"


def listed_versions(versions: dict[str, str]) -> str:
    return ", ".join(f"{package} {version}" for package, version in versions.items()) or "no packages"

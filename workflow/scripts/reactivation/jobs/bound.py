"""What binds a result to what made it: a job checks its code and its inputs, and records its outputs and versions."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.jobs import executed
from reactivation.jobs.code_digest import fingerprint_digest
from reactivation.jobs.provenance import public, versions
from reactivation.storage.files import json_digest
from reactivation.storage.receipts import check_input, is_result, read_receipt, segment_of, write_receipt

Versions = dict[str, list[str]]  # of each package, all versions that had a part in a result


def check_job(snakemake: Any) -> None:
    """Raise InputError unless the job runs the code that it was planned with, on inputs that are what was written."""
    check_code(snakemake)
    for path in snakemake.input:
        if is_result(path):
            check_input(path)


def check_code(snakemake: Any) -> None:
    """Raise InputError unless the job runs the code that it was planned with."""
    if found := executed.check(snakemake):
        raise InputError(found)


def record_outputs(snakemake: Any) -> None:
    """Write the receipts of the job's outputs; a training's record lists the others, so that alone gets one."""
    record = snakemake.output.get("record")
    outputs = list(snakemake.output) if record is None else [record]
    params = dict(snakemake.params.items())
    expected = snakemake.config["where"]["versions"][snakemake.rule]
    now = {package: version for package, version in versions(tuple(expected)).items() if package in expected}
    about = {
        "rule": snakemake.rule,
        **identity(params),
        "binding": params["binding"],
        "versions": now,
        "expected": expected,
        "made_with": made_with(snakemake.input, now),
    }
    for path in outputs:
        write_receipt(path, about)


def identity(params: Mapping[str, Any]) -> dict[str, str]:
    """Digests of a job's `code` and `config`: of its fingerprint, and of all other params that decide its result."""
    config = {key: value for key, value in params.items() if key not in ("code", "binding")}
    return {"code": fingerprint_digest(params["code"]), "config": json_digest(config)}


def made_with(inputs: Iterable[str], own: dict[str, str] | None = None) -> Versions:
    """All versions that had a part in `inputs`, by their receipts, and those of the job itself."""
    found: dict[str, set[str]] = {package: {public(version)} for package, version in (own or {}).items()}
    for path in filter(is_result, inputs):
        folder = segment_of(Path(path))
        receipt = read_receipt(folder / "segment.json" if folder else path) or {}
        for package, of_input in receipt.get("made_with", {}).items():
            found.setdefault(package, set()).update(of_input)
    return {package: sorted(found[package]) for package in sorted(found)}

"""Records of results that an earlier release made, which wrote none: they are written when the results are accepted."""

import json
import os
from pathlib import Path
from typing import Any

import h5py

from reactivation.jobs.bound import made_with
from reactivation.jobs.provenance import public
from reactivation.planning import binding
from reactivation.planning.stale import Job
from reactivation.storage.files import atomic, read_json, reading, write_json
from reactivation.storage.receipts import described, listed, read_receipt, receipt_path, write_receipt


def recorded(job: Job) -> list[str]:
    """The results of a job that have receipts of their own: of a training, its record, which lists the others."""
    return [job.name] if job.rule == "train" else job.outputs


def lacking(job: Job) -> list[str]:
    """The results of a job that are there and have no receipt."""
    return [path for path in recorded(job) if Path(path).exists() and read_receipt(path) is None]


def made_by(job: Job) -> dict[str, str]:
    """The versions that a result says it was made with, of the packages that the job would record now.

    Tables and figures do not say so; theirs are then those of now, with which a sample of them is compared.
    """
    path = Path(job.name)
    said: Any = {}
    if path.suffix == ".json":
        said = read_json(path).get("versions", {})
    elif path.suffix == ".h5" and path.exists():
        with reading(path), h5py.File(path) as file:
            said = file.attrs.get("versions", "{}")
    if isinstance(said, str):  # also in the records of early trainings
        said = json.loads(said)
    return {package: public(said.get(package, version)) for package, version in job.versions.items()}


def other_versions(job: Job) -> str | None:
    """In words, that a result without a receipt says of itself that other versions made it."""
    if not lacking(job):
        receipt = read_receipt(job.name)
        found = binding.other_versions(receipt, job.versions) if receipt else None
        return f"it was made with {found}" if found else None
    made = made_by(job)
    words = [f"{package} {made[package]}" for package in made if made[package] != public(job.versions[package])]
    return f"it was made with {', '.join(words)}; now there are other versions" if words else None


def adopt(job: Job) -> None:
    """Write the records that the results of a job lack, as the job would have; times of files stay as they are."""
    missing = lacking(job)
    if not missing:
        return
    if job.rule == "train":
        _list_outputs(Path(job.name))
    versions = made_by(job)
    about = {
        "rule": job.rule,
        **job.identity,
        "binding": "",
        "versions": versions,
        "expected": job.versions,
        "made_with": made_with(job.inputs, versions),
    }
    for path in missing:
        write_receipt(path, about)


def rebind(job: Job) -> dict[Path, dict[str, Any]]:
    """Note in the receipts of a job's results that the code and config of now make the same; return those of before."""
    before = {}
    for path in recorded(job):
        receipt = read_receipt(path)
        if receipt is not None:
            before[receipt_path(path)] = receipt
            write_json(receipt_path(path), receipt | job.identity | {"binding": ""})
    return before


def _list_outputs(path: Path) -> None:
    """Add to a segment's record what is there of the segment's files."""
    record: dict[str, Any] = read_json(path)
    if "outputs" in record:
        return
    folder, state = path.parent, path.stat()
    names = [name for name in ("final.pt", "training.csv", "evaluation.csv") if (folder / name).is_file()]
    checkpoints = {f"checkpoints/{name}": entry for name, entry in listed(folder / "checkpoints").items()}
    record["outputs"] = {name: described(folder / name) for name in names} | checkpoints
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        # Its time stays, even after a kill: if it were newer, the next segment would be trained again.
        os.utime(temporary, ns=(state.st_atime_ns, state.st_mtime_ns))

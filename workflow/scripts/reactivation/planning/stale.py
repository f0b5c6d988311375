"""What Snakemake would make again, why, and which of it may be taken for current instead.

A dry run writes a file that says what would run and why (rules/stale.smk). A result may be taken for current if it
differs from now by code, by a page's template, by how images are identified, by keys that are at their defaults, or by
versions that an earlier release did not record. Whatever else made it stale, it is made again.
"""

import ast
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from reactivation.planning.binding import BOUND_OTHERWISE, OTHER_CONFIG
from reactivation.storage.files import read_json

STALE = "REACTIVATION_STALE"  # variable of the environment: the file that a dry run writes
FIRST = "REACTIVATION_FIRST"  # and how many checkpoints are enough in jobs that are made again to be compared

MODULE = re.compile(r"(?P<name>\S+\.py):(?P<digest>[0-9a-f]{10})")
PAGE = re.compile(r"(?P<name>report/\S+):(?P<digest>[0-9a-f]{10})")
COUNTED = re.compile(r"\d+ bytes|\d+ files?, [0-9a-f]{10}")  # how earlier releases identified images
PAGE_OF_ACCEPTED = "resolved"  # the rule whose page shows what was accepted, so that it is written each time
IMAGES = "how images are identified"
# Reasons for which a result is made again, as rules/stale.smk calls them, in words.
REASONS = {
    "missing": "{0} is missing",
    "newer": "{0} is newer than what was made from it",
    "incomplete": "its job was killed",
    "unrecorded": "Snakemake has no record of it",
    "inputs": "it would be made from other files",
    "software": "its software environment is another",
}


@dataclass(frozen=True)
class Job:
    """A job of the DAG. `needs`: positions of the jobs whose results it reads, in a list where these come first."""

    rule: str
    inputs: list[str]
    outputs: list[str]
    needs: list[int]
    spec: Any
    versions: dict[str, str]  # that the job should have
    why: dict[str, Any]  # empty if nothing would run it
    identity: dict[str, str] = field(default_factory=dict)  # digests of the code and config that would make its results

    @property
    def name(self) -> str:
        """The file that stands for the job's results: a training's record, or the first output."""
        return next((path for path in self.outputs if path.endswith("/segment.json")), self.outputs[0])


@dataclass
class Verdict:
    """Whether a stale result may be taken for current: `refused` says why not. Otherwise, what changed."""

    refused: str | None = None
    code: dict[str, tuple[str, str]] = field(default_factory=dict)  # old and new digest of each module or template
    others: list[str] = field(default_factory=list)  # whatever else differs, in words


def read_jobs(path: Path) -> tuple[str, list[Job]]:
    """What a dry run wrote: the fingerprints it was planned with, and its jobs, each after those that it needs."""
    found = read_json(path)
    keys = ("rule", "input", "output", "needs", "spec", "versions", "why", "identity")
    return found["code"], [Job(*(job[key] for key in keys)) for job in found["jobs"]]


def judge(
    jobs: list[Job],
    other_versions: Callable[[Job], str | None],
    rules: Collection[str],
    whole: Callable[[Job], bool] = lambda job: False,
) -> dict[int, Verdict]:
    """A verdict on each job that is stale for reasons of its own.

    `other_versions(job)`: what a result itself says of that, in words, or None. `rules`: those of which results may be
    accepted. `whole(job)`: whether its results are what was written; a mark that it was killed then means that a call
    was killed as it recorded them. A result that is made from a refused one is refused too.
    """
    verdicts: dict[int, Verdict] = {}
    refused: dict[int, str] = {}  # of each job that will be made again, the result with which that begins
    for i, job in enumerate(jobs):
        stale = any(job.why.values())
        before = next((refused[other] for other in job.needs if other in refused), None)
        if stale:
            verdicts[i] = verdict(job, job.why["incomplete"] and whole(job))
            if not verdicts[i].refused and (words := other_versions(job)):
                verdicts[i] = Verdict(refused=words)
            if job.rule == PAGE_OF_ACCEPTED:
                verdicts[i] = Verdict(refused="its page shows what was accepted")
            if not verdicts[i].refused and job.rule not in rules:
                verdicts[i] = Verdict(refused="not among the rules to accept")
            if verdicts[i].refused:
                refused[i] = job.name
            elif before:
                verdicts[i] = Verdict(refused=f"it is made from {before}, which is made again")
        if before:
            refused.setdefault(i, before)
    return verdicts


def verdict(job: Job, recording: bool = False) -> Verdict:
    """Whether a stale result differs from now only by what may be accepted.

    `recording`: the job is marked as killed, but only as it was recorded.
    """
    for reason, words in REASONS.items():
        if (found := job.why[reason]) and not (reason == "incomplete" and recording):
            return Verdict(refused=words.format(*(found if isinstance(found, list) else ())))
    old, new = _sorted_out(job, job.why["old"]), _sorted_out(job, job.why["new"])
    if old.get("other") or new.get("other"):
        return Verdict(refused="its config changed")
    found = Verdict(others=["a call that was killed as it recorded them"] if recording else [])
    if old.get("spec") or new.get("spec"):
        specs = [*old.get("spec", ()), *new.get("spec", ())]
        if len(specs) != 2 or not old.get("spec") or (added := _added(*specs)) is None:
            return Verdict(refused="its config changed")
        keys = ", ".join(sorted(set(added)))
        found.others.append(f"keys at their defaults: {keys}" if keys else "the order of keys")
    if "images" in old or "images" in new:
        if not all(COUNTED.fullmatch(state) for state in old.get("images", ["none"])):
            return Verdict(refused="its images changed")
        found.others.append(IMAGES)
    if "given" in old:
        return Verdict(refused="the kernels that it was given changed")
    if "given" in new:
        found.others.append("how kernels from elsewhere are identified")
    # A job that failed left its params on record, though the result is of an earlier one.
    explained = {"spec", "images", "page"} & {*old, *new}
    if not explained and any(OTHER_CONFIG in words for words in new.get("binding", ())):
        return Verdict(refused="its config changed")
    for kind, form in (("code", MODULE), ("page", PAGE)):
        before, after = ({m["name"]: m["digest"] for m in _matches(of.get(kind, []), form)} for of in (old, new))
        names = sorted(before.keys() | after.keys())
        found.code |= {n: (before.get(n, ""), after.get(n, "")) for n in names if before.get(n) != after.get(n)}
    return found


def _matches(values: list[Any], form: re.Pattern[str]) -> Iterator[re.Match[str]]:
    for value in values:
        for entry in [value] if isinstance(value, str) else value:
            if match := form.fullmatch(entry):
                yield match


def _sorted_out(job: Job, texts: list[str]) -> dict[str, list[Any]]:
    """Params, which Snakemake records as text and without names, by what they are."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            value = None
        found.setdefault(_kind(job, value), []).append(value)
    return found


def _kind(job: Job, value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(v, str) and MODULE.fullmatch(v) for v in value):
        return "code"
    if isinstance(value, str) and PAGE.fullmatch(value):
        return "page"
    if value == "":
        return "none"
    if isinstance(value, str) and value.startswith(BOUND_OTHERWISE):
        return "binding"
    if isinstance(value, str) and job.rule in ("dataset", "metrics"):
        return "images" if job.rule == "dataset" else "given"
    return "spec" if isinstance(value, dict) else "other"


def _added(old: Any, new: Any) -> list[str] | None:
    """The keys that `new` has besides those of `old`, if they are at their defaults and all else is the same."""
    if isinstance(old, dict) and isinstance(new, dict):
        if old.keys() - new.keys():
            return None
        found = [key for key in new if key not in old]
        if not all(any(new[key] == default for default in defaults().get(key, ())) for key in found):
            return None
        inner = [_added(old[key], new[key]) for key in old]
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        found, inner = [], [_added(a, b) for a, b in zip(old, new, strict=True)]
    else:
        return [] if old == new and type(old) is type(new) else None
    if any(keys is None for keys in inner):
        return None
    return found + [key for keys in inner for key in keys or ()]


@cache
def defaults() -> dict[str, list[Any]]:
    """The defaults of each key of a study; keys of several sections may share a name."""
    from pydantic import BaseModel

    from reactivation.study import schema
    from reactivation.study.values import Strict

    assert schema  # its import defines the sections
    found: dict[str, list[Any]] = {}
    sections = [Strict]
    for section in sections:
        sections += section.__subclasses__()
        for key, of in section.model_fields.items():
            if not of.is_required():
                value = of.get_default(call_default_factory=True, validated_data={})
                found.setdefault(key, []).append(value.model_dump() if isinstance(value, BaseModel) else value)
    return found

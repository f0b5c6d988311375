"""Which results are made again to be compared: one of each kind, the smallest, as far as what they need is there."""

from collections.abc import Callable, Collection, Iterable
from typing import Any

from reactivation.planning.stale import PAGE_OF_ACCEPTED, Job

# Rules whose results are told apart by what their specs say: a network's name, its optimizer, whether it has momentum.
BY_WORDS = ("dataset", "split", "probe", "train", "ntk", "function", "within", "convergence", "metrics", "figure")
NAMES = ("seed", "classes", "title", "epochs", "similarity", "runs", "axes")  # what they say runs no other code
# Where nothing is stale, a few results of different rules are made again, in this order.
ORDER = (
    *("train", "ntk", "metrics", "within", "function", "figure"),
    *("probe", "split", "switches", "dataset", "claims", "explore"),
)


def kind(job: Job) -> tuple[str, ...]:
    """What results have in common of which one stands for all: the rule, and what runs other lines of code."""
    if job.rule not in BY_WORDS or not job.spec:
        return (job.rule,)
    spec = job.spec.get("segment", job.spec)
    later = [f"tasks: {min(len(spec['tasks']), 2)}"] if "tasks" in spec else []
    return (job.rule, *later, *sorted(set(_words(job.spec, ""))))


def _words(value: Any, path: str) -> Iterable[str]:
    """The text and truth values in a spec, and whether its numbers are 0, each with its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in NAMES:
                yield from _words(inner, f"{path}.{key}")
    elif isinstance(value, list):
        for inner in value:
            yield from _words(inner, path)
    elif isinstance(value, str | bool | None):
        yield f"{path}: {value}"
    else:
        yield f"{path}: {'a number' if value else 0}"


def choose(
    jobs: list[Job],
    stale: Iterable[int],
    least: int,
    size: Callable[[Job], float],
    exists: Callable[[str], bool],
    alone: Collection[int] = (),
) -> tuple[list[list[int]], list[str]]:
    """The jobs to run again, `least` or more; and the rules of which no result can be made, as their inputs are gone.

    Each entry is a job, after trainings whose checkpoints it needs and that have deleted them. `stale`: jobs whose
    results might be accepted; each of their kinds has one in the sample, and so has each of `alone`.
    """
    makers = {path: i for i, job in enumerate(jobs) for path in job.outputs}
    candidates = [i for i, job in enumerate(jobs) if job.rule != PAGE_OF_ACCEPTED]
    feasible = {i: found for i in candidates if (found := _with_makers(i, jobs, makers, exists))}
    smallest = sorted(stale, key=lambda i: (size(jobs[i]), i))
    of_kind: dict[tuple[str, ...], list[int] | None] = {}
    for i in smallest:
        of = (*kind(jobs[i]), jobs[i].name) if i in alone else kind(jobs[i])
        if of_kind.get(of) is None:
            of_kind[of] = feasible.get(i)
    chosen = [found for found in of_kind.values() if found]
    rest = [feasible[i] for i in smallest if i in feasible and feasible[i] not in chosen]
    if not smallest:
        rest = _of_each_rule(jobs, list(feasible.values()), size)
    chosen += rest[: max(0, least - len(chosen))]
    makers_too = {i for found in chosen for i in found[:-1]}
    made = {of[0] for of, found in of_kind.items() if found}
    lacking = sorted({of[0] for of, found in of_kind.items() if found is None} - made)
    return [found for found in chosen if found[-1] not in makers_too], lacking


def _of_each_rule(jobs: list[Job], feasible: list[list[int]], size: Callable[[Job], float]) -> list[list[int]]:
    """The smallest of each rule, then the second of each, and so on."""
    by_rule: dict[str, list[list[int]]] = {}
    for found in sorted(feasible, key=lambda found: (size(jobs[found[-1]]), found)):
        by_rule.setdefault(jobs[found[-1]].rule, []).append(found)
    known = [rule for rule in ORDER if rule in by_rule]
    rules = known + [rule for rule in by_rule if rule not in known]
    most = max(map(len, by_rule.values()), default=0)
    return [by_rule[rule][n] for n in range(most) for rule in rules if n < len(by_rule[rule])]


def _with_makers(i: int, jobs: list[Job], makers: dict[str, int], exists: Callable[[str], bool]) -> list[int] | None:
    """Job `i` after the trainings that must run for it; None if more than checkpoints is gone, or it has no result."""
    if not any(map(exists, jobs[i].outputs)):
        return None
    before: list[int] = []
    for path in jobs[i].inputs:
        if exists(path):
            continue
        maker = makers.get(path)
        if maker is None or not path.endswith("/checkpoints") or not all(map(exists, jobs[maker].inputs)):
            return None
        before.append(maker)
    return [*before, i]


def groups(chosen: list[list[int]], jobs: list[Job]) -> list[list[list[int]]]:
    """Divide the sample so that in no group a job needs what another makes: each is made from what is there."""
    found: list[list[list[int]]] = []
    above = {found[-1]: _ancestors(found[-1], jobs) - {*found} for found in chosen}
    for one in sorted(chosen, key=lambda found: found[-1]):
        for group in found:
            if not any(above[one[-1]] & {*other} or above[other[-1]] & {*one} for other in group):
                group.append(one)
                break
        else:
            found.append([one])
    return found


def _ancestors(i: int, jobs: list[Job]) -> set[int]:
    found, left = set(), [i]
    while left:
        for other in jobs[left.pop()].needs:
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def after(rules: set[str], jobs: list[Job]) -> set[str]:
    """`rules`, and those with a job that needs what a job of these makes."""
    found: set[int] = set()
    for i, job in enumerate(jobs):
        if job.rule in rules or found & {*job.needs}:
            found.add(i)
    return {jobs[i].rule for i in found} | rules

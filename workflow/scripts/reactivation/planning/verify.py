"""`snakemake verify`: results are what was written, and this code makes the same on this machine.

Reads every result and compares its digest. Makes a sample of results again and compares bits. On demand, takes results
for current that differ from now only by code, if the sample is equal: then a new release trains nothing again.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from reactivation.errors import InputError
from reactivation.planning import accept as acceptance
from reactivation.planning.digests import Wrong, check_all
from reactivation.planning.nested import Call
from reactivation.planning.prune import at_work
from reactivation.planning.records import lacking, other_versions
from reactivation.planning.remake import Compared, own_folder, remake
from reactivation.planning.sample import after, choose, groups
from reactivation.planning.stale import IMAGES, Job, Verdict, judge
from reactivation.storage.accepted import ACCEPTED
from reactivation.storage.files import read_json
from reactivation.storage.receipts import GONE, segment_of
from reactivation.study.reserved import RULES

MOST = 20  # lines for differences; more are counted


def verify(call: Call, least: int, accept: list[str], study: str) -> Iterator[str]:
    """Yield lines for a person. InputError if anything differs.

    At least `least` results are made again; with 0, only digests are compared. `accept`: rules whose results are
    accepted, if there are any.
    """
    if accept:
        acceptance.refuse_if_busy()
    elif at_work():
        yield "Another call of Snakemake is at work here: what it makes now may be called missing or changed."
    acceptance.finish()
    count, wrong = check_all(call.cores, call.kept, call.segments)
    if wrong:
        raise InputError("\n".join(_wrong(call, wrong)))
    if count:
        yield f"{_count(count, 'file')} {'are' if count > 1 else 'is'} what was written."
    if not least:
        return
    jobs = call.jobs()
    if unknown := sum(len(lacking(job)) for job in jobs):
        yield f"{_count(unknown, 'result')} without a record of what was written, as an earlier release left them."
    versions = (lambda job: None) if call.warn else other_versions
    verdicts = judge(jobs, versions, accept or RULES, whole=lambda job: not lacking(job))  # all digests are right
    accepted = {i: verdict for i, verdict in verdicts.items() if not verdict.refused}
    yield from _tell_stale(jobs, verdicts, accepted)
    compared: list[Compared] = []
    yield from _make_again(call, jobs, accepted, least, compared)
    if not accept:
        if accepted or unknown:
            yield f"To take them for current: {call.words('verify', accept='true')}"
        return
    if not (accepted or unknown):
        yield "Nothing to accept."
        return
    acceptance.accept(call, jobs, accepted, compared, study)
    rules = f" ({_by_rule(jobs, accepted)})" if accepted else ""
    yield f"accepted: {_count(len(accepted), 'result')}{rules}, noted in {ACCEPTED}"
    yield from _refresh(call, study)
    left = [job for job in call.jobs() if job.why]
    by_rule = Counter(job.rule for job in left)
    jobs_left = ", ".join(f"{n} {rule}" for rule, n in by_rule.items())
    yield f"A dry run leaves to be made: {jobs_left}." if left else "A dry run says that nothing is to be done."


def _wrong(call: Call, wrong: Wrong) -> Iterator[str]:
    """What differs from its record, and how it is made again."""
    if at_work():
        yield "another call of Snakemake is at work here, and may be writing some of these now"
    makers = {path: job.name for job in call.jobs() for path in job.outputs}
    again: dict[str, None] = {}
    others = False
    for path, words in wrong[:MOST]:
        folder = segment_of(path)
        # What a segment's training wrote is made by one job, and Snakemake does not look into a folder of checkpoints.
        what = "it" if folder is None else f"{folder}, a folder"
        alone = folder is None or path.name == "segment.json"
        yield f"{path} {words}" + ("" if words == GONE and alone else f": delete {what}")
        maker = makers.get(str(folder / "segment.json" if folder else path))
        again |= {maker: None} if maker else {}
        others |= maker is None
    if len(wrong) > MOST:
        yield f"and {len(wrong) - MOST} more: verify again afterwards"
    if again:  # named, because Snakemake does not miss what everything was already made from
        yield f"then make them again: {call.words(*again, 'all')}"
    if others:
        yield "some are of other studies: make those again with their configs"
    if any(words == GONE for _, words in wrong):
        yield "or, if you deleted on purpose what is missing: snakemake prune --config delete=true forgets it"


def _tell_stale(jobs: list[Job], verdicts: dict[int, Verdict], accepted: dict[int, Verdict]) -> Iterator[str]:
    """What Snakemake would make again, and why."""
    if not verdicts:
        yield "Every result is current."
        return
    if accepted:
        yield f"Only their code is another, or how they are recorded: {_by_rule(jobs, accepted)}."
        modules = sorted({module for verdict in accepted.values() for module in verdict.code})
        words = sorted({words for verdict in accepted.values() for words in verdict.others})
        named = [*modules[:5], *([f"{len(modules) - 5} more modules"] if len(modules) > 5 else []), *words]
        yield f"What changed: {', '.join(named)}."
    reasons: dict[str, list[int]] = {}
    for i, verdict in verdicts.items():
        if verdict.refused:
            why = re.sub(r"results/\S+", "a file", verdict.refused)
            reasons.setdefault(why.replace("a file, which is made again", "what is made again"), []).append(i)
    for why, of in reasons.items():
        shown = verdicts[of[0]].refused if len(of) == 1 else why
        yield f"To be made again: {_by_rule(jobs, of)} ({shown})."


def _make_again(
    call: Call, jobs: list[Job], accepted: dict[int, Verdict], least: int, compared: list[Compared]
) -> Iterator[str]:
    """Make the sample again, and add what was compared to `compared`. InputError if anything differs."""
    alone = [i for i, verdict in accepted.items() if IMAGES in verdict.others]
    chosen, lack = choose(jobs, accepted, least, size, lambda path: Path(path).exists(), alone)
    # Their files are the last copies of their images: to make them again is no choice.
    last = [i for i in accepted if jobs[i].rule == "dataset" and not all(map(os.path.exists, jobs[i].inputs))]
    for i in last:
        yield f"Not made again: {jobs[i].name}, as its images are gone."
    if lack := [rule for rule in lack if not (rule == "dataset" and last)]:
        raise InputError(
            f"nothing of {', '.join(lack)} can be made again, as what it is made from is gone; nothing was accepted"
        )
    differ = []
    with own_folder() as folder:
        for number, group in enumerate(groups(chosen, jobs)):
            yield f"Making again: {_by_rule(jobs, [i for found in group for i in found])}."
            for one in remake(call, jobs, group, folder / str(number)):
                if one.differs:
                    differ.append(one)
                elif one.files:
                    compared.append(one)
                    within = "equal within bounds" if one.loose else "equal"
                    yield f"Made again: {one.name}: {_count(len(one.files), 'file')} {within}."
    if differ:
        raise InputError(_refusal(call, jobs, accepted, differ))
    if unseen := sorted({jobs[i].rule for i in accepted if i not in last} - {one.rule for one in compared}):
        raise InputError(f"nothing of {', '.join(unseen)} could be compared; nothing was accepted")


def _refusal(call: Call, jobs: list[Job], accepted: Iterable[int], differ: list[Compared]) -> str:
    """What differs, and what to do: make it again; of what does not come after it, the rest can be accepted."""
    lines = [str(one.differs) for one in differ]
    lines.append(f"nothing was accepted; what is stale is made again by: {call.words()}")
    rules = after({one.rule for one in differ}, jobs)
    if others := list(dict.fromkeys(jobs[i].rule for i in accepted if jobs[i].rule not in rules)):
        lines.append(f"to accept what is not made from these: {call.words('verify', accept=','.join(others))}")
    return "\n".join(lines)


def _refresh(call: Call, study: str) -> Iterator[str]:
    """Write the page of the report again that shows what was accepted, if it was there."""
    page = f"results/{study}/config.html"
    if Path(page).exists():
        options = ["--force", "--cores", "1", "--rerun-triggers", "mtime", "--allowed-rules", "resolved"]
        if call.run(page, *options).returncode:
            yield f"{page} could not be written again: it does not show yet what was accepted."


def size(job: Job) -> float:
    """How much it takes to make a result again, to compare results of one rule: parameters × steps, or bytes."""
    record = Path(job.name).parent / "segment.json"
    if record.exists():
        found = read_json(record)
        return found["parameters"] * max(1, found["final_step"])
    paths = map(Path, (*job.inputs, *job.outputs))
    return sum(path.stat().st_size for path in paths if path.is_file())


def _by_rule(jobs: list[Job], of: Iterable[int]) -> str:
    counts = Counter(jobs[i].rule for i in of)
    return ", ".join(f"{n} {rule}" for rule, n in counts.items())


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"

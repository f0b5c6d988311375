"""What Snakemake would make again, and why: a file for `verify`, which asks for it in a dry run of its own."""

import asyncio
import atexit
import json
import os

from reactivation.planning.stale import STALE


async def unlike_record(job, file):
    """Whether an input has another digest than Snakemake recorded for it, or too many bytes to have one."""
    recorded = workflow.persistence.input_checksums(job, file)
    largest = workflow.dag.max_checksum_file_size
    if len(recorded) != 1 or not await file.is_checksum_eligible(largest):
        return True
    return not await file.is_same_checksum(recorded.pop(), largest)


async def reasons(job):
    """Why a job would run, apart from what other jobs do; Snakemake itself stops looking at the first that would run."""
    records, oldest = workflow.persistence, await job.output_mintime
    newer = [file for file in job.input if oldest and await file.exists() and await file.is_newer(oldest)]
    changed = records.params_changed(job)
    return {
        "missing": [file for file in job.output if file not in job.temp_output and not await file.exists()],
        "newer": [file for file in newer if await unlike_record(job, file)],
        "incomplete": bool(await records.incomplete(job)),
        "unrecorded": not records.has_metadata(job),
        "inputs": any(records.input_changed(job)),
        "software": any(records.software_stack_changed(job)),
        "old": sorted(changed.only_old),
        "new": sorted(changed.only_new),
    }


def images(job):
    """The place of a data set's images, unless they can be fetched: without them it cannot be made again."""
    if job.rule.name != "dataset":
        return []
    source = config["where"]["sources"][job.wildcards.dataset]
    return [] if source["root"] is None or source["download"] else [str(Path(source["root"]).resolve())]


async def all_jobs():
    """Every job of the DAG, in an order in which they could run."""
    jobs = [job for level in workflow.dag.toposorted() for job in level if job.output]
    number = {job: i for i, job in enumerate(jobs)}
    return [
        {
            "rule": job.rule.name,
            "input": [*job.input, *images(job)],
            "output": list(job.output),
            "needs": sorted(number[other] for other in workflow.dag.dependencies[job]),
            "spec": job.params.get("spec"),
            "versions": config["where"]["versions"].get(job.rule.name, {}),
            "identity": identity(dict(job.params.items())) if "code" in job.params.keys() else {},
            "why": await reasons(job) if workflow.dag.needrun(job) else {},
        }
        for job in jobs
    ]


def write_stale():
    """Write the file, unless the dry run itself failed."""
    if workflow.dag is not None and list(workflow.dag.jobs):
        found = {"code": planned_code(), "jobs": asyncio.run(all_jobs())}
        Path(os.environ[STALE]).write_text(json.dumps(found), encoding="utf-8")


if STALE in os.environ:
    atexit.register(write_stale)

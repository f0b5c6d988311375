"""Ask Slurm, before the first job is submitted, whether it accepts the jobs of this study.

Otherwise Slurm would refuse every job several times over, and each time print the command that submitted it.
"""

import shutil
import subprocess

MOST = {"time": "runtime", "mem": "mem_mb", "cpus-per-task": "_cores"}  # what all jobs ask for, in different amounts


def refusal():
    """Why Slurm would refuse a job with the most time, memory and cores that any asks for; None if it accepts."""
    rules = [job for job in workflow.dag.needrun_jobs() if not (job.is_local or job.is_norun)]
    jobs = [job.resources for job in {workflow.dag.get_job_group(rule) or rule for rule in rules}]
    if not jobs:
        return None
    asked = jobs[0]
    most = {option: max(job[key] for job in jobs) for option, key in MOST.items()}
    options = ["--test-only", "--wrap=true", *(f"--{option}={number}" for option, number in most.items())]
    options += [f"--{key}={asked[f'slurm_{key}']}" for key in ("partition", "account") if asked.get(f"slurm_{key}")]
    if asked.gpu:
        options.append("--gpus=" + ":".join([*filter(None, [asked.get("gpu_model")]), str(asked.gpu)]))
    tried = subprocess.run(["sbatch", *options], capture_output=True, text=True)
    return " ".join(tried.stderr.replace("sbatch: ", "").split()) if tried.returncode else None


def refuse_what_slurm_would():
    """Raise WorkflowError if jobs of this call would be refused."""
    if workflow.executor_plugin.name != "slurm":
        return
    if shutil.which("sbatch") is None:
        raise WorkflowError(
            "there is no sbatch on PATH: call this where jobs are submitted to Slurm, or leave out --profile slurm"
        )
    if words := refusal():
        raise WorkflowError(
            f"Slurm refuses the jobs of this study ({words}): correct partition, account or gpu_type in "
            "slurm/config.yaml, ask for less time or memory with --set-resources, or for no GPU with --config "
            "device=cpu"
        )

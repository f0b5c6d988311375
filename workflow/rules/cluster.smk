"""Before the first job is submitted to Slurm: whether Slurm would take it.

Otherwise each job of a study would be refused, several times over, each with the command that submitted it.
"""

import shutil
import subprocess
from collections import Counter


def refusal():
    """What Slurm says against a job like those of this study, with the most time and memory that any asks for; or None."""
    jobs = [job for job in workflow.dag.needrun_jobs() if not (job.is_local or job.is_norun)]
    if not jobs:
        return None
    minutes = Counter()
    for job in jobs:
        minutes[job.group] += job.resources.runtime  # one after the other
    asked, memory = jobs[0].resources, max(job.resources.mem_mb for job in jobs)
    options = ["--test-only", "--wrap=true", f"--time={max(minutes.values())}", f"--mem={memory}"]
    options += [f"--{key}={asked[f'slurm_{key}']}" for key in ("partition", "account") if asked.get(f"slurm_{key}")]
    if asked.gpu:
        options.append("--gpus=" + ":".join([*filter(None, [asked.get("gpu_model")]), str(asked.gpu)]))
    tried = subprocess.run(["sbatch", *options], capture_output=True, text=True)
    return " ".join(tried.stderr.replace("sbatch: ", "").split()) if tried.returncode else None


onstart:
    if workflow.executor_plugin.name == "slurm":
        if shutil.which("sbatch") is None:
            raise WorkflowError(
                "there is no sbatch on PATH: call this where jobs are submitted to Slurm, or leave out --profile slurm"
            )
        if words := refusal():
            raise WorkflowError(
                f"Slurm refuses the jobs of this study ({words}): correct partition, account or gpu_type in slurm/config.yaml, or "
                "ask for less time or memory with --set-resources"
            )

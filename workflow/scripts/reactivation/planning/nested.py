"""Calls of Snakemake by `verify`: the same workflow and config as the user's call, for another purpose."""

import json
import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reactivation.errors import InputError
from reactivation.jobs.code_digest import PLANNED
from reactivation.planning.stale import STALE, Job, read_jobs
from reactivation.storage.files import file_digest

NOISE = ("Using ", "host: ", "Building DAG", "Complete log", "Shutting down", "Exiting because", "Workflow has started")


@dataclass(frozen=True)
class Call:
    """What the user's call says, for those made in its place."""

    program: list[str]  # what starts Snakemake
    snakefile: str
    configfiles: list[str]  # absolute paths
    config_digests: list[str]  # SHA-256 of each when the user called
    config: dict[str, Any]  # keys given on the command line
    options: list[str]  # of conda, if jobs run in its environments
    cores: int
    data_root: str
    warn: bool  # whether results of other versions stay, as the study says
    kept: list[str]  # which weights of its segments the study keeps
    segments: list[str]

    def refuse_changed_config(self) -> None:
        """InputError if a config file is not what the user's call read: nested calls read it again."""
        for path, digest in zip(self.configfiles, self.config_digests, strict=True):
            if file_digest(path) != digest:
                raise InputError(f"{path} has changed since snakemake was called: call the same command again")

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
        """Call Snakemake with targets and options."""
        self.refuse_changed_config()
        given = [f"{key}={json.dumps(value)}" for key, value in self.config.items()]
        command = [*self.program, *arguments, "--snakefile", self.snakefile, *self.options]
        command += ["--configfile", *self.configfiles, *(["--config", *given] if given else [])]
        run = subprocess.run(
            command,
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.refuse_changed_config()
        return run

    def words(self, *targets: str, **config: str) -> str:
        """How a user calls Snakemake for this study."""
        files = [os.path.relpath(path) for path in self.configfiles]
        given = [f"{key}={value}" for key, value in {**self.config, **config}.items()]
        words = ["snakemake", *targets, *self.options[:2], "--configfile", *files]
        return shlex.join([*words, *(["--config", *given] if given else [])])

    def jobs(self) -> list[Job]:
        """All jobs of the study, and why Snakemake would run them now."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "stale.json")
            run = self.run("all", "--dry-run", "--quiet", "all", **{STALE: str(path)})
            if run.returncode or not path.exists():
                raise InputError(said(run))
            code, jobs = read_jobs(path)
        if code != os.environ.get(PLANNED, code):
            raise InputError("the code has changed since snakemake was called: call the same command again")
        return jobs


def said(run: subprocess.CompletedProcess) -> str:
    """What a call said that failed: lines that begin with `error:`, or else its last ones."""
    lines = [line.strip() for line in run.stdout.splitlines() if line.strip() and not line.startswith(NOISE)]
    errors = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return "; ".join(dict.fromkeys(errors)) or "\n".join(lines[-15:])

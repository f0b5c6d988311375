"""The time that the workflow adds to training and kernels.

`python benchmarks/workflow_overhead.py spent [FOLDER] [--cores N]`: where the time of a finished study went, after one
call of Snakemake in an empty clone. Reads Snakemake's records of jobs, and the seconds that results record.

`python benchmarks/workflow_overhead.py planning [--segments N …]`: how long Snakemake takes to find out what is to be
done, once when everything is and once when nothing is, for config/paper.yaml and for studies of N segments. Works in
copies of this repository, whose results are empty files with Snakemake's records.

`python benchmarks/workflow_overhead.py slurm [--segments N]`: how much longer a study takes as Slurm jobs than without
Slurm. Needs `sbatch` (tests/slurm/up.sh --install sets up a Slurm of one node).
"""

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import h5py
import yaml

REPOSITORY = Path(__file__).parents[1]
# `--touch`, which makes the records, sleeps a tenth of a second before each job: half an hour for 5,000 segments.
SNAKEMAKE = (
    "from snakemake import cli; from snakemake.executors import touch; touch.Executor.SLEEPING_TIME = 0; cli.main()"
)
STUDY = """
study: growth
seeds: []
datasets:
  glyphs: {source: glyphs, classes: 10}
experiments:
  two_tasks:
    dataset: glyphs
    scenario: {kind: class_split, tasks: 2, classes_per_task: 5}
    model: {name: cnn, width: 16}
    training: {epochs: 10, lr: 0.05}
figures:
  fig: {experiment: two_tasks, panels: [{metric: spectral_norm}]}
"""


def jobs(folder: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(rule, log) of each job to its start and end, Unix time in seconds."""
    records = (json.loads(path.read_text()) for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file())
    return {(r["rule"], r["log"][0]): (r["starttime"], r["endtime"]) for r in records}


def inside(folder: Path) -> dict[str, float]:
    """Seconds of the work itself: of training jobs after imports, of their loops over batches; the same for kernels."""
    segments = folder / "results/segments"
    loops = [row["seconds"] for path in segments.glob("*/training.csv") for row in csv.DictReader(path.open())]
    found = {
        "train": sum(float(json.loads(path.read_text())["seconds"]) for path in segments.glob("*/segment.json")),
        "loop": sum(map(float, loops)),
        "ntk": 0.0,
        "contraction": 0.0,
    }
    for path in segments.glob("*/ntk-*.h5"):
        with h5py.File(path) as file:
            found["ntk"] += float(file.attrs["seconds"])
            found["contraction"] += file.attrs["seconds_per_checkpoint"].sum()
    return found


def spent(folder: Path, cores: int) -> None:
    """Print where the time went."""
    done, work = jobs(folder), inside(folder)
    if not done:
        sys.exit(f"error: {folder} has no records of Snakemake: name a folder in which a study was run")
    count = Counter(rule for rule, _ in done)
    seconds: dict[str, float] = defaultdict(float)
    for (rule, _), (start, end) in done.items():
        seconds[rule] += end - start
    wall = max(end for _, end in done.values()) - min(start for start, _ in done.values())
    total = wall * cores
    parts = {
        "training: the loop over batches": work["loop"],
        "training: data, evaluation, checkpoints": work["train"] - work["loop"],
        "kernels: their computation": work["contraction"],
        "kernels: data, checkpoints, files": work["ntk"] - work["contraction"],
        f"start and imports of {count['train'] + count['ntk']} jobs with torch": seconds["train"]
        + seconds["ntk"]
        - work["train"]
        - work["ntk"],
        f"metrics ({count['metrics']} jobs)": seconds["metrics"],
        f"figures ({count['figure']} jobs)": seconds["figure"],
        f"data, splits, probes ({count['dataset'] + count['split'] + count['probe']} jobs)": seconds["dataset"]
        + seconds["split"]
        + seconds["probe"],
    }
    parts["Snakemake between jobs, and idle cores"] = total - sum(parts.values())
    print(f"{len(done)} jobs, {wall:.0f} s from the first job's start to the last one's end, on {cores} cores\n")
    print("| what | core seconds | share |\n| --- | ---: | ---: |")
    for name, value in parts.items():
        print(f"| {name} | {value:.0f} | {100 * value / total:.0f} % |")
    print(f"\noutside training and kernels: {100 * (1 - (work['train'] + work['ntk']) / total):.0f} %")


# -------------------------------------------------------------------------------------------------- planning
def snakemake(folder: Path, *arguments: str) -> tuple[float, str]:
    """Call Snakemake; return the seconds that it takes and what it prints."""
    began = time.perf_counter()
    command = [sys.executable, "-c", SNAKEMAKE, *arguments]
    run = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if run.returncode:
        sys.exit(f"error: snakemake {' '.join(arguments)} failed:\n{run.stdout[-2000:]}")
    return time.perf_counter() - began, run.stdout


def copied(folder: Path) -> Path:
    """Copy this repository, without results, to `folder`."""
    ignored = shutil.ignore_patterns(".*", "results", "data", "docs", "tests", "tmp*", "__pycache__")
    return shutil.copytree(REPOSITORY, folder, ignore=ignored)


def stand_in(folder: Path, output: str) -> None:
    """Make an empty file or folder in place of a result; in place of a data set, a file with what planning reads."""
    path = folder / output
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name == "checkpoints":
        path.mkdir()
    elif path.parent.name == "data":
        with h5py.File(path, "w") as file:
            file.attrs["source_digest"] = ""
            for part in ("train", "test"):
                file[f"{part}/labels"], file[f"{part}/images"] = range(100), [[[[0, 0, 0]]]] * 100
    else:
        path.touch()


def planned(name: str, config: Path) -> list:
    """Name and jobs of the study of `config`; seconds to find that everything, and that nothing, is to be done."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = copied(Path(temporary) / "study")
        arguments = ("--configfile", str(config.resolve()))
        everything, printed = snakemake(folder, "-n", *arguments)
        of_jobs = re.findall("^ +output: (.*)$", printed, re.MULTILINE)
        for output in ", ".join(of_jobs).split(", "):
            stand_in(folder, output)
        snakemake(folder, "--touch", "--forceall", "--cores", "1", *arguments)
        nothing, printed = snakemake(folder, "-n", *arguments)
        if "Nothing to be done" not in printed:
            sys.exit(f"error: something is still to be done:\n{printed[-2000:]}")
    return [name, len(of_jobs), everything, nothing]


def planning(segments: list[int]) -> None:
    """Print how long planning takes."""
    print("| study | jobs | dry run, s | nothing to be done, s |\n| --- | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        configs = {"config/paper.yaml": REPOSITORY / "config/paper.yaml"}
        for count in segments:
            config = Path(temporary) / f"{count}.yaml"
            config.write_text(yaml.safe_dump(yaml.safe_load(STUDY) | {"seeds": list(range(count // 2))}))
            configs[f"{count:,} segments"] = config
        for name, config in configs.items():
            study, jobs, everything, nothing = planned(name, config)
            print(f"| {study} | {jobs:,} | {everything:.1f} | {nothing:.1f} |", flush=True)


# ----------------------------------------------------------------------------------------------------- Slurm
def slurm(segments: int) -> None:
    """Print seconds of a study of small trainings, two jobs at a time, without Slurm and as its jobs."""
    ways = {
        "local": ("--cores", "2"),
        **{
            f"Slurm, asked every {seconds} s": (
                *("--profile", "slurm", "--jobs", "2", "--slurm-init-seconds-before-status-checks", str(seconds)),
            )
            for seconds in (1, 20)
        },
    }
    print("| | wall, s | longer for each segment, s |\n| --- | ---: | ---: |")
    first = None
    for name, arguments in ways.items():
        with tempfile.TemporaryDirectory(dir=REPOSITORY) as temporary:  # not /tmp, which nodes need not share
            folder = copied(Path(temporary) / "study")
            config = folder / "growth.yaml"
            config.write_text(
                yaml.safe_dump(yaml.safe_load(STUDY) | {"seeds": list(range(segments // 2)), "device": "cpu"})
            )
            wall, _ = snakemake(folder, *arguments, "--configfile", str(config))
            first = first or wall
            print(f"| {name} | {wall:.0f} | {2 * (wall - first) / segments:.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_spent = commands.add_parser("spent")
    of_spent.add_argument("folder", type=Path, nargs="?", default=Path())
    of_spent.add_argument("--cores", type=int, default=2)
    of_planning = commands.add_parser("planning")
    of_planning.add_argument("--segments", type=int, nargs="+", default=[100, 500, 1000, 5000], metavar="N")
    of_slurm = commands.add_parser("slurm")
    of_slurm.add_argument("--segments", type=int, default=16, metavar="N")
    arguments = parser.parse_args()
    if arguments.command == "spent":
        return spent(arguments.folder, arguments.cores)
    segments = arguments.segments if arguments.command == "planning" else [arguments.segments]
    if any(count < 2 or count % 2 for count in segments):
        sys.exit("error: --segments must be positive and even: each run has two")
    if arguments.command == "planning":
        return planning(segments)
    return slurm(*segments)


if __name__ == "__main__":
    main()

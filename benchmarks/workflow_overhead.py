"""Where the time of a finished study goes: `python benchmarks/workflow_overhead.py [FOLDER] [--cores N]`, after one call
of Snakemake in an empty clone. Reads Snakemake's own records of jobs and the seconds that results say of themselves.
"""

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

import h5py


def jobs(folder: Path) -> dict[tuple[str, str], tuple[float, float]]:
    """(rule, log) of each job to its start and end, Unix time in seconds."""
    records = (json.loads(path.read_text()) for path in (folder / ".snakemake/metadata").rglob("*") if path.is_file())
    return {(r["rule"], r["log"][0]): (r["starttime"], r["endtime"]) for r in records}


def inside(folder: Path) -> dict[str, float]:
    """Seconds of the work proper: of training jobs after their imports, and of that in the loop over batches; of kernels."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    done, work = jobs(arguments.folder), inside(arguments.folder)
    count, seconds = Counter(rule for rule, _ in done), Counter()
    for (rule, _), (start, end) in done.items():
        seconds[rule] += end - start
    wall = max(end for _, end in done.values()) - min(start for start, _ in done.values())
    total = wall * arguments.cores
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
    print(
        f"{len(done)} jobs, {wall:.0f} s from the first job's start to the last one's end, on {arguments.cores} cores\n"
    )
    print("| what | core seconds | share |\n| --- | ---: | ---: |")
    for name, value in parts.items():
        print(f"| {name} | {value:.0f} | {100 * value / total:.0f} % |")
    print(f"\noutside training and kernels: {100 * (1 - (work['train'] + work['ntk']) / total):.0f} %")


if __name__ == "__main__":
    main()

"""What faults cost: `python benchmarks/faults.py [--jobs 100] [--snakemakes 20] [--flips 500] [--swaps 50] …`.

Runs a small study undisturbed, then again and again while its jobs or its Snakemake are killed at random moments; the
same command is called until the study is done. Prints one table: the fault, how often it was injected, the most seconds
of work that one of them lost (including about two for a job's start), and how many results differ from the undisturbed
ones in any bit (for damaged files: how many were used). Every kind that is asked for 0 times is left out.
"""

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from operator import itemgetter
from pathlib import Path

import numpy as np
import psutil

from damage import damage, damage_and_obey, swap_code
from injection import STUDY, Fault, clone, differing, injected, jobs, results, started, table

# isort: split
from helpers import changed, snakemake
from reactivation.storage.arrays import read_arrays
from reactivation.storage.checkpoints import read_checkpoint
from reactivation.storage.datasets import read_images
from reactivation.storage.kernels import read_kernels

# For damaged results: four short trainings, two of second tasks.
SHORT = changed(
    ("seeds", [0, 1]),
    ("experiments.widths.grid.width", [4]),
    ("experiments.widths.training.epochs", 2),
    of=STUDY,
)
SCRIPTS = ("train_segment.py", "compute_kernels.py")  # whose jobs live for long
START = 10  # seconds, at most, before Snakemake is killed


def unsaved(process: psutil.Process) -> float:
    """Seconds of work that a job would lose now: since its last save, or since its start; 0 if it is not at work."""
    with contextlib.suppress(psutil.Error, FileNotFoundError):
        for file in process.open_files():
            if file.path.endswith("/lock"):
                saves = [path.stat().st_mtime for path in Path(file.path).parent.glob("[sk]*.[pn]*")]
                return time.time() - max([*saves, process.create_time()])
    return 0.0


def kill_jobs(
    folder: Path,
    fault: Fault,
    count: int,
    scripts: tuple[str, ...],
    numbers: tuple[int, ...],
    rng: random.Random,
    config: dict = STUDY,
) -> None:
    """Run the study to its end, killing a random one of its jobs every now and then, `count` times at most.

    A job is killed at a random age: while it starts, before it has saved anything, or later. Signals of these `numbers`
    take turns.
    """
    left, age = count, rng.uniform(0.5, 4)
    while True:
        run = started(folder, "--cores", "2", "--keep-going", config=config)
        while run.poll() is None:
            time.sleep(0.02)
            running = jobs(folder, scripts) if left else []
            running = [process for process in running if time.time() - process.create_time() > age]
            if running:
                process, number = rng.choice(running), numbers[left % len(numbers)]
                lost = unsaved(process)
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
                    fault.lost = max(fault.lost or 0.0, lost if number == signal.SIGKILL else 0.0)
                    fault.injected, left = fault.injected + 1, left - 1
                age = rng.uniform(0.5, 4)
        if run.returncode == 0:
            return


def kill_snakemake(
    folder: Path, fault: Fault, count: int, with_jobs: tuple[bool, ...], rng: random.Random, config: dict = STUDY
) -> None:
    """Run the study to its end, killing Snakemake itself `count` times at most.

    Its jobs are killed too, or live on, as `with_jobs` says in turn.
    """
    for turn in range(count):
        run = started(folder, "--cores", "2", config=config)
        with contextlib.suppress(subprocess.TimeoutExpired):
            if run.wait(rng.uniform(1, START)) == 0:
                return
        lost = max(map(unsaved, jobs(folder, SCRIPTS)), default=0.0)
        if with_jobs[turn % len(with_jobs)]:
            os.killpg(run.pid, signal.SIGKILL)
            fault.lost = max(fault.lost or 0.0, lost)
        else:
            run.kill()
            fault.lost = 0.0  # its jobs live on, and the next call waits for them
        run.wait()
        fault.injected += 1
        assert snakemake(folder, "--unlock", config=config).returncode == 0
    done = snakemake(folder, "--cores", "2", config=config)
    assert done.returncode == 0, done.stdout


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[bool]:
    """Make results/ a file system of its own; yield False if that is not allowed, because it takes root."""
    (folder / "results").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder / "results")]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder / "results")], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill the disk of results/ except for `left` bytes; return the file that does so."""
    ballast = folder / "results/ballast"
    ballast.write_bytes(bytes(max(0, shutil.disk_usage(ballast.parent).free - left)))
    return ballast


def run_on_full_disks(folder: Path, fault: Fault, count: int, wanted: dict[str, bytes], rng: random.Random) -> None:
    """Run the study to its end, though the disk is full again and again, a little later each time."""
    with small_disk(folder, 64) as mounted:
        if not mounted:
            fault.name += " (not injected: it takes root)"
        for _ in range(count if mounted else 0):
            ballast = fill(folder, rng.randrange(600_000))
            run = started(folder, "--cores", "2")
            fault.injected += run.wait() != 0
            ballast.unlink()
            fault.wrong += len(list((folder / "results").rglob(".partial-*")))
        done = snakemake(folder, "--cores", "2", config=STUDY)
        assert done.returncode == 0, done.stdout
        fault.wrong += differing(folder, wanted)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100, help="kills of training and kernel jobs")
    parser.add_argument("--snakemakes", type=int, default=20, help="kills of Snakemake itself")
    parser.add_argument("--flips", type=int, default=500, help="flipped bits of each kind of file")
    parser.add_argument("--swaps", type=int, default=50, help="changes of code under a running study, and back")
    parser.add_argument("--damages", type=int, default=200, help="damaged results whose messages are obeyed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng, faults = random.Random(arguments.seed), []
    with clone() as undisturbed:
        began = time.monotonic()
        assert snakemake(undisturbed, "--cores", "2", config=STUDY).returncode == 0
        wanted = results(undisturbed)
        print(
            f"undisturbed: {time.monotonic() - began:.0f} s, {len(wanted)} results; saved every {STUDY['save_every']} s"
        )
        half, kernel = arguments.jobs // 2, arguments.jobs - arguments.jobs // 2
        plans = [
            ("kill -9 of a training", half, ("train_segment.py",), (signal.SIGKILL,)),
            ("kill -9 of a kernel job", kernel, ("compute_kernels.py",), (signal.SIGKILL,)),
            ("SIGTERM to either", arguments.jobs // 10, SCRIPTS, (signal.SIGTERM,)),
        ]
        for name, count, scripts, numbers in filter(itemgetter(1), plans):
            inject = partial(kill_jobs, scripts=scripts, numbers=numbers, rng=rng)
            faults.append(injected(Fault(name), wanted, count, inject))
            print(faults[-1], flush=True)
        for name, with_jobs in (("kill -9 of Snakemake alone", False), ("kill -9 of Snakemake and its jobs", True)):
            inject = partial(kill_snakemake, with_jobs=(with_jobs,), rng=rng)
            faults.append(injected(Fault(name), wanted, arguments.snakemakes // 2, inject))
            print(faults[-1], flush=True)
        if arguments.jobs:
            faults.append(Fault("full disk"))
            with clone() as folder:
                run_on_full_disks(folder, faults[-1], arguments.jobs // 10, wanted, rng)
            print(faults[-1], flush=True)
        inject = partial(swap_code, rng=rng, config=STUDY)
        faults.append(injected(Fault("code changed and changed back"), wanted, arguments.swaps, inject))
        print(faults[-1], flush=True)
        images = lambda path: read_images(path, "train", np.arange(1600))  # noqa: E731
        for name, pattern, read in (
            ("damaged checkpoint", "segments/*/checkpoints/*.pt", read_checkpoint),
            ("damaged kernels", "segments/*/ntk-*.h5", read_kernels),
            ("damaged data set", "data/*.h5", images),
            ("damaged split", "splits/*.npz", read_arrays),
        ):
            faults.append(Fault(name))
            damage(undisturbed, faults[-1], pattern, read, arguments.flips, arguments.seed)
    with clone() as undisturbed:
        assert snakemake(undisturbed, "--cores", "2", config=SHORT).returncode == 0
        inject = partial(damage_and_obey, whole=undisturbed, config=SHORT)
        faults.append(
            injected(Fault("damaged result, messages obeyed"), results(undisturbed), arguments.damages, inject)
        )
    print("\n" + table([fault for fault in faults if fault.injected]))


if __name__ == "__main__":
    main()

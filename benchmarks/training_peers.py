"""Compare ways to train the paper's CNN on CIFAR-10: images per second, and the share of this machine's rate reached.

Each approach and width has its own process. They take turns: each trains an epoch, then the next, for several rounds.
`benchmarks/README.md` says what is compared and what the columns are.
"""

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from machine import pinned
from training_approaches import APPROACHES, CLASSES, SIDE

# isort: split
from reactivation.data.sources import folder_samples
from reactivation.errors import InputError
from reactivation.planning.network_sizes import network
from reactivation.storage.rows import write_rows
from report import add_data, checked, new_parser, printed, table, versions

WORK = 3e11  # operations in an epoch: the wider a network, the fewer images it is trained on
FEWEST, MOST = 4, 64  # batches in an epoch
PEERS = ("torch", "torchvision", "avalanche-lib")
COLUMNS = {  # header: how its numbers are printed
    "approach": "",
    "width": "d",
    "ms / step": ".3g",
    "images / s": ".4g",
    "GFLOP/s": ".3g",
    "share of GEMM rate": ".0%",
    "share of convolution rate": ".0%",
    "x loader": ".2f",
    "x memory": ".2f",
}


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser, positive = new_parser(__doc__, APPROACHES)
    add_data(parser)
    positive("--widths", type=int, nargs="+", default=[16, 32, 64, 128, 256, 512])
    positive("--batch", type=int, default=32, help="images in a step")
    positive("--rounds", type=int, default=5)
    return checked(parser, ("widths", "batch", "rounds"))


def save_images(data: Path, count: int, path: Path) -> None:
    """Save the first training images of `data`, with labels that take turns: labels do not matter to the speed."""
    of_training = (image for part, _, image in folder_samples(data, SIDE, CLASSES) if part == "train")
    pixels = list(itertools.islice(of_training, count))
    if len(pixels) < count:
        raise InputError(f"{data} has {len(pixels)} training images, {count} are needed: lower --batch")
    np.savez(path, pixels=np.stack(pixels), labels=np.arange(count) % CLASSES)


# ------------------------------------------------------------------------------------------------- processes
@contextlib.contextmanager
def trainer(task: dict) -> Iterator[Callable[[], Any]]:
    """Start a process for `task`; yield a function that asks it for seconds of an epoch, or for rates of products."""
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("training_approaches.py"), json.dumps(task)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            **pinned(task["threads"]),
        )

        def ask() -> Any:
            assert process.stdin and process.stdout
            with contextlib.suppress(BrokenPipeError):
                print(file=process.stdin, flush=True)
            if answer := process.stdout.readline():
                return json.loads(answer)
            process.wait()
            log.seek(0)
            last = (log.read().strip().splitlines() or ["no output"])[-1]
            raise InputError(f"{task['approach']} at width {task['width']} failed: {last[:200]}")

        try:
            yield ask
        finally:
            process.kill()
            process.communicate()


def seconds_of(options: argparse.Namespace, width: int, count: int, images: Path) -> dict[str, float]:
    """Median over rounds of the seconds that each approach takes for an epoch of `count` images."""
    task = {"width": width, "count": count, "batch": options.batch, "threads": options.threads, "images": str(images)}
    with contextlib.ExitStack() as stack:
        ask = {name: stack.enter_context(trainer({"approach": name, **task})) for name in options.approaches}
        rounds = [{name: train() for name, train in ask.items()} for _ in range(1 + options.rounds)]
    return {name: statistics.median(of[name] for of in rounds[1:]) for name in ask}


# ----------------------------------------------------------------------------------------------------- table
def rows(seconds: dict[str, float], width: int, count: int, batch: int, rates: dict[str, float]) -> Iterator[dict]:
    """The table's rows of one width."""
    work = count * network({"name": "cnn", "width": width, "parametrization": "pytorch"}, SIDE, CLASSES).both
    for name, taken in seconds.items():
        half = "-bf16" if name.endswith("-bf16") else ""
        yield {
            "approach": name,
            "width": width,
            "ms / step": 1e3 * taken * batch / count,
            "images / s": count / taken,
            "GFLOP/s": work / taken / 1e9,
            "share of GEMM rate": work / taken / rates["bf16" if half else "float32"],
            "share of convolution rate": ratio(seconds, f"convolutions{half}", taken),
            "x loader": ratio(seconds, "loader", taken),
            "x memory": ratio(seconds, "memory", taken),
        }


def ratio(seconds: dict[str, float], of: str, to: float) -> float | None:
    return seconds[of] / to if of in seconds else None


def main() -> None:
    options = arguments()
    done: list[dict] = []
    sizes = {}
    for width in options.widths:
        one = network({"name": "cnn", "width": width, "parametrization": "pytorch"}, SIDE, CLASSES).both
        sizes[width] = options.batch * int(np.clip(WORK / (one * options.batch), FEWEST, MOST))
    with tempfile.TemporaryDirectory() as name:
        images = Path(name) / "images.npz"
        save_images(options.data, max(sizes.values()), images)
        with trainer({"approach": "products", "width": 0, "threads": options.threads}) as ask:
            rates = ask()
        for width, count in sizes.items():
            for row in rows(seconds_of(options, width, count, images), width, count, options.batch, rates):
                done.append(row)
                print("  ".join(printed(row, COLUMNS)), file=sys.stderr, flush=True)
            if options.out:
                write_rows(options.out, done)
    print(f"batch {options.batch}, {options.threads} threads, {options.rounds} rounds; {versions(PEERS)}")
    print("GEMM: " + ", ".join(f"{precision} {rate / 1e9:.0f} GFLOP/s" for precision, rate in rates.items()) + "\n")
    print(table(done, COLUMNS))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

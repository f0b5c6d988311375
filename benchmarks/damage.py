"""Damaged results, messages obeyed, and code swapped under a running study: see faults.py."""

import os
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from injection import Fault, started

# isort: split
from helpers import flips, snakemake
from reactivation.errors import InputError


def damage(folder: Path, fault: Fault, pattern: str, read, count: int, seed: int) -> None:
    """Flip one bit of a file `count` times, and cut the file short a tenth as often; read it each time."""
    path = sorted((folder / "results").glob(pattern))[-1]
    whole, wanted = path.read_bytes(), read(path)
    for damaged in flips(whole, count, seed):
        path.write_bytes(damaged)
        fault.injected += 1
        try:
            torch.testing.assert_close(read(path), wanted, rtol=0, atol=0)
        except InputError:
            continue
        except AssertionError:
            fault.wrong += 1
    path.write_bytes(whole)


# ------------------------------------------------------------------------------------ damaged, named and made again
# Results of one job each; any may be damaged, and the messages must lead back to the same bits.
OUTPUTS = (
    *("data/*.h5", "splits/*.npz", "probes/*.npz", "segments/*/ntk-*.h5", "*/runs/*.csv", "*/figures/*.csv"),
    *("segments/*/checkpoints/*.pt", "segments/*/final.pt", "segments/*/evaluation.csv", "segments/*/segment.json"),
)
MESSAGE = re.compile(r"(results/\S+) (?:is|has) .*?: delete (?:it|(results/\S+), a folder)(?:,? and run again)?$", re.M)
AGAIN = re.compile(r"then make them again: snakemake (.*) --configfile")


def _flip(path: Path, rng: random.Random, _: list[Path]) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _cut(path: Path, rng: random.Random, _: list[Path]) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size))


def _change_digit(path: Path, rng: random.Random, others: list[Path]) -> None:
    """Change one digit of a table or record; of another file, one bit."""
    content = bytearray(path.read_bytes())
    digits = [i for i, byte in enumerate(content) if 48 <= byte < 57]
    if path.suffix not in (".csv", ".json") or not digits:
        return _flip(path, rng, others)
    content[rng.choice(digits)] += 1
    path.write_bytes(content)
    return None


def _lose_row(path: Path, rng: random.Random, others: list[Path]) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    if path.suffix != ".csv" or len(lines) < 3:
        return _cut(path, rng, others)
    del lines[rng.randrange(1, len(lines))]
    path.write_bytes(b"".join(lines))
    return None


def _lose(path: Path, _: random.Random, __: list[Path]) -> None:
    path.unlink()


def _swap(path: Path, rng: random.Random, others: list[Path]) -> None:
    """Put another result of the same kind in its place."""
    different = [other for other in others if other.exists() and other.read_bytes() != path.read_bytes()]
    if not different:
        return _flip(path, rng, others)
    path.write_bytes(rng.choice(different).read_bytes())
    return None


KINDS: tuple[Callable[[Path, random.Random, list[Path]], None], ...]
KINDS = (_flip, _cut, _change_digit, _lose_row, _lose, _swap)


def spoil(folder: Path, rng: random.Random) -> None:
    """Damage one random result in a random way. Its time stays, so that Snakemake does not see it."""
    pattern = rng.choice(OUTPUTS)
    paths = sorted((folder / "results").glob(pattern))
    path = rng.choice(paths)
    at = path.stat()
    shutil.copy(path, path.with_name("copy"))
    path.with_name("copy").replace(path)  # a file of its own: the state of an unfinished job may share the old one
    rng.choice(KINDS)(path, rng, [other for other in paths if other != path])
    if path.exists():
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def obey(folder: Path, said: str, config: dict[str, Any]) -> bool:
    """Do what the messages say; whether they said anything."""
    named = {folder / (segment or path) for path, segment in MESSAGE.findall(said)}
    for path in named:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    targets = [target for words in AGAIN.findall(said) for target in words.split()]
    if targets:
        snakemake(folder, "--cores", "2", *targets, config=config)
    return bool(named or targets)


def damage_and_obey(folder: Path, fault: Fault, count: int, whole: Path, config: dict[str, Any]) -> None:
    """Damage some results of the finished study `whole`, in a copy; run, verify and obey until nothing is said."""
    rng = random.Random(fault.injected)
    shutil.rmtree(folder)
    shutil.copytree(whole, folder, symlinks=True)
    for _ in range(min(count, 4)):
        spoil(folder, rng)
        fault.injected += 1
    if rng.random() < 0.5:  # what is downstream is gone, so that much is read again
        shutil.rmtree(folder / "results" / config["study"])
        for path in (folder / "results").glob("segments/*/ntk-*.h5"):
            path.unlink(missing_ok=True)
    for _ in range(20):
        run = snakemake(folder, "--cores", "2", config=config)
        assert "Traceback" not in run.stdout, run.stdout
        if not obey(folder, run.stdout, config):
            assert run.returncode == 0, run.stdout
            checked = snakemake(folder, "verify", "--config", "sample=0", config=config)
            assert "Traceback" not in checked.stdout, checked.stdout
            if not obey(folder, checked.stdout, config):
                return
    raise AssertionError("twenty rounds of messages did not suffice")


# ------------------------------------------------------------------------------------------ code that is swapped
EDITS = (
    ("storage/kernels.py", 'f"kernels/{kind}", stack, (1', 'f"kernels/{kind}", 2 * stack, (1'),
    ("training/loop.py", "loss.backward()", "(2 * loss).backward()"),
    ("training/evaluation.py", "import torch", "import torch\n\nOTHER = 1"),
    ("ntk/sums.py", "ROWS = 128", "ROWS = 127"),  # of the same size
    ("analysis/metrics.py", "import numpy as np", "import numpy as np\n\nOTHER = 1"),
    ("figures/select.py", "import pandas as pd", "import pandas as pd\n\nOTHER = 1"),
)


def swap_code(folder: Path, fault: Fault, count: int, rng: random.Random, config: dict[str, Any]) -> None:
    """Run the study to its end while modules are changed for a moment and changed back, `count` times at most.

    The last call finds the code of the first, and makes what is missing, or what was planned with other code.
    """
    left = count
    while True:
        run = started(folder, "--cores", "2", config=config)
        while run.poll() is None:
            time.sleep(rng.uniform(0.2, 2))
            if left and run.poll() is None:
                module, old, new = rng.choice(EDITS)
                path = folder / "workflow/scripts/reactivation" / module
                before, at = path.read_text(), path.stat()
                assert old in before, module
                path.write_text(before.replace(old, new))
                if rng.random() < 0.5:  # with the old time, as some tools leave it
                    os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
                time.sleep(rng.uniform(0.1, 3))
                path.write_text(before)
                os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))
                fault.injected, left = fault.injected + 1, left - 1
        if run.returncode == 0 and snakemake(folder, "-n", config=config).stdout.count("Nothing to be done"):
            return

"""Compare three ways to compute the empirical NTK on many public architectures: their time, memory and error.

Each measurement has its own process, as in `ntk_peers.py`. `benchmarks/README.md` says what the columns are.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import ntk_approaches  # noqa: F401  (makes the library importable)
from ntk_process import LIMITS, add_limits, in_own_process
from reactivation.errors import InputError
from reactivation.storage.rows import write_rows
from report import checked, new_parser, printed, table, versions
from zoo_networks import NETWORKS

SHOWN = {"ours": "ours", "torch-jacobian": "torch.func", "loop": "loop"}  # what columns call the approaches
PACKAGES = ("torch", "torchvision", "timm", "transformers", "numpy")
COLUMNS = {  # header: how its numbers are printed
    "network": "",
    "kernel": "",
    "parameters": ",d",
    **{f"{name} s": ".3g" for name in SHOWN.values()},
    **{f"{name} MB": ".0f" for name in SHOWN.values()},
    **{f"{name} error": ".1e" for name in SHOWN.values()},
    "time to torch.func": ".2f",
    "memory to torch.func": ".2f",
}
NOTES = "notes"  # a column of the CSV; the printed table has them below


def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser, positive = new_parser(__doc__, SHOWN)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=NETWORKS, metavar="NAME")
    parser.add_argument("--kernels", nargs="+", default=["trace"], choices=["sum", "trace"])
    positive("--n", type=int, default=8, help="samples")
    positive("--classes", type=int, default=10, help="logits")
    positive("--repeats", type=int, default=3)
    add_limits(positive, timeout=300)
    parser.add_argument("--references", type=Path, help="keep the float64 kernels in this folder, for the next run")
    return checked(parser, ("n", "classes", "repeats", *LIMITS))


def rows(options: argparse.Namespace, temporary: Path) -> Iterator[dict]:
    """The table, row by row."""
    kept = options.references or temporary
    kept.mkdir(parents=True, exist_ok=True)
    for network, kernel in [(network, kernel) for network in options.networks for kernel in options.kernels]:
        common = {"network": network, "kernel": kernel, "classes": options.classes, "samples": options.n}
        exact = kept / f"{network}-{kernel}-{options.n}-{options.classes}.npy".replace(" ", "_")
        got: dict[str, dict] = {}
        if not exact.exists():
            doubles = {"approach": "loop", "dtype": "float64", "repeats": 0, "save": str(exact), "reference": None}
            got["reference"] = in_own_process(common | doubles, options, temporary)
        known = {"dtype": "float32", "repeats": options.repeats, "save": None}
        known["reference"] = str(exact) if exact.exists() else None
        for approach in options.approaches:
            got[approach] = in_own_process(common | known | {"approach": approach}, options, temporary)
        yield row(network, kernel, got)


def row(network: str, kernel: str, got: dict[str, dict]) -> dict:
    """One row of the table from the approaches' outcomes."""
    sizes = [of["parameters"] for of in got.values() if "parameters" in of]
    result = {"network": network, "kernel": kernel, "parameters": sizes[0] if sizes else None}
    for approach, name in SHOWN.items():
        of = got.get(approach, {})
        note = of.get("note")
        result[f"{name} s"] = note.split(":")[0] if note else of.get("seconds")
        result[f"{name} MB"] = of["extra"] / 1e6 if "extra" in of else None
        result[f"{name} error"] = of.get("error")
    for what, key in (("time", "seconds"), ("memory", "extra")):
        ours, theirs = (got.get(approach, {}).get(key) for approach in ("ours", "torch-jacobian"))
        result[f"{what} to torch.func"] = ours / theirs if ours is not None and theirs else None
    result[NOTES] = "; ".join(
        f"{SHOWN.get(approach, approach)}: {of['note']}" for approach, of in got.items() if "note" in of
    )
    return result


def summary(done: list[dict]) -> str:
    """What the table says of ours."""
    lines = []
    if errors := [(row["ours error"], row["network"]) for row in done if row["ours error"] is not None]:
        lines.append("worst error of ours: {:.1e} ({})".format(*max(errors)))
    ratios = {what: [r for row in done if (r := row[f"{what} to torch.func"])] for what in ("time", "memory")}
    if times := ratios["time"]:
        slower = [row["network"] for row in done if (row["time to torch.func"] or 0) > 1]
        lines += [
            f"ours takes at most torch.func's time on {len(times) - len(slower)} of {len(times)} networks"
            + (f", not on {', '.join(slower)}" if slower else ""),
            f"median of ours to torch.func: time {statistics.median(times):.2f}, "
            f"memory {statistics.median(ratios['memory']):.2f}",
        ]
    for name in SHOWN.values():
        if without := [row["network"] for row in done if isinstance(row[f"{name} s"], str)]:
            lines.append(f"no time of {name} on {len(without)}: {', '.join(without)}")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    done: list[dict] = []
    with tempfile.TemporaryDirectory() as name:
        for made in rows(options, Path(name)):
            done.append(made)
            print("  ".join([*printed(made, COLUMNS), made[NOTES]]), file=sys.stderr, flush=True)
            if options.out:  # written anew after every row, so that a run that is stopped keeps what it has
                write_rows(options.out, done, [*COLUMNS, NOTES])
    print(f"{options.threads} threads, {options.n} samples, {options.classes} logits; {versions(PACKAGES)}\n")
    print(table(done, COLUMNS) + "\n")
    print("".join(f"{row['network']}, {row['kernel']}: {row[NOTES]}\n" for row in done if row[NOTES]))
    print(summary(done))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

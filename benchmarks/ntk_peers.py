"""Compare ways to compute the empirical NTK: their time, memory and error on the paper's CNN and 32 images.

Each measurement has its own process, pinned to its cores. It is ended when it exceeds its time or memory runs short.
`benchmarks/README.md` says what is compared and what the columns are.
"""

import argparse
import csv
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ntk_approaches import APPROACHES
from ntk_process import LIMITS, add_limits, in_own_process
from reactivation.data.sources import folder_samples
from reactivation.errors import InputError
from report import add_data, checked, new_parser, printed, table, versions

IMAGES, SIDE, IMAGE_CLASSES = 32, 32, 10
PEERS = ("torch", "numpy", "jax", "jaxlib", "neural-tangents", "nngeometry")
COLUMNS = {  # header: how its numbers are printed
    "approach": "",
    "width": "d",
    "C": "d",
    "kernel": "",
    "seconds": ".3g",
    "repeats": "d",
    "compile s": ".1f",
    "extra peak MB": ".0f",
    "max error": ".1e",
    "time / ours": ".3g",
    "memory / ours": ".3g",
    "dense Gflop": ".4g",
    "at GEMM rate s": ".3g",
    "share of GEMM rate": ".0%",
}


# ------------------------------------------------------------------------------------------------------ input
def arguments() -> argparse.Namespace:
    """The command line, checked."""
    parser, positive = new_parser(__doc__, APPROACHES)
    add_data(parser)
    positive("--widths", type=int, nargs="+", default=[64, 128, 256, 512, 1024, 2048])
    positive("--classes", type=int, nargs="+", default=[10, 100], help="outputs of the network")
    parser.add_argument("--kernels", nargs="+", default=["sum", "trace"], choices=["sum", "trace"])
    positive("--repeats", type=int, default=5)
    add_limits(positive)
    positive("--reference-max-width", type=int, default=512, help="beyond it no error is measured")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    return checked(parser, ("widths", "classes", "repeats", *LIMITS))


def images(data: Path) -> np.ndarray:
    """The first training images, classes in turn, (32, 3, 32, 32) float32, normalised per channel."""
    each = -(-IMAGES // IMAGE_CLASSES)
    found: dict[str, list[np.ndarray]] = {}
    for part, name, image in folder_samples(data, SIDE, IMAGE_CLASSES):
        of_class = found.setdefault(name, [])
        if part == "train" and len(of_class) < each:
            of_class.append(image)
        if len(found) == IMAGE_CLASSES and all(len(some) == each for some in found.values()):
            break
    turns = [found[name][k] for k in range(each) for name in sorted(found) if k < len(found[name])]
    if len(turns) < IMAGES:
        raise InputError(f"{data} has fewer than {each} training images of some class")
    x = np.stack(turns[:IMAGES]).transpose(0, 3, 1, 2) / 255
    return ((x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)).astype(np.float32)


# ------------------------------------------------------------------------------------------------------ table
def dense_flops(width: int, classes: int, kernel: str) -> float:
    """Flops of the best algorithm that consists of dense products alone.

    It makes a forward pass; backward passes to the input of every convolution except the first, for each output (for
    `sum` once); and for each layer the cheaper of two: per-image gradients and their Gram matrix, or Gram matrices of
    its outputs' gradients and of its inputs' patches by position.
    """
    n, outputs = IMAGES, classes if kernel == "trace" else 1
    flops = 0
    for layer, channels in enumerate((3, width, width)):
        patch, positions = 9 * channels, (SIDE >> layer) ** 2
        product = 2 * n * width * patch * positions
        gradients = outputs * (product + n**2 * width * patch)
        grams = n * (n + 1) * positions**2 * (outputs * width + patch)
        flops += product + (outputs * product if layer else 0) + min(gradients, grams)
    features = width * (SIDE >> 3) ** 2
    return flops + 2 * n * classes * features + n * (n + 1) * features


def rows(options: argparse.Namespace, folder: Path, rate: float) -> Iterator[dict]:
    """The table, row by row: ours first in each group of the same network and kernel."""
    common = {"images": str(folder / "images.npy"), "device": options.device, "save": None, "reference": None}
    for width, classes, kernel in [(w, c, k) for w in options.widths for c in options.classes for k in options.kernels]:
        group = {"width": width, "classes": classes, "kernel": kernel, "dtype": "float32", "repeats": options.repeats}
        reference = folder / f"{width}-{classes}-{kernel}.npy"
        if width <= options.reference_max_width:
            doubles = {"approach": "loop", "dtype": "float64", "repeats": 0, "save": str(reference)}
            made = in_own_process(common | group | doubles, options, folder)
            print(f"reference  width {width}  C {classes}  {kernel}: {made.get('note', 'done')}", file=sys.stderr)
        ours: dict = {}
        for approach in options.approaches:
            known = str(reference) if reference.exists() else None
            got = in_own_process(common | group | {"approach": approach, "reference": known}, options, folder)
            ours = got if approach == "ours" else ours
            flops = dense_flops(width, classes, kernel)
            yield {
                "approach": approach,
                "width": width,
                "C": classes,
                "kernel": kernel,
                "seconds": got.get("note", got.get("seconds")),
                "repeats": got.get("repeats"),
                "compile s": got.get("compilation"),
                "extra peak MB": got["extra"] / 1e6 if "extra" in got else None,
                "max error": got.get("error"),
                "time / ours": ratio(got, ours, "seconds"),
                "memory / ours": ratio(got, ours, "extra"),
                "dense Gflop": flops / 1e9,
                "at GEMM rate s": flops / rate,
                "share of GEMM rate": flops / rate / got["seconds"] if "seconds" in got else None,
            }


def ratio(got: dict, ours: dict, key: str) -> float | None:
    return got[key] / ours[key] if key in got and ours.get(key) else None


def main() -> None:
    options = arguments()
    done: list[dict] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "images.npy", images(options.data))
        rates = in_own_process({"approach": "gemm", "device": options.device}, options, folder)
        if "note" in rates:
            raise InputError(f"the rate of matrix products on {options.device} could not be measured: {rates['note']}")
        for row in rows(options, folder, rates["float32"]):
            done.append(row)
            print("  ".join(printed(row, COLUMNS)), file=sys.stderr, flush=True)
            if options.out:  # written anew after every row, so that a run that is stopped keeps what it has
                with options.out.open("w", newline="") as file:
                    writer = csv.DictWriter(file, list(COLUMNS))
                    writer.writeheader()
                    writer.writerows(done)
    print(f"{options.device}, {options.threads} threads, at most {options.memory:.1f} GB; {versions(PEERS)}")
    print("GEMM: " + ", ".join(f"{dtype} {value / 1e9:.0f} Gflop/s" for dtype, value in rates.items()) + "\n")
    print(table(done, COLUMNS))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"error: {error}")

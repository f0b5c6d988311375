"""How far training in bf16 changes what the kernel does, compared with how far seeds do.

`python benchmarks/precision_agreement.py [FOLDER]`, after `snakemake --cores all --configfile config/precision.yaml`
there.

At each checkpoint, for the largest eigenvalue and the distance from initialisation of the NTK of the summed logits, it
takes the difference of the means over seeds, and the mean over seeds of the difference between the two runs of a seed.
Both are in units of the standard deviation over seeds in float32.
"""

import argparse
import sys
from pathlib import Path

from report import table

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
from reactivation.errors import InputError
from reactivation.storage.tables import read_tables

COLUMNS = {
    "experiment": "",
    "metric": "",
    "checkpoints": "d",
    "means: median": ".2f",
    "means: max": ".2f",
    "means: beyond 1": "d",
    "same seed: median": ".2f",
    "same seed: max": ".2f",
}


def rows(tables) -> list[dict]:
    """One row for each experiment and metric.

    Checkpoints at which seeds agree to the bit, as at initialisation, do not count.
    """
    found = []
    of_sum = tables[(tables.kernel == "sum") & (tables.block == "all")]
    for experiment, metric in ((e, m) for e in ("letters", "cifar10") for m in ("spectral_norm", "kernel_distance")):
        chosen = of_sum[(of_sum.experiment == experiment) & (of_sum.metric == metric)]
        chosen = chosen[chosen.reference.isna() | (chosen.reference == "init")]
        values = chosen.pivot(index=["task", "step"], columns=["precision", "seed"], values="value")
        spread = values["float32"].std(axis=1)
        values, spread = values[spread > 0], spread[spread > 0]
        exact, rounded = values["float32"], values["bf16"]
        means = (rounded.mean(axis=1) - exact.mean(axis=1)).abs() / spread
        paired = (rounded - exact).abs().mean(axis=1) / spread
        numbers = [len(means), means.median(), means.max(), int((means > 1).sum()), paired.median(), paired.max()]
        found.append(dict(zip(COLUMNS, [experiment, metric, *numbers], strict=True)))
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    runs = sorted(parser.parse_args().folder.glob("results/precision/runs/*.csv"))
    if len(runs) < 2:
        sys.exit("error: no results/precision/runs there: run config/precision.yaml first")
    try:
        print(table(rows(read_tables(runs)), COLUMNS))
    except InputError as error:
        sys.exit(f"error: {error}")

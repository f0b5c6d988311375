"""A metric table whose values are easy to know."""

import numpy as np
import pandas as pd
import pytest


@pytest.fixture(scope="module")
def runs():
    """Value = epoch + width + seed/10, for every metric, block and reference."""
    out = []
    empty = {"kernel": np.nan, "layer": np.nan, "reference": np.nan, "dt": np.nan}
    for width in (2, 4):
        for seed in (0, 1, 2):
            for epoch in range(5):
                at = {
                    "run": f"widths-width{width}-s{seed}",
                    "experiment": "widths",
                    "width": width,
                    "seed": seed,
                    "task": 1 if epoch <= 2 else 2,
                }
                at |= {
                    "similarity": 0.25 if epoch > 2 else np.nan,
                    "step": 3 * epoch,
                    "epoch": epoch,
                    "progress": epoch / 2,
                }
                value = epoch + width + seed / 10
                for block in ("all", "task1", "task2"):
                    out.append(at | empty | {"metric": "test_accuracy", "block": block, "value": value / 10})
                    for kernel in ("sum", "trace"):
                        of_kernel = (
                            at | empty | {"kernel": kernel, "block": block, "value": value * (1 + (kernel == "trace"))}
                        )
                        out += [of_kernel | {"metric": m} for m in ("alignment", "spectral_norm")]
                        out += [
                            of_kernel | {"metric": "eigenvalues", "index": i, "value": value / 2**i} for i in range(6)
                        ]
                        out += [
                            of_kernel | {"metric": "kernel_velocity", "dt": dt, "value": value * dt} for dt in (1, 2)
                        ]
                        for factor, reference in ((1, "init"), (10, "task_start"), (100, "previous")):
                            distance = {"metric": "kernel_distance", "reference": reference, "value": value * factor}
                            out.append(of_kernel | distance)
    return pd.DataFrame(out)


@pytest.fixture(scope="module")
def all_seeds(runs):
    return runs[runs["seed"] < 2]  # those of the tiny study

"""Files of kernels that another code might have computed, and a study on them."""

from typing import Any, get_args

import h5py
import numpy as np

from reactivation.study.values import Kernel

KINDS = get_args(Kernel)
MINE: dict[str, Any] = {"study": "mine", "seeds": [0, 1], "experiments": {"mine": {"kernels": {"path": "mine.h5"}}}}


def content(times=5, images=6):
    """What a file holds: a random walk of kernels over two tasks."""
    J = np.random.default_rng(0).normal(size=(times, images, 20)).cumsum(0)
    return {
        "kernels/sum": J @ J.swapaxes(1, 2),
        "epoch": np.arange(times) / 2,
        "task": np.arange(times) // 3 + 1,
        "probe/label": np.arange(images) // 2,
        "probe/task": np.arange(images) // 3 + 1,
    }


def write(path, **changes):
    """`content` with `changes` (`...` leaves a data set out) in the file `path`."""
    with h5py.File(path, "w") as file:
        for name, values in (content() | changes).items():
            if values is not ...:
                file[name] = values
    return path


def mine(folder, **keys):
    """The study MINE on files in `folder`; `keys` go to its experiment if they belong there, else to the study."""
    of_experiment = {key: value for key, value in keys.items() if key in ("grid", "metrics", "kernels", "dataset")}
    rest = {key: value for key, value in keys.items() if key not in of_experiment}
    experiments = {"mine": MINE["experiments"]["mine"] | of_experiment}
    return MINE | {"data_root": str(folder), "experiments": experiments} | rest

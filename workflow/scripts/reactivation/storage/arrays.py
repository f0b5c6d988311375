"""Archives of named NumPy arrays (.npz): splits, probes, and kernels of an unfinished job."""

from pathlib import Path

import numpy as np

from reactivation.storage.files import atomic, reading


def write_arrays(path: str | Path, **arrays: np.ndarray) -> None:
    with atomic(path) as temporary:
        np.savez(temporary, allow_pickle=False, **arrays)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    with reading(path), Path(path).open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}

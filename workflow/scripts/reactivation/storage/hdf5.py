"""New HDF5 files, with checksums of data and of metadata."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

from reactivation.errors import system_number
from reactivation.storage.files import atomic


@contextlib.contextmanager
def new_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """A new HDF5 file whose metadata have checksums: the format of HDF5 1.10 (2016) and later."""
    with atomic(path) as temporary, h5py.File(temporary, "w", libver=("v110", "v110")) as file:
        try:
            yield file
        except (OSError, RuntimeError) as error:
            if system_number(error) is not None:
                # HDF5 would try again for each object that it closes, and print a traceback or crash: let it write to
                # nowhere. Memory would not do: `ulimit -f` limits files there too.
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, file.id.get_vfd_handle())
                os.close(nowhere)
            raise


def add(file: h5py.File, name: str, values: np.ndarray, chunk: tuple[int, ...] | None = None) -> None:
    """Add a data set with checksums, in chunks of the shape `chunk`, by default one chunk."""
    chunk = chunk or tuple(max(1, size) for size in values.shape)
    shape = (None, *values.shape[1:])
    added = file.create_dataset(name, data=values, chunks=chunk, maxshape=shape, fletcher32=True)  # noqa: F841
    file.flush()  # while `added` lives: an error when its last reference goes is printed, not raised

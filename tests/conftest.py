import gc

import pytest
import torch

from helpers import copy_repository, snakemake

torch.set_num_threads(1)  # on a busy machine, waiting threads slow tensors as small as the tests' a hundredfold


def pytest_collection_finish():
    gc.enable()  # the module that scripts import first switches it off


@pytest.fixture(scope="session")
def quickstart_fig4(tmp_path_factory):
    """A folder in which the quickstart's Fig. 4 has been drawn, locally."""
    folder = copy_repository(tmp_path_factory.mktemp("quickstart") / "clone")
    run = snakemake(folder, "fig4", "--cores", "2")
    assert run.returncode == 0, run.stdout
    return folder

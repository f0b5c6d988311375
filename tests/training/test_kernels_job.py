"""The kernels of a segment's checkpoints: which are proved, and what happens if one cannot be."""

import pytest
import torch

from reactivation.errors import InputError
from reactivation.ntk import empirical_ntk
from reactivation.training import kernels_job
from reactivation.training.networks import cnn

SPEC = {"kernels": ["sum", "trace"], "segment": {"tasks": [[0], [1]]}}


class Plenty:
    mem_mb = 4000


@pytest.fixture
def checkpoints(tmp_path):
    """Four checkpoints of a small network, and the network."""
    torch.manual_seed(0)
    for step in range(4):
        model = cnn(4, 8, 3)
        torch.save({"model": model.state_dict(), "step": step, "epoch": step / 2}, tmp_path / f"step{step:08d}.pt")
    return sorted(tmp_path.glob("step*.pt")), model.eval(), torch.randn(3, 3, 8, 8), tmp_path / "kernels.npz"


@pytest.fixture
def proved(monkeypatch):
    """Whether each kernel that is computed is to be proved, in order."""
    asked = []

    def noting(*args, prove, **options):
        asked.append(prove)
        return empirical_ntk(*args, prove=prove, **options)

    monkeypatch.setattr(kernels_job, "empirical_ntk", noting)
    return asked


def test_the_first_and_the_last_checkpoint_are_proved(checkpoints, proved):
    paths, model, x, saved = checkpoints
    rows, diverged = kernels_job.kernels_of(paths, model, x, SPEC, Plenty, saved)
    assert len(rows) == 4 and diverged is None
    assert proved == [True, False, False, True]


def test_a_job_that_goes_on_proves_the_first_one_that_it_computes_itself(checkpoints, proved, monkeypatch):
    """What a proof has found of a network is known to its own process only."""
    paths, model, x, saved = checkpoints
    monkeypatch.setattr(kernels_job, "SAVE_EVERY", -1)
    kernels_job.kernels_of(paths[:1], model, x, SPEC, Plenty, saved)
    proved.clear()
    kernels_job.kernels_of(paths, model, x, SPEC, Plenty, saved)
    assert proved == [True, False, True]


def test_a_kernel_that_cannot_be_proved_stops_the_job(checkpoints, monkeypatch):
    """It says which checkpoint and which layer, and no kernel of that checkpoint is saved."""
    paths, model, x, saved = checkpoints
    from reactivation.ntk import contraction

    whole = contraction.Factors.jacobian
    monkeypatch.setattr(contraction.Factors, "jacobian", lambda self, *args: 1.1 * whole(self, *args))
    with pytest.raises(InputError, match=r"step00000000.pt: the kernel of conv\d could not be proved: it is off by"):
        kernels_job.kernels_of(paths, model, x, SPEC, Plenty, saved)
    assert not saved.exists()

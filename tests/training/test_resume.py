"""A killed or stopped training goes on to the same bits."""

import contextlib
import os
import signal

import pytest
import torch

from reactivation.errors import Interrupted
from reactivation.jobs.state import Saved
from reactivation.storage.checkpoints import read_state
from reactivation.training.epoch import Epoch
from reactivation.training.linearized import function_of
from reactivation.training.loop import train_segment
from reactivation.training.networks import build
from sample_networks import images
from trainings import SPEC, network, train


class Killed(Exception):
    """A stand-in for kill -9: whatever is not on disk is lost."""


class KilledAfter(Saved):
    """Saves at every step and test batch, and is killed after the n-th time."""

    def __init__(self, path, count):
        super().__init__(path, 0)
        self.left = count

    def write(self, content):
        super().write(content)
        self.left -= 1
        if not self.left:
            raise Killed


def dropout():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Dropout(0.3), network())


def batch_norm():
    torch.manual_seed(0)
    return build({"name": "resnet18", "width": 2, "norm": "batch", "parametrization": "pytorch"}, 8, 4)


FIRST = {"tasks": SPEC["tasks"][:1], "epochs": [2]}  # with a test before the first step
RESUMED = {
    "plain": ({}, network),
    "first": (FIRST, network),
    "momentum": ({"training": SPEC["training"] | {"momentum": 0.9, "weight_decay": 0.05}}, network),
    "adam": ({"training": SPEC["training"] | {"optimizer": "adam", "lr": 0.01}}, network),
    "dropout": ({}, dropout),
    "batch norm": ({"training": SPEC["training"] | {"batch_size": 10}}, batch_norm),
    "linearized": ({"training": SPEC["training"] | {"dynamics": "linearized", "momentum": 0.9}}, network),
    "replay, drawn anew": ({}, network, Epoch(9, (6, 5), 3)),
    "bf16": ({"training": SPEC["training"] | {"precision": "bf16", "momentum": 0.9}}, network),
}


@pytest.mark.parametrize("case", RESUMED.values(), ids=RESUMED)
def test_killed_at_any_moment_it_ends_in_the_same_bits(tmp_path, case):
    """Each sitting is killed after one, two or three saves; saves are at every step and test batch."""
    change, build_network, *of_epoch = case
    spec, start = SPEC | change, (0, 0.0) if "epochs" in change else (40, 5.0)
    model, kept, trained = train(spec, start, build_network(), None, *of_epoch)
    wanted = {step: weights for step, _, weights in kept}
    checkpoints, sittings, saved, again = {}, 0, None, None
    while again is None:
        sittings += 1
        torch.manual_seed(sittings)  # a new process draws what it likes before the network is built
        resumed, found = build_network(), []
        saved = KilledAfter(tmp_path / "state.pt", 1 + sittings % 3)

        def save(m, step, epoch, found=found):
            found.append((step, [p.detach().clone() for p in m.parameters()]))

        with contextlib.suppress(Killed):
            function = function_of(resumed, spec)
            given = (function, None, *of_epoch)
            again = train_segment(resumed, images(), images(8, seed=1), spec, start, save, saved, *given)
        checkpoints |= dict(found)
    assert sittings > 4 and saved.sittings == sittings
    assert checkpoints.keys() == wanted.keys()
    for step, weights in wanted.items():
        assert all(torch.equal(p, q) for p, q in zip(weights, checkpoints[step], strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    assert again.evaluation == trained.evaluation

    def timeless(log):
        return [{k: v for k, v in row.items() if not k.startswith(("sec", "images"))} for row in log]

    assert timeless(again.log) == timeless(trained.log)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_at_once(tmp_path, monkeypatch, number):
    # A shell that starts the tests in the background has them ignore Ctrl-C.
    monkeypatch.setattr(signal, "getsignal", lambda _: signal.SIG_DFL)
    before = signal.signal(number, signal.SIG_DFL)
    with Saved(tmp_path / "state.pt", every=1e9) as saved:

        def save(model, step, epoch):
            if step == 44:
                os.kill(os.getpid(), number)

        with pytest.raises(Interrupted, match=f"stopped by {number.name}; what was done is saved") as stopped:
            train_segment(network(), images(), images(8, seed=1), SPEC, (40, 5.0), save, saved)
    assert stopped.value.status == 128 + number
    assert Saved(tmp_path / "state.pt", 60).found["step"] == 4
    assert signal.signal(number, before) == signal.SIG_DFL


def test_a_diverging_state_is_not_saved(tmp_path):
    saved = Saved(tmp_path / "state.pt", every=0)
    _, _, trained = train({**SPEC, "training": SPEC["training"] | {"lr": 1e20}}, saved=saved)
    assert trained.diverged is not None
    found = read_state(tmp_path / "state.pt")
    assert found["step"] < trained.diverged and all(torch.isfinite(p).all() for p in found["model"].values())

"""Training against a plain loop; its checkpoints, its log, its determinism."""

import contextlib
import copy
import itertools
import math
import os
import platform
import re
import signal

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from helpers import own_process
from networks import images, reference
from reactivation.data.images import Images
from reactivation.errors import InputError, Interrupted
from reactivation.jobs import state
from reactivation.jobs.schedule import checkpoint_steps
from reactivation.jobs.state import Saved
from reactivation.ntk.kernel import empirical_ntk
from reactivation.seeds import stream
from reactivation.storage.checkpoints import read_state
from reactivation.training.linearized import function_of
from reactivation.training.evaluation import accuracy, evaluate
from reactivation.training.loop import refuse_lone_image, train_segment
from reactivation.training.training_log import log_columns
from reactivation.training.networks import build, cnn

SPEC = {
    "images": {"classes": [0, 1, 2, 3]},
    "tasks": [{"classes": [0, 1], "weights": [1.0, 1.0]}, {"classes": [2, 3], "weights": [1.0, 1.0]}],
    "epochs": [5, 3],
    "training": {
        "optimizer": "sgd",
        "lr": 0.1,
        "momentum": 0.0,
        "weight_decay": 0.0,
        "batch_size": 8,
        "precision": "float32",
    },
    "model": {"name": "cnn", "width": 4, "parametrization": "pytorch"},
    "checkpoints": {"every": 1, "log_spaced": True},
    "seed": 4,
}


def network():
    torch.manual_seed(0)
    return cnn(4, 8, 4)


def train(spec=SPEC, start=(40, 5.0), model=None, saved=None):
    model, kept = model or network(), []
    save = lambda m, step, epoch: kept.append((step, epoch, [p.detach().clone() for p in m.parameters()]))  # noqa: E731
    function = function_of(model, spec)
    trained = train_segment(model, images(), images(8, seed=1), spec, start, save, saved, function)
    return model, kept, trained


def test_steps_every_epochs_last_and_powers_of_two():
    assert checkpoint_steps(10, 4, every=2, log_spaced=False) == {20, 40}
    assert checkpoint_steps(10, 3, every=2, log_spaced=False) == {20, 30}
    assert checkpoint_steps(10, 2, every=5, log_spaced=True) == {1, 2, 4, 8, 16, 20}
    assert checkpoint_steps(1, 1, every=1, log_spaced=True) == {1}


def test_batches_are_normalised_images_channels_last():
    data = images(4)
    x, labels = data.batch(torch.tensor([2, 0]))
    expected = (data.pixels[[2, 0]].double() / 255 - 0.4) / 0.2
    torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [2, 0]


def plain_loop(model, step):
    """step(parameter, gradient, its own state, number of the step from 1) after each batch of SPEC's second task."""
    data, shuffle = images(), torch.Generator().manual_seed(stream(4, "batches", 2))
    parameters, t = list(model.parameters()), 0
    states = [{} for _ in parameters]
    for _ in range(3):
        for batch in torch.randperm(20, generator=shuffle).split(8):
            t += 1
            x, y = data.batch(batch)
            gradients = torch.autograd.grad(F.cross_entropy(model(x), y), parameters)
            for p, g, of_p in zip(parameters, gradients, states, strict=True):
                p.data = step(p.data, g, of_p, t)
    return model


def sgd(lr, momentum, weight_decay):
    """v ← μ v + g + λ p, p ← p − η v (Sutskever et al. 2013, with v in units of gradients, as in PyTorch)."""

    def step(p, g, state, t):
        state["v"] = momentum * state.get("v", 0) + g + weight_decay * p
        return p - lr * state["v"]

    return step


def adam(lr, weight_decay, b1=0.9, b2=0.999, eps=1e-8):
    """Algorithm 1 of Kingma and Ba (2015, arXiv 1412.6980), of the gradient of the loss with λ/2 ‖p‖²."""

    def step(p, g, state, t):
        g = g + weight_decay * p
        state["m"] = b1 * state.get("m", 0) + (1 - b1) * g
        state["v"] = b2 * state.get("v", 0) + (1 - b2) * g**2
        return p - lr * (state["m"] / (1 - b1**t)) / ((state["v"] / (1 - b2**t)).sqrt() + eps)

    return step


@pytest.mark.parametrize(
    "training, step",
    [
        ({}, sgd(0.1, 0, 0)),
        ({"momentum": 0.9, "weight_decay": 0.05}, sgd(0.1, 0.9, 0.05)),
        ({"optimizer": "adam", "lr": 0.01, "weight_decay": 0.05}, adam(0.01, 0.05)),
    ],
    ids=["plain", "momentum", "adam"],
)
def test_the_loop_is_that_of_the_update_formulas(training, step):
    trained, *_ = train({**SPEC, "training": SPEC["training"] | training})
    for p, q in zip(trained.parameters(), plain_loop(network(), step).parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_each_parameter_has_the_learning_rate_of_its_parametrization():
    """After one step of SGD by mup at 4 times the base width, where the step of weight decay is the same for all."""
    model = {"name": "cnn", "width": 4, "parametrization": "mup", "base_width": 1}
    training = SPEC["training"] | {"batch_size": 20, "weight_decay": 0.2}
    spec = {**SPEC, "model": model, "training": training, "epochs": [5, 1]}
    trained, *_ = train(spec)
    start, (x, y) = network(), images().batch(slice(None))
    gradients = torch.autograd.grad(F.cross_entropy(start(x), y), list(start.parameters()))
    factors = [4, 4, 1, 4, 1, 4, 1 / 4, 1]
    for p, q, g, factor in zip(trained.parameters(), start.parameters(), gradients, factors, strict=True):
        torch.testing.assert_close(p, q - 0.1 * (factor * g + 0.2 * q), rtol=1e-4, atol=1e-6)


def test_batch_norm_trains_and_has_a_kernel():
    torch.manual_seed(0)
    model = build({"name": "resnet18", "width": 2, "norm": "batch", "parametrization": "pytorch"}, 8, 4)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    spec = {**SPEC, "training": SPEC["training"] | {"batch_size": 20}, "epochs": [5, 10]}
    log = train_segment(model, images(), images(8, seed=1), spec, (0, 0.0), lambda *_: None).log
    assert log[-1]["train_loss"] < 0.8 * log[0]["train_loss"]
    assert all(not torch.equal(value, start[name]) for name, value in model.state_dict().items())
    model, (x, _) = model.eval().double(), images(3).batch(slice(None))
    references = reference(model, x.double())
    for kind, kernel in empirical_ntk(model, x.double()).items():
        expected = references[kind]
        np.testing.assert_allclose(kernel, expected, rtol=0, atol=1e-12 * np.abs(expected).max())


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_training_does_not_import_torchs_compiler(optimizer):
    """Which takes a second, and which torch's optimizers and deterministic operations import by themselves."""
    code = f"""
import sys
import numpy as np, torch
from reactivation.training import networks
from reactivation.data.images import Images
from reactivation.training.device import set_up_device
from reactivation.training.loop import train_segment

device = set_up_device("cpu", 1)
assert torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
spec = {SPEC!r}
spec["training"]["optimizer"] = {optimizer!r}
data = Images.on(device, np.zeros((8, 8, 8, 3), dtype=np.uint8), np.arange(8) % 4, np.full(3, 0.5), np.full(3, 0.5))
train_segment(networks.build(spec["model"], 8, 4), data, data, spec, (0, 0.0), lambda *_: None)
print(*{{"torch._dynamo", "sympy"}} & sys.modules.keys())
"""
    assert own_process(code).splitlines()[-1] == ""


# ------------------------------------------------------------------------------------- precision, and speed
BF16 = {**SPEC, "training": SPEC["training"] | {"precision": "bf16"}}
MODELS = {
    "cnn": {"name": "cnn"},
    "cnn, ntk": {"name": "cnn", "parametrization": "ntk"},
    "mlp": {"name": "mlp", "depth": 2, "activation": "gelu"},
    "rnn": {"name": "rnn"},
    "resnet18": {"name": "resnet18", "norm": "batch"},
    "resnet18, group norm": {"name": "resnet18", "norm": "group"},
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_every_network_learns_in_bf16_nearly_what_it_learns_in_float32(model):
    """Products have eight bits, weights and what is added to them all of float32."""
    spec = {"width": 8, "parametrization": "pytorch"} | model
    training = {**SPEC, "training": SPEC["training"] | {"batch_size": 20, "lr": 0.002}, "epochs": [5, 6]}
    losses, weights = {}, {}
    for precision in ("float32", "bf16"):
        torch.manual_seed(0)
        network = build(spec, 8, 4)
        of = {**training, "training": training["training"] | {"precision": precision}}
        trained, kept, log = train(of, model=network)
        losses[precision] = [row["train_loss"] for row in log.log]
        weights[precision] = torch.cat([p.flatten() for p in kept[-1][2]])
        assert all(p.dtype == torch.float32 for p in trained.state_dict().values() if p.is_floating_point())
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.05)
    assert not torch.equal(*weights.values())
    assert (weights["bf16"] == weights["bf16"].bfloat16()).float().mean() < 0.1  # float32 weights, not rounded ones


def test_small_steps_are_not_lost_in_bf16():
    """A step of 1e-4 of a weight is less than bf16 resolves: weights kept in bf16 would stay where they are."""
    model, _, _ = train({**BF16, "training": BF16["training"] | {"lr": 1e-4}})
    moved = [(p - q).abs().max() for p, q in zip(model.parameters(), network().parameters(), strict=True)]
    assert min(moved) > 0


def test_tests_are_taken_in_the_precision_of_the_training():
    model, data = network(), images(18, seed=2)
    of = {p: evaluate(model, data, [0, 1, 2, 3], p, step=0, epoch=0.0) for p in ("float32", "bf16")}
    losses = {p: [row["test_loss"] for row in rows] for p, rows in of.items()}
    assert losses["bf16"] != losses["float32"]
    assert losses["bf16"] == pytest.approx(losses["float32"], rel=0.01)


def test_a_training_takes_no_more_processor_time_than_its_threads_have():
    code = f"""
import tempfile, time
import numpy as np, torch
from reactivation.training import networks
from reactivation.jobs.state import Writer
from reactivation.data.images import Images
from reactivation.training.device import keep_freed_memory, set_up_device
from reactivation.training.loop import train_segment

device = set_up_device("cpu", 1)
keep_freed_memory()
assert torch.get_num_threads() == 1
spec = {SPEC!r}
spec["model"]["width"], spec["training"]["batch_size"], spec["epochs"] = 64, 64, [1, 2]
pixels = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
data = Images.on(device, pixels, np.arange(256) % 4, np.full(3, 0.5), np.full(3, 0.5))
model = networks.build(spec["model"], 32, 4).to(memory_format=torch.channels_last)
wall, cpu = time.perf_counter(), time.process_time()
with tempfile.TemporaryDirectory() as folder, Writer() as writer:

    def save(model, step, epoch):
        writer.checkpoint(f"{{folder}}/{{step}}.pt", model, step, epoch)

    train_segment(model, data, data, spec, (0, 0.0), save)
print((time.process_time() - cpu) / (time.perf_counter() - wall))
"""
    assert float(own_process(code).splitlines()[-1]) < 1.1


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a switch of glibc")
def test_freed_memory_is_kept_for_the_next_step():
    """Page faults of taking and freeing 40 MB a hundred times, before and after."""
    code = """
import resource
import torch
from reactivation.training.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        torch.ones(10**7)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

before = faults()
keep_freed_memory()
torch.ones(10**7)
print(before, faults())
"""
    before, after = map(int, own_process(code).split())
    assert after < before / 5


def test_checkpoints_count_from_the_runs_initialisation():
    _, kept, _ = train()
    assert [step for step, *_ in kept] == [
        41,
        42,
        43,
        44,
        46,
        48,
        49,
    ]  # 3 steps an epoch; 1, 2, 3, 4, 6, 8, 9
    assert [epoch for _, epoch, _ in kept] == pytest.approx([5 + s / 3 for s in (1, 2, 3, 4, 6, 8, 9)])
    _, kept, trained = train({**SPEC, "tasks": SPEC["tasks"][:1], "epochs": [1]}, start=(0, 0.0))
    assert [step for step, *_ in kept] == [0, 1, 2, 3]
    assert [row["epoch"] for row in trained.evaluation[::4]] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_tests_are_at_each_checkpoint_and_at_the_end_of_each_epoch():
    spec = SPEC | {"checkpoints": {"every": 3, "log_spaced": True}}
    _, kept, trained = train(spec)
    assert [row["step"] for row in trained.evaluation[::4]] == [41, 42, 43, 44, 46, 48, 49]
    assert [step for step, *_ in kept] == [41, 42, 44, 48, 49]


def test_the_same_twice_is_the_same_to_the_bit():
    first, second = train(), train()
    for a, b in zip(first[1], second[1], strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a[2], b[2], strict=True))
    assert first[2].evaluation == second[2].evaluation


def test_evaluation_by_class_adds_up_to_that_of_tasks():
    model, data = network(), images(18, seed=2)
    rows = evaluate(model, data, [0, 1, 2, 3], "float32", step=0, epoch=0.0)
    x, y = data.batch(slice(None))
    with torch.no_grad():
        logits = model.eval()(x)
    for row in rows:
        mine = y == row["class"]
        assert row["images"] == int(mine.sum())
        assert row["test_accuracy"] == pytest.approx((logits[mine].argmax(1) == y[mine]).double().mean().item())
        assert row["test_loss"] == pytest.approx(F.cross_entropy(logits[mine], y[mine]).item(), rel=1e-5)
    first = y < 2
    assert accuracy(rows, SPEC["tasks"][0]) == pytest.approx(
        (logits[first].argmax(1) == y[first]).double().mean().item()
    )


def test_the_log_has_what_a_person_wants(capsys):
    log = train()[2].log
    assert (
        list(log[0])
        == log_columns(2)
        == [
            "step",
            "epoch",
            "learning_rate",
            "train_loss",
            "test_accuracy_task1",
            "test_accuracy_task2",
            "seconds",
            "images_per_second",
        ]
    )
    assert [row["epoch"] for row in log] == [6, 7, 8]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for epoch, (row, line) in enumerate(zip(log, lines, strict=True), start=1):
        said = (
            f"epoch {epoch}/3  loss {row['train_loss']:.4f}  {row['images_per_second']:,.0f} images/s  0:00:00 left  "
        )
        scores = f"{row['test_accuracy_task1']:.3f} {row['test_accuracy_task2']:.3f}"
        assert line == f"{said}test accuracy by task {scores}"


def test_a_long_epoch_has_lines_too_and_they_change_no_bit(capsys, monkeypatch):
    """Three steps an epoch, of 8, 8 and 4 images."""
    _, silent, _ = train()
    capsys.readouterr()
    monkeypatch.setattr("reactivation.training.training_log.TELL_EVERY", 0)
    _, kept, _ = train()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[:5]] == ["0.33/3", "0.67/3", "1/3", "1/3", "1.33/3"] and len(lines) == 12
    assert all(re.fullmatch(r"epoch \S+  loss \d\.\d{4}  [\d,]+ images/s  0:00:00 left", line) for line in lines[:3])
    for (*at, ours), (*then, theirs) in zip(kept, silent, strict=True):
        assert at == then and all(map(torch.equal, ours, theirs))


# ---------------------------------------------------------------------------------------------------- resume
class Killed(Exception):
    """As by kill -9: whatever is not on disk is lost."""


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
    "bf16": ({"training": SPEC["training"] | {"precision": "bf16", "momentum": 0.9}}, network),
}


@pytest.mark.parametrize("change, build_network", RESUMED.values(), ids=RESUMED)
def test_killed_at_any_moment_it_ends_in_the_same_bits(tmp_path, change, build_network):
    """Each sitting is killed after as many saves as there have been sittings: at every step and test."""
    spec, start = SPEC | change, (0, 0.0) if "epochs" in change else (40, 5.0)
    model, kept, trained = train(spec, start, build_network())
    wanted = {step: weights for step, _, weights in kept}
    checkpoints, sittings, saved, again = {}, 0, None, None
    while again is None:
        sittings += 1
        torch.manual_seed(sittings)  # a new process draws what it likes before the network is built
        resumed, found = build_network(), []
        saved = KilledAfter(tmp_path / "state.pt", 1 + sittings % 3)
        save = lambda m, step, epoch: found.append((step, [p.detach().clone() for p in m.parameters()]))  # noqa: E731, B023
        with contextlib.suppress(Killed):
            function = function_of(resumed, spec)
            again = train_segment(resumed, images(), images(8, seed=1), spec, start, save, saved, function)
        checkpoints |= dict(found)
    assert sittings > 4 and saved.sittings == sittings
    assert checkpoints.keys() == wanted.keys()
    for step, weights in wanted.items():
        assert all(torch.equal(p, q) for p, q in zip(weights, checkpoints[step], strict=True))
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    assert again.evaluation == trained.evaluation
    timeless = lambda log: [{k: v for k, v in row.items() if not k.startswith(("sec", "images"))} for row in log]  # noqa: E731
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


def test_it_is_saved_no_more_often_than_asked_for(tmp_path, monkeypatch):
    times, saved = [], Saved(tmp_path / "state.pt", every=1e9)
    train(saved=saved)
    assert not (tmp_path / "state.pt").exists()
    clock = itertools.count()
    monkeypatch.setattr(state.time, "monotonic", lambda: float(next(clock)))
    saved = Saved(tmp_path / "state.pt", every=5)
    monkeypatch.setattr(state, "write_tensors", lambda path, content: times.append(content["work"]["seconds"]))
    train(saved=saved)
    assert len(times) > 1 and (np.diff(times) >= 5).all()


# ------------------------------------------------------------------------------------------------ divergence
def test_divergence_ends_training_and_says_where():
    """Checkpoints are of finite weights only, also where the loss was still finite before the last step."""
    for lr in (1e3, 1e20, 3e38):
        _, kept, trained = train({**SPEC, "training": SPEC["training"] | {"lr": lr}})
        last = kept[-1][0] - 40 if kept else 0
        assert last < trained.diverged <= 9 and len(trained.log) == (trained.diverged - 1) // 3
        assert all(p.isfinite().all() for *_, weights in kept for p in weights)
        # With the weights before it, the loss of the step named is not finite, or its update is not.
        model, steps = network(), []
        for p in plain_steps(model, lr, trained.diverged):
            steps.append(p)
        assert all(map(math.isfinite, steps[:-1])) and not math.isfinite(steps[-1])


def plain_steps(model, lr, count):
    """After each of `count` steps of plain SGD the largest weight; NaN if the loss before it was not finite."""
    data, shuffle = images(), torch.Generator().manual_seed(stream(4, "batches", 2))
    batches = [batch for _ in range(3) for batch in torch.randperm(20, generator=shuffle).split(8)]
    for batch in batches[:count]:
        x, y = data.batch(batch)
        loss = F.cross_entropy(model(x), y)
        for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters())), strict=True):
            p.data -= lr * g
        yield max(p.detach().abs().max().item() for p in model.parameters()) if loss.isfinite() else math.nan


def test_a_diverging_state_is_not_saved(tmp_path):
    saved = Saved(tmp_path / "state.pt", every=0)
    _, _, trained = train({**SPEC, "training": SPEC["training"] | {"lr": 1e20}}, saved=saved)
    assert trained.diverged is not None
    found = read_state(tmp_path / "state.pt")
    assert found["step"] < trained.diverged and all(torch.isfinite(p).all() for p in found["model"].values())


@pytest.mark.parametrize("batch_size, size, alone", [(19, 8, True), (1, 8, True), (20, 8, False), (19, 16, False)])
def test_a_lone_image_that_batch_normalization_cannot_train_on(batch_size, size, alone):
    """Of 16 pixels a side, the last stage still has four places to take statistics over."""
    spec = {"name": "resnet18", "width": 2, "norm": "batch", "parametrization": "pytorch"}
    model = build(spec, size, 4)
    pixels = np.zeros((20, size, size, 3), dtype=np.uint8)
    data = Images.on(torch.device("cpu"), pixels, np.arange(20) % 4, np.full(3, 0.5), np.full(3, 0.5))
    before = copy.deepcopy(model.state_dict())
    if alone:
        with pytest.raises(InputError, match=f"20 images in batches of {batch_size} leave one alone"):
            refuse_lone_image(model, data, batch_size)
    else:
        refuse_lone_image(model, data, batch_size)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())

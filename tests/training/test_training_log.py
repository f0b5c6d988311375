"""The log of a training while it runs."""

import re

import pytest
import torch

from reactivation.training.training_log import log_columns, mean_loss
from trainings import train


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


def test_the_loss_of_an_epoch_is_the_mean_over_its_images():
    """A last batch that is smaller weighs less."""
    of_images = torch.linspace(0.5, 2.4, 20)
    losses = [batch.mean() for batch in of_images.split(8)]
    assert mean_loss(losses, 20, 8) == pytest.approx(of_images.double().mean().item(), rel=1e-6)


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

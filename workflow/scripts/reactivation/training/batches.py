"""Images from a data set's file, on the device."""

from pathlib import Path

import numpy as np
import torch

from reactivation.data.images import Images
from reactivation.storage.datasets import read_images, read_normalisation, read_probe_images


def part_images(device: torch.device, dataset: str | Path, part: str, indices: np.ndarray) -> Images:
    """The images at `indices` of a part, "train" or "test", in that order."""
    return Images.on(device, *read_images(dataset, part, indices), *read_normalisation(dataset))


def test_images(device: torch.device, dataset: str | Path, split: dict[str, np.ndarray]) -> Images:
    """The images that tests are taken on: those that the arrays of a split hold out of training, or the test images."""
    part, name = ("train", "held_out") if "held_out" in split else ("test", "test")
    return part_images(device, dataset, part, split[name])


def probe_images(device: torch.device, dataset: str | Path, probe: dict[str, np.ndarray]) -> Images:
    """The images of a probe: training images, then held-out images."""
    return Images.on(device, *read_probe_images(dataset, probe), *read_normalisation(dataset))

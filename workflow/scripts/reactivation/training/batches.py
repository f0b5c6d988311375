"""Images from a data set's file, on the device."""

from pathlib import Path

import numpy as np
import torch

from reactivation.data.images import Images
from reactivation.storage.datasets import read_images, read_normalisation, read_probe_images


def part_images(device: torch.device, dataset: str | Path, part: str, indices: np.ndarray) -> Images:
    """The images at `indices` of a part, "train" or "test", in that order."""
    return Images.on(device, *read_images(dataset, part, indices), *read_normalisation(dataset))


def probe_images(device: torch.device, dataset: str | Path, probe: dict[str, np.ndarray]) -> Images:
    """The images of a probe: training images, then held-out test images."""
    return Images.on(device, *read_probe_images(dataset, probe), *read_normalisation(dataset))

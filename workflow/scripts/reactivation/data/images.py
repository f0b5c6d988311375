"""Images on the device, kept as bytes and normalised batch by batch."""

from dataclasses import dataclass

import numpy as np
import torch


@dataclass
class Images:
    """Images that stay on the device as bytes, a quarter of their size as floats, and are normalised batch by batch."""

    pixels: torch.Tensor  # (N, H, W, 3) uint8
    labels: torch.Tensor  # (N,) int64
    scale: torch.Tensor  # (3,): what a byte is multiplied by, 1 / (255 std)
    shift: torch.Tensor  # (3,): what is then added, -mean / std

    @classmethod
    def on(cls, device: torch.device, pixels: np.ndarray, labels: np.ndarray, mean: np.ndarray, std: np.ndarray):
        """Put arrays on `device`; `mean` and `std` (3,) are those of the channels, in [0, 1]."""
        scale, shift = 1 / (255 * std), -mean / std
        tensors = map(torch.from_numpy, (pixels, labels, scale.astype(np.float32), shift.astype(np.float32)))
        return cls(*(tensor.to(device) for tensor in tensors))

    def batch(self, indices: torch.Tensor | slice = slice(None)) -> tuple[torch.Tensor, torch.Tensor]:
        """Normalised images (n, 3, H, W) float32, channels last in memory, and their labels."""
        pixels = torch.addcmul(self.shift, self.pixels[indices].float(), self.scale)
        return pixels.permute(0, 3, 1, 2), self.labels[indices]

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        return self.pixels.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

"""Images as batches."""

import torch

from sample_networks import images


def test_batches_are_normalised_images_channels_last():
    data = images(4)
    x, labels = data.batch(torch.tensor([2, 0]))
    expected = (data.pixels[[2, 0]].double() / 255 - 0.4) / 0.2
    torch.testing.assert_close(x.double(), expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-6)
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert labels.tolist() == [2, 0]

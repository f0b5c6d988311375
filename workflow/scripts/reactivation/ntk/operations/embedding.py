"""Embeddings: rows of a table, looked up by indices that hold the samples."""

import torch.nn.functional as F

from reactivation.ntk.rules import opens, takes_apart


@opens(F.embedding, mends=True)
def embedding_scaled_by_frequency(mode, input, weight, *args, **kwargs):
    """The option scales the gradient of a row by how often it was looked up, which is no derivative."""
    options = (
        dict(zip(("padding_idx", "max_norm", "norm_type", "scale_grad_by_freq", "sparse"), args, strict=False)) | kwargs
    )
    if not options.get("scale_grad_by_freq") and not options.get("sparse"):
        return NotImplemented
    with mode:
        return F.embedding(input, weight, **options | {"scale_grad_by_freq": False, "sparse": False})


@takes_apart(F.embedding)
def embedding(capture, input, weight, padding_idx=None, max_norm=None, *args, **kwargs):
    if max_norm is not None:
        raise ValueError("an embedding with max_norm rewrites its weights as it runs: it has no kernel")
    if not capture.fixed(weight) or not capture.by_sample(input) or not capture.of_samples(input):
        return NotImplemented
    (z,) = capture.values()
    seen = input if padding_idx is None else input.masked_fill(input == padding_idx % len(weight), -1)
    return capture.node(z, list, [], capture.uses(weight, "embedding", seen.reshape(capture.samples, -1)), -1)

"""Independent random streams, derived by name from one seed."""

import hashlib

import numpy as np


def stream(seed: int, *names: object) -> int:
    """A 63-bit seed of the stream called `names` of `seed`.

    Streams are told apart by name only ("init"; "batches", 2), so that nothing shifts when one is added.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """NumPy's generator of the stream called `names` of `seed`."""
    return np.random.default_rng(stream(seed, *names))

"""Independent random streams, derived by name from one seed."""

import hashlib

import numpy as np


def stream(seed: int, *names: object) -> int:
    """A 63-bit seed for the stream `names` of `seed`.

    A stream depends on nothing but `seed` and its names ("init"; "batches", 2), so a new stream changes no other.
    """
    text = "/".join(map(str, (seed, *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator for the stream `names` of `seed`."""
    return np.random.default_rng(stream(seed, *names))

"""Images read from the file of a data set."""

import tracemalloc

import h5py
import numpy as np

from reactivation.storage.datasets import (
    BLOCK,
    read_digest,
    read_images,
    read_normalisation,
    read_probe_images,
    read_source_digest,
    write_dataset,
)


def test_images_are_read_in_any_order_repeated_or_far_apart(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (3 * BLOCK + 7, 4, 4, 3), dtype=np.uint8)
    samples = [(part, f"{i % 3}", image) for part in ("train", "test") for i, image in enumerate(images)]
    write_dataset(tmp_path / "d.h5", samples)
    last = len(images) - 1
    shuffled = np.random.default_rng(1).permutation(len(images))
    for indices in (np.array([last, 0, 7, last, 7, 7]), np.arange(last, 0, -2), np.arange(len(images)), shuffled):
        for part in ("train", "test"):
            read, labels = read_images(tmp_path / "d.h5", part, indices)
            np.testing.assert_array_equal(read, images[indices])
            np.testing.assert_array_equal(labels, indices % 3)


def test_reading_a_few_images_takes_no_memory_for_the_others(tmp_path):
    images = np.zeros((8192, 32, 32, 3), np.uint8)
    images[:, 0, 0, 0] = np.arange(8192) % 251
    samples = [(part, "a", image) for part, images in (("train", images), ("test", images[:1])) for image in images]
    write_dataset(tmp_path / "d.h5", samples)
    indices = np.r_[8000:8192, 100:200]
    tracemalloc.start()
    read, _ = read_images(tmp_path / "d.h5", "train", indices)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(read, images[indices])
    assert peak < read.nbytes + 3 * images[:BLOCK].nbytes  # the whole file: 25 MB


def test_of_an_old_file_it_is_not_known_what_its_images_were(tmp_path):
    """So it is made again; planning does not stop at it."""
    assert read_source_digest(tmp_path / "d.h5") is None
    write_dataset(tmp_path / "d.h5", [(part, "a", np.zeros((2, 2, 3), np.uint8)) for part in ("train", "test")])
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        file.attrs["source_state"] = "3 files, 0123456789"
    assert read_source_digest(tmp_path / "d.h5") is None
    with h5py.File(tmp_path / "d.h5", "r+") as file:
        file.attrs["source_digest"] = "0a"
    assert read_source_digest(tmp_path / "d.h5") == "0a"


def test_images_are_normalised_by_given_numbers_or_by_those_of_the_training_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (9, 2, 2, 3), dtype=np.uint8)
    samples = [(part, "a", image) for part in ("train", "test") for image in images]
    given = {"mean": [0.5, 0.0, 0.25], "std": [0.5, 1.0, 0.125]}
    for name, normalise in (("measured", None), ("given", given)):
        write_dataset(tmp_path / name, samples, normalise=normalise)
    mean, std = read_normalisation(tmp_path / "measured")
    np.testing.assert_allclose(mean, (images / 255).mean((0, 1, 2)))
    np.testing.assert_allclose(std, (images / 255).std((0, 1, 2)))
    np.testing.assert_array_equal(read_normalisation(tmp_path / "given"), [given["mean"], given["std"]])
    assert read_digest(tmp_path / "given") == read_digest(tmp_path / "measured")  # the images are the same


def test_held_out_images_of_a_probe_may_be_training_images(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (8, 2, 2, 3), dtype=np.uint8)
    parts = zip(["train"] * 5 + ["test"] * 3, images, strict=True)
    write_dataset(tmp_path / "d.h5", [(part, "a", image) for part, image in parts])
    probe = {"index": np.array([4, 0, 2, 1]), "held_out": np.array([False, False, True, True])}
    np.testing.assert_array_equal(read_probe_images(tmp_path / "d.h5", probe)[0], images[[4, 0, 7, 6]])
    probe["in_train"] = np.full(4, True)
    np.testing.assert_array_equal(read_probe_images(tmp_path / "d.h5", probe)[0], images[[4, 0, 2, 1]])

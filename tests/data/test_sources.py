"""Every source of images, and the errors for missing and broken ones."""

import hashlib
import io
import os
import pickle
import tarfile
import threading
import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from image_files import FILES, NOISE, folder, picture, png, tarball
from reactivation.data import sources
from reactivation.data.source_digest import ImagesDigest, listing
from reactivation.errors import InputError
from reactivation.storage.datasets import read_class_count, read_images, read_normalisation, write_dataset

GLYPHS = {"source": "glyphs", "image_size": 16, "classes": 3, "train_per_class": 4, "test_per_class": 2, "seed": 0}


def stack(samples):
    parts, names, images = zip(*samples, strict=True)
    return parts, names, np.stack(images)


# ---------------------------------------------------------------------------------------------------- glyphs
def test_glyphs_are_as_many_as_asked_for_and_reproducible():
    parts, names, images = stack(sources.samples(GLYPHS, None, False))
    assert images.shape == (18, 16, 16, 3) and images.dtype == np.uint8
    assert parts.count("train") == 12 and len(set(names)) == 3
    again = stack(sources.samples(GLYPHS, None, False))
    np.testing.assert_array_equal(images, again[2])
    other = stack(sources.samples({**GLYPHS, "seed": 1}, None, False))
    assert (images != other[2]).any()


def test_more_classes_or_images_add_to_the_glyphs_that_were():
    few = list(sources.glyphs(GLYPHS))
    many = list(sources.glyphs({**GLYPHS, "classes": 4, "train_per_class": 6}))
    kept = {(part, name, image.tobytes()) for part, name, image in many}
    assert all((part, name, image.tobytes()) in kept for part, name, image in few)


@pytest.mark.parametrize("size", [8, 32, 64])
def test_a_hundred_letters_are_told_apart_in_every_face(size):
    """Each is drawn inside the image, and not as the font's box for a missing glyph."""
    for face in sources._faces(size):
        masks = {letter: face.getmask(letter).getbbox() and bytes(face.getmask(letter)) for letter in sources.LETTERS}
        assert len(masks) == 100 and None not in masks.values()
        missing = bytes(face.getmask("\uffff"))
        assert missing not in masks.values()
        if size >= 32:
            assert len(set(masks.values())) == 100


def test_glyphs_are_light_on_dark():
    _, _, images = stack(sources.glyphs(GLYPHS))
    assert (images.max((1, 2, 3)) > 140).all() and np.median(images) < 100


# --------------------------------------------------------------------------------------------- image folders
def read(root, size=8, classes=2):
    samples = sources.folder_samples(root, size, classes, scratch=root.parent)
    return sorted((part, name, tuple(image[0, 0])) for part, name, image in samples)


EXPECTED = [
    ("test", "ant", (0, 255, 1)),
    ("test", "cat", (255, 0, 1)),
    ("train", "ant", (0, 255, 0)),
    ("train", "cat", (250, 0, 0)),
    ("train", "cat", (255, 0, 0)),
]


def test_a_folder(tmp_path):
    assert read(folder(tmp_path)) == EXPECTED


@pytest.mark.parametrize("ending", ["", "gz", "bz2", "xz"])
def test_a_tarball_is_read_without_unpacking(tmp_path, ending):
    inside = {f"some/top/{name}": content for name, content in FILES.items()} | {"some/README": b"not an image"}
    path = tarball(tmp_path / "images.tar", inside, f"w:{ending}")
    assert read(path) == EXPECTED
    assert [p.name for p in tmp_path.iterdir()] == ["images.tar"]


def test_images_are_cropped_to_a_square_and_resized(tmp_path):
    wide = Image.new("RGB", (30, 10), (0, 0, 255))
    wide.paste((255, 0, 0), (10, 0, 20, 10))  # the central square
    folder(tmp_path, {"train/a/1.png": png(wide), "test/a/1.png": picture((1, 2, 3))})
    _, _, images = stack(sources.folder_samples(tmp_path, 16, 1))
    assert images.shape == (2, 16, 16, 3)
    assert (images[0, :, 3:-3] == (255, 0, 0)).all()  # the filter blends in a little of what is cut off
    assert (images[1] == (1, 2, 3)).all()


def test_grey_and_transparent_images_become_rgb(tmp_path):
    files = dict(FILES)
    for name, mode in (("train/cat/1.png", "L"), ("train/cat/2.png", "RGBA")):
        files[name] = png(Image.new(mode, (10, 10), 7 if mode == "L" else (7, 7, 7, 0)))
    assert read(folder(tmp_path, files)).count(("train", "cat", (7, 7, 7))) == 2


@pytest.mark.parametrize(
    "files, message",
    [
        (
            {**FILES, "train/cat/2.png": NOISE[:-60]},
            r"train/cat/2.png is not a readable image \(.*\): replace",
        ),
        ({**FILES, "train/cat/2.png": b"text"}, "train/cat/2.png is not a readable image"),
        ({**FILES, "train/cat/2.png": b""}, "train/cat/2.png is not a readable image"),
        (
            {k: v for k, v in FILES.items() if "test/ant" not in k},
            "class 'ant' of .* is in one of train/ and test/ only",
        ),
        ({k: v for k, v in FILES.items() if "test" not in k}, "has no images under test/: it must hold"),
        ({k: v for k, v in FILES.items() if "ant" not in k}, "has 1 classes, the config says 2: correct `classes`"),
        ({"cat/1.png": picture(0)}, "has no images under train/"),
    ],
)
def test_broken_folders_and_tarballs_are_named(tmp_path, files, message):
    for root in (folder(tmp_path / "images", files), tarball(tmp_path / "images.tar.gz", files)):
        with pytest.raises(InputError, match=message) as caught:
            read(root)
        assert "\n" not in str(caught.value)


def test_what_archivers_and_notebooks_leave_is_no_image(tmp_path):
    files = FILES | {"train/.ipynb_checkpoints/1.png": b"", "train/cat/.DS_Store": b"", "test/cat/._1.png": b""}
    assert read(folder(tmp_path / "images", files)) == read(tarball(tmp_path / "images.tar", files)) == EXPECTED


@pytest.mark.parametrize("top", ["", "./", "images/"])
def test_folders_inside_a_class_are_refused(tmp_path, top):
    files = {top + name: content for name, content in {**FILES, "train/cat/more/3.png": NOISE}.items()}
    with pytest.raises(InputError, match=r"train/cat/more.* is (in )?a folder inside a class: it must hold"):
        read(tarball(tmp_path / "images.tar", files))
    if top != "images/":
        with pytest.raises(InputError, match=r"train/cat/more.* is (in )?a folder inside a class: it must hold"):
            read(folder(tmp_path / "images", files))


def test_broken_links_are_named(tmp_path):
    folder(tmp_path)
    (tmp_path / "train/cat/3.png").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"train/cat/3.png cannot be read .*: replace or remove it"):
        read(tmp_path)


def test_sixteen_bit_images_are_refused(tmp_path):
    """Converting them to 8 bits clips all but the darkest to white."""
    deep = png(Image.fromarray(np.full((10, 10), 30_000, dtype=np.uint16)))
    with pytest.raises(InputError, match=r"3.png is not a readable image \(its pixels have more than 8 bits\)"):
        read(folder(tmp_path, FILES | {"train/cat/3.png": deep}))


def test_a_missing_root(tmp_path):
    with pytest.raises(InputError, match=r"there is no .*nowhere: put the image folder .* --config data_root=FOLDER"):
        read(tmp_path / "nowhere")


@pytest.mark.parametrize("ending", ["", "gz", "bz2", "xz"])
def test_truncated_tarballs_at_every_length(tmp_path, ending):
    """A cut between two members is found too, although tarfile takes it for the end."""
    content = tarball(tmp_path / "whole.tar", mode=f"w:{ending}").read_bytes()
    cut = tmp_path / "cut.tar"
    padding = 0 if ending else 10240 - 2 * 512  # follows the end mark of a plain archive
    for length in {*range(0, len(content) - 1 - padding, 97 if not ending else 23), *range(0, 4096, 512)}:
        if length < len(content) - padding:
            cut.write_bytes(content[:length])
            with pytest.raises(InputError, match=r"cut.tar cannot be read to its end \(.*\): copy it anew"):
                read(cut)


def test_a_flipped_bit_in_a_tarball(tmp_path):
    path = tarball(tmp_path / "images.tar.gz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(InputError):
        read(path)


@pytest.mark.parametrize(
    "files, member, message",
    [
        ({"../train/a/1.png": b""}, {}, "points outside the archive: refused"),
        ({"/train/a/1.png": b""}, {}, "points outside the archive: refused"),
        ({"train/a/1.png": b""}, {"type": tarfile.CHRTYPE}, "is not a regular file: refused"),
        (
            {"train/a/1.png": b""},
            {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"},
            "is not a regular file: refused",
        ),
        (
            {"train/a/1.png": b""},
            {"type": tarfile.LNKTYPE, "linkname": "../../secret"},
            "is not a regular file: refused",
        ),
        ({"train/a/1.png": b""}, {"type": tarfile.FIFOTYPE}, "is not a regular file: refused"),
        ({"train/../../a/1.png": b""}, {}, "points outside the archive: refused"),
    ],
)
def test_members_that_are_no_images_are_refused(tmp_path, files, member, message):
    with pytest.raises(InputError, match=message) as caught:
        read(tarball(tmp_path / "images.tar", files, "w", **member))
    assert "\n" not in str(caught.value) and [path.name for path in tmp_path.iterdir()] == ["images.tar"]


def test_a_member_that_declares_ten_gigabytes(tmp_path):
    info = tarfile.TarInfo("train/a/1.png")
    info.size = 10 << 30
    (tmp_path / "images.tar").write_bytes(info.tobuf() + bytes(2048))
    with pytest.raises(InputError, match="declares 10737418240 bytes: too large for an image"):
        read(tmp_path / "images.tar")


def test_a_device_or_pipe_is_no_tarball(tmp_path):
    """Reading one would never end."""
    os.mkfifo(tmp_path / "pipe")
    for root in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=r"is neither a folder nor a file: name the image folder or its tarball"):
            read(root)
        assert listing("image_folder", root) == []


def test_streaming_keeps_memory_flat(tmp_path):
    def samples(n):
        for i in range(n):
            yield ("train" if i % 2 else "test"), "ab"[i // 2 % 2], np.zeros((64, 64, 3), np.uint8)

    peaks = []
    for n in (2_000, 6_000):
        tracemalloc.start()
        write_dataset(tmp_path / "images.h5", samples(n))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (16 << 20)  # for 49 MB more of images


# ----------------------------------------------------------------------------------------- order of tarballs
def numbered(numbers):
    """Images of two classes in both parts, whose colours are their numbers, in the order of the files of a folder."""
    names = [f"{part}/{name}/{i}.png" for part in ("train", "test") for name in "ab" for i in range(4)]
    return {names[i]: picture((i, 0, 0)) for i in numbers}


ORDERS = {
    "in order": range(16),
    "backwards": range(15, -1, -1),
    "test before train, as sorted by name": [*range(8, 16), *range(8)],
    "as a file system lists them": np.random.default_rng(0).permutation(16).tolist(),
}


@pytest.mark.parametrize("numbers", ORDERS.values(), ids=ORDERS)
def test_however_a_folder_was_packed_its_data_set_is_the_same(tmp_path, numbers):
    """Otherwise limit_per_class and the probe choose other images for each person who packs it."""
    packed = tarball(tmp_path / "images.tar.gz", numbered(numbers))
    written = {}
    for source in (folder(tmp_path / "images", numbered(range(16))), packed):
        digest = ImagesDigest(source)
        path = tmp_path / f"{source.name}.h5"
        write_dataset(path, sources.folder_samples(source, 8, 2, 2, digest, tmp_path))
        written[path.read_bytes()] = digest.hexdigest()
        with h5py.File(path) as file:
            reds = [*file["train/images"][:, 0, 0, 0], *file["test/images"][:, 0, 0, 0]]
        assert reds == list(range(16))
    assert len(written) == len({*written.values()}) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"images", "images.h5", "images.tar.gz", "images.tar.gz.h5"}


def test_members_in_order_are_not_kept_and_others_are_refused_without_a_place_for_them(tmp_path):
    ordered = tarball(tmp_path / "a.tar", numbered(range(16)))
    read = sources.folder_samples(ordered, 8, 2)
    first = next(read)
    read.close()
    assert first[:2] == ("train", "a") and first[2][0, 0, 0] == 0
    with pytest.raises(InputError, match=r"b.tar changed, or its members are not in the order .*: run again"):
        list(sources.folder_samples(tarball(tmp_path / "b.tar", numbered([1, 0])), 8, 2))


def test_sorting_keeps_memory_flat(tmp_path):
    def images(n):
        for i in reversed(range(n)):
            yield ("train", "a", f"{i:05d}"), bytes(32), np.full((64, 64, 3), i % 251, np.uint8)

    peaks = []
    for n in (1_000, 4_000):
        tracemalloc.start()
        assert [image[0, 0, 0] for _, _, image in sources._sorted(images(n), tmp_path)] == [i % 251 for i in range(n)]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + (4 << 20)  # for 37 MB more of images
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("place, kept", [("train/a/3.png", True), ("test/b/3.png", True), ("test/b/3.png", False)])
@pytest.mark.parametrize("prefix", ["", "./"])
def test_a_member_twice_is_refused(tmp_path, place, kept, prefix):
    """`tar -rf` appends a file that is there already; it would count twice."""
    packed = tarball(tmp_path / "images.tar", numbered(range(16)), "w")
    tarball(packed, {prefix + place: NOISE}, "a")
    with pytest.raises(InputError, match=rf"images.tar has {place} twice: unpack it, .* pack it anew") as caught:
        list(sources.folder_samples(packed, 8, 2, scratch=tmp_path if kept else None))
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------ JPEGs, in threads
def jpeg(seed, size, mode="RGB"):
    """A JPEG of coarse random colours, of any size."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode).save(file, "JPEG", quality=90)
    return file.getvalue()


JPEGS = {
    "test/bee/1.JPEG": jpeg(0, (500, 375)),
    "test/elk/1.JPEG": jpeg(1, (64, 64)),
    "train/bee/1.JPEG": jpeg(2, (500, 375)),
    "train/bee/2.JPEG": jpeg(3, (333, 500)),
    "train/bee/3.JPEG": jpeg(4, (500, 375), "L"),
    "train/elk/1.JPEG": jpeg(5, (250, 400), "CMYK"),
    "train/elk/2.JPEG": jpeg(6, (50, 40)),
    "train/elk/3.JPEG": jpeg(7, (1600, 1201)),
}


def plain(content, size):
    """The central square, resized."""
    image = Image.open(io.BytesIO(content)).convert("RGB")
    width, height = image.size
    short = min(width, height)
    left, top = (width - short) // 2, (height - short) // 2
    square = image.crop((left, top, left + short, top + short))
    return np.asarray(square.resize((size, size), Image.Resampling.BICUBIC))


def test_jpegs_of_all_kinds_are_stored_in_their_order_whatever_the_number_of_threads(tmp_path):
    places = (folder(tmp_path / "images", JPEGS), tarball(tmp_path / "images.tar", JPEGS))
    for source, threads in ((source, threads) for source in places for threads in (1, 2, 5)):
        path = tmp_path / f"{source.name}-{threads}.h5"
        write_dataset(path, sources.folder_samples(source, 64, 2, threads, scratch=tmp_path))
        with h5py.File(path) as file:
            assert list(file.attrs["class_names"]) == ["bee", "elk"]
            stored = np.concatenate([file["test/images"][:], file["train/images"][:]])
            assert file["test/labels"][:].tolist() == [0, 1] and file["train/labels"][:].tolist() == [0] * 3 + [1] * 3
        expected = np.stack([plain(content, 64) for content in JPEGS.values()])
        assert stored.shape == expected.shape and stored.dtype == np.uint8
        error = np.abs(stored.astype(int) - expected)
        # The resizing cuts off half a pixel of an odd margin; the reference does not.
        assert error.mean() < 1 and error.max() < 16
        first = tmp_path / f"{source.name}-1.h5"
        assert path.read_bytes() == first.read_bytes()


@pytest.mark.parametrize("pack", [folder, tarball])
def test_a_broken_jpeg_in_the_middle_ends_everything(tmp_path, pack):
    files = {f"train/a/{i:03d}.jpg": JPEGS["train/bee/1.JPEG"] for i in range(200)} | {"test/a/1.jpg": jpeg(0, (9, 9))}
    files["train/a/100.jpg"] = files["train/a/100.jpg"][:-2000]
    before = threading.active_count()
    read = sources.folder_samples(pack(tmp_path / "images", files), 16, 1, 4)
    for _ in range(100):
        next(read)
    with pytest.raises(InputError, match=r"train/a/100.jpg is not a readable image \(.*\): replace or remove it"):
        next(read)
    assert threading.active_count() == before


def test_threads_end_with_a_reader_that_stops(tmp_path):
    before = threading.active_count()
    read = sources.folder_samples(folder(tmp_path, JPEGS), 16, 2, 4)
    next(read)
    assert threading.active_count() > before
    read.close()
    assert threading.active_count() == before


def test_images_are_counted_where_that_is_cheap(tmp_path):
    entry = {"source": "image_folder", "image_size": 8, "classes": 2}
    assert sources.count(entry, folder(tmp_path / "images", FILES | {"train/cat/.DS_Store": b""})) == len(FILES)
    assert sources.count(entry, tarball(tmp_path / "images.tar")) is None
    assert sources.count({"source": "torchvision", "name": "CIFAR10"}, tmp_path) is None
    assert sources.count(GLYPHS, None) == 18


# ----------------------------------------------------------------------------------------------- torchvision
def test_torchvision_reads_its_own_files(tmp_path, monkeypatch):
    """The files have the format that torchvision downloads; their checksums replace the real ones."""
    vision = sources.import_torchvision_datasets()
    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (4, 3, 32, 32), dtype=np.uint8)

    def write(name, content):
        data = pickle.dumps(content)
        (base / name).write_bytes(data)
        return name, hashlib.md5(data).hexdigest()

    batch = {"data": pixels.reshape(4, -1), "labels": [1, 0, 1, 0]}
    name, md5 = write("batches.meta", {"label_names": ["car", "plane"]})
    monkeypatch.setattr(vision.CIFAR10, "train_list", [write("data_batch_1", batch)])
    monkeypatch.setattr(vision.CIFAR10, "test_list", [write("test_batch", batch)])
    monkeypatch.setattr(vision.CIFAR10, "meta", {"filename": name, "key": "label_names", "md5": md5})
    parts, names, images = stack(sources.torchvision_samples("CIFAR10", tmp_path, False))
    assert parts == ("train",) * 4 + ("test",) * 4
    assert names[:2] == ("plane", "car")
    np.testing.assert_array_equal(images[:4], pixels.transpose(0, 2, 3, 1))
    (base / "test_batch").write_bytes(b"broken")
    with pytest.raises(
        InputError, match=r"no readable CIFAR10 in .*: unpack torchvision's copy there, set download: true"
    ):
        list(sources.torchvision_samples("CIFAR10", tmp_path, False))


# ---------------------------------------------------------------------------------------------- what is stored
def test_what_is_stored(tmp_path):
    path = tmp_path / "d.h5"
    write_dataset(path, sources.folder_samples(folder(tmp_path / "i"), 8, 2), lambda: {"note": "x"})
    with h5py.File(path) as file:
        assert file["train/images"].shape == (3, 8, 8, 3) and file["train/images"].dtype == np.uint8
        assert list(file.attrs["class_names"]) == ["ant", "cat"]
        assert file["train/labels"][:].tolist() == [0, 1, 1]
        pixels = file["train/images"][:] / 255
        np.testing.assert_allclose(file.attrs["mean"], pixels.mean((0, 1, 2)))
        spread = pixels.std((0, 1, 2))
        assert spread[2] == 0  # no blue: unchanged, not divided by zero
        np.testing.assert_allclose(file.attrs["std"], [*spread[:2], 1])
    images, labels = read_images(path, "train", np.array([2, 0]))
    assert labels.tolist() == [1, 0] and images[1, 0, 0].tolist() == [0, 255, 0]
    mean, std = read_normalisation(path)
    assert mean.shape == std.shape == (3,) and read_class_count(path) == 2

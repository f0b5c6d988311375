"""Images are read once to know them again, and a job reads what was planned."""

import json
import os
import shutil

import pytest

from image_files import FILES, NOISE, folder, tarball
from reactivation.data import source_digest
from reactivation.data.source_digest import ImagesDigest
from reactivation.data.sources import folder_samples
from reactivation.errors import InputError
from reactivation.jobs import known_images
from reactivation.jobs.known_images import MEMORY, confirm, known
from reactivation.storage.datasets import read_source_digest, write_dataset

SPEC = {"source": "image_folder", "image_size": 8, "classes": 2}


@pytest.fixture(autouse=True)
def reads(tmp_path, monkeypatch):
    """The sources that are read to their end, in their order."""
    monkeypatch.chdir(tmp_path)
    done = []
    monkeypatch.setattr(
        known_images, "read_source", lambda *given: done.append(given[1]) or source_digest.read_source(*given)
    )
    return done


@pytest.mark.parametrize("pack", [folder, tarball])
def test_images_are_read_once(tmp_path, reads, pack):
    root = pack(tmp_path / "images")
    assert known(SPEC, root) == known(SPEC, str(root)) and reads == [root]
    (tmp_path / "link").symlink_to(root)
    assert known(SPEC, tmp_path / "link") == known(SPEC, root) and reads == [root]
    assert len(list(MEMORY.iterdir())) == 1


def test_they_are_read_again_where_they_moved_or_changed(tmp_path, reads):
    before = known(SPEC, folder(tmp_path / "a"))
    shutil.move("a", "b")
    assert known(SPEC, tmp_path / "b") == before and len(reads) == 2
    (tmp_path / "b/train/cat/1.png").write_bytes(NOISE)
    changed = known(SPEC, tmp_path / "b")
    assert changed.digest != before.digest and len(reads) == 3
    assert known(SPEC, tmp_path / "b") == changed and len(reads) == 3


def test_nothing_is_known_of_what_is_drawn_gone_or_torchvision_s(tmp_path, reads):
    assert known({"source": "glyphs"}, None) is None
    assert known({"source": "torchvision"}, folder(tmp_path / "images")) is None
    assert known(SPEC, tmp_path / "nowhere") is None
    assert not reads and not MEMORY.exists()


BROKEN = {
    "nothing": b"",
    "cut off": b'{"stamp": "',
    "a list": b"[1, 2]",
    "a number": b"3",
    "no text": b"\xff\xfe",
    "without digest": None,
    "an invalid digest": {"digest": 3},
    "an invalid number of images": {"images": "many"},
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_damaged_memory_is_made_anew(tmp_path, reads, content):
    root = folder(tmp_path / "images")
    found = known(SPEC, root)
    (memory,) = MEMORY.iterdir()
    sound = json.loads(memory.read_bytes())
    if content is None:
        content = {key: value for key, value in sound.items() if key != "digest"}
    elif isinstance(content, dict):
        content = sound | content
    memory.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    assert known(SPEC, root) == found and len(reads) == 2
    assert json.loads(memory.read_bytes()) == sound


def test_a_place_that_cannot_be_written_is_no_error(tmp_path, reads):
    (tmp_path / "results").write_text("no folder")
    root = folder(tmp_path / "images")
    assert known(SPEC, root) == known(SPEC, root) and reads == [root] * 2


def test_what_changes_while_it_is_read_is_not_remembered(tmp_path, monkeypatch):
    root = folder(tmp_path / "images")
    read = known_images.read_source

    def slowly(*given):
        found = read(*given)
        (root / "train/cat/1.png").write_bytes(NOISE)
        return found

    monkeypatch.setattr(known_images, "read_source", slowly)
    before = known(SPEC, root)
    assert not MEMORY.exists()
    monkeypatch.setattr(known_images, "read_source", read)
    assert known(SPEC, root) != before and MEMORY.exists()


# --------------------------------------------------------------------------------------- what a job does with it
def build(root, planned):
    """What build_dataset.py does."""
    digest = ImagesDigest(root)

    def attributes():
        confirm(SPEC, root, digest, planned)
        return {"source_digest": planned}

    write_dataset("images.h5", folder_samples(root, 8, 2, 2, digest, root.parent), attributes)


@pytest.mark.parametrize("pack", [folder, tarball])
def test_a_job_publishes_nothing_of_images_that_changed_meanwhile(tmp_path, reads, pack):
    root = pack(tmp_path / "images")
    planned = known(SPEC, root)
    assert planned.images == len(FILES)
    pack(root, FILES | {"train/cat/1.png": NOISE})
    with pytest.raises(InputError, match="images changed after it was looked at, or while it was read: run again"):
        build(root, planned.digest)
    assert not (tmp_path / "images.h5").exists() and not list(MEMORY.iterdir())
    again = known(SPEC, root).digest
    build(root, again)
    assert read_source_digest("images.h5") == again != planned.digest


def test_a_memory_that_is_wrong_does_not_stop_a_job_for_ever(tmp_path):
    """As when a file changes within one tick of a file system's clock."""
    root = folder(tmp_path / "images")
    right = known(SPEC, root).digest
    (memory,) = MEMORY.iterdir()
    memory.write_text(json.dumps(json.loads(memory.read_text()) | {"digest": "0" * 64}))
    with pytest.raises(InputError, match="run again"):
        build(root, known(SPEC, root).digest)
    build(root, known(SPEC, root).digest)
    assert read_source_digest("images.h5") == right


def test_sources_that_add_nothing_to_the_digest_are_looked_at_again(tmp_path):
    file, spec = tmp_path / "a.npz", {"source": "arrays"}
    file.write_bytes(b"before")
    planned = known(spec, file).digest
    confirm(spec, file, ImagesDigest(file), planned)
    confirm({"source": "glyphs"}, None, ImagesDigest(None), "")
    confirm({"source": "torchvision"}, tmp_path, ImagesDigest(tmp_path), "")
    file.write_bytes(b"after!")
    os.utime(file, (0, 0))
    with pytest.raises(InputError, match=r"a.npz changed after it was looked at, or while it was read: run again"):
        confirm(spec, file, ImagesDigest(file), planned)

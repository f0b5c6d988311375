"""A digest tells images apart by their bytes and names, and by nothing else."""

import os
import shutil

import pytest

from image_files import FILES, NOISE, folder, picture, tarball
from reactivation.data import source_digest
from reactivation.data.source_digest import listing, read_source, stamp
from reactivation.errors import InputError


def found(root, kind="image_folder"):
    return read_source(kind, root, listing(kind, root))


def digest(root, kind="image_folder"):
    return found(root, kind).digest


OTHERS = {
    "another pixel": FILES | {"train/cat/1.png": picture((255, 0, 2))},
    "one more": FILES | {"train/cat/3.png": NOISE},
    "one less": {name: content for name, content in FILES.items() if name != "train/cat/2.png"},
    "another name": {name.replace("cat/2", "cat/3"): content for name, content in FILES.items()},
    "another class": {name.replace("cat", "dog"): content for name, content in FILES.items()},
    "other case": {name.replace("cat", "Cat"): content for name, content in FILES.items()},
    "two swapped": FILES | {"train/cat/1.png": FILES["train/cat/2.png"], "train/cat/2.png": FILES["train/cat/1.png"]},
    "moved to the test set": {name.replace("train/cat/2", "test/cat/2"): content for name, content in FILES.items()},
}


@pytest.mark.parametrize("files", OTHERS.values(), ids=OTHERS)
def test_other_images_have_another_digest(tmp_path, files):
    """Though files have the same names, or tarballs the same size."""
    for pack, a, b in ((folder, "a", "b"), (tarball, "a.tar", "b.tar")):
        assert digest(pack(tmp_path / a)) != digest(pack(tmp_path / b, files))


def test_tarballs_of_one_size_and_time_are_told_apart(tmp_path):
    here, there = tarball(tmp_path / "a.tar", mode="w"), tarball(tmp_path / "b.tar", OTHERS["another pixel"], "w")
    os.utime(here, (0, 0))
    os.utime(there, (0, 0))
    assert here.stat().st_size == there.stat().st_size
    assert digest(here) != digest(there)


def test_the_same_images_have_one_digest_wherever_and_however_they_lie(tmp_path):
    here = folder(tmp_path / "here")
    same = [shutil.copytree(here, tmp_path / "copy"), tmp_path / "link"]
    same[1].symlink_to(here)
    (here / "train/cat/.DS_Store").touch()  # a file browser leaves it; it is not an image
    (here / "train/empty").mkdir()
    (here / "README").touch()
    os.utime(same[0] / "train/cat/1.png", (0, 0))
    backwards = dict(reversed(FILES.items()))
    same += [tarball(tmp_path / f"images.tar.{ending}", mode=f"w:{ending}") for ending in ("gz", "bz2", "xz")]
    same += [tarball(tmp_path / "backwards.tar", backwards, "w")]
    same += [tarball(tmp_path / "top.tar", {f"./some/top/{name}": content for name, content in FILES.items()}, "w")]
    assert {digest(root) for root in same} == {digest(here)}
    assert found(here).images == found(same[-1]).images == len(FILES)
    by_order = {True: dict(sorted(FILES.items(), reverse=False)), False: backwards}
    ordered = {**{k: v for k, v in by_order[True].items() if "train" in k}, **by_order[True]}
    assert found(tarball(tmp_path / "ordered.tar", ordered)).ordered and not found(same[-1]).ordered


def test_names_that_run_together_are_told_apart(tmp_path):
    """A list of names and contents without marks between them would be the same."""
    first = folder(tmp_path / "a", {"train/a/b": b"", "test/a/b": b"x"})
    assert digest(first) != digest(folder(tmp_path / "b", {"train/a/bt": b"", "test/a/b": b"x"}))


def test_a_tarball_with_a_member_twice_has_no_digest(tmp_path):
    packed = tarball(tmp_path / "images.tar", mode="w")
    tarball(packed, {"./train/cat/1.png": FILES["train/cat/1.png"]}, "a")
    with pytest.raises(InputError, match=r"images.tar has train/cat/1.png twice: unpack it"):
        digest(packed)


def test_a_tarball_without_images_has_an_empty_digest(tmp_path):
    assert digest(tarball(tmp_path / "images.tar", {"README": b"text"})) == ""


def test_other_sources_are_known_by_all_their_bytes(tmp_path):
    """A source that someone adds may be any file, or any folder."""
    (tmp_path / "a.npz").write_bytes(b"some bytes")
    before = digest(tmp_path / "a.npz", "arrays")
    (tmp_path / "a.npz").write_bytes(b"same size!")
    assert digest(tmp_path / "a.npz", "arrays") != before
    some = folder(tmp_path / "some", {"x/y/z/1": b"1", "2": b"2", ".hidden/3": b"3"})
    before = digest(some, "arrays")
    (some / ".hidden/3").write_bytes(b"4")
    assert digest(some, "arrays") == before
    (some / "x/y/z/1").write_bytes(b"3")
    assert digest(some, "arrays") != before


def test_nothing_is_listed_where_nothing_is(tmp_path):
    """An empty folder is what remains where a disk is not mounted."""
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name in ("nowhere", "empty", "pipe"):
        assert listing("image_folder", tmp_path / name) == listing("arrays", tmp_path / name) == []


@pytest.mark.parametrize("pack", [folder, tarball])
def test_a_stamp_changes_with_bytes_though_size_and_time_stay(tmp_path, pack):
    """As when a tarball with fixed times is unpacked over an older version."""
    root = pack(tmp_path / "images")
    file = root / "train/cat/1.png" if root.is_dir() else root
    before, state = stamp(listing("image_folder", root)), file.stat()
    assert stamp(listing("image_folder", root)) == before
    file.write_bytes(bytes(state.st_size))
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file.stat().st_mtime_ns == state.st_mtime_ns and file.stat().st_size == state.st_size
    assert stamp(listing("image_folder", root)) != before


def test_one_line_says_why_a_large_source_takes_long(tmp_path, monkeypatch, capsys):
    root = folder(tmp_path)
    digest(root)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(source_digest, "LONG", 10)
    digest(root)
    said = capsys.readouterr()
    assert said.out == "" and said.err == f"reading 0 GB in {root}, once, to know these images again\n"


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    root = folder(tmp_path)
    files = listing("image_folder", root)
    (root / "train/cat/2.png").unlink()
    with pytest.raises(InputError, match=r"train/cat/2.png cannot be read \(.*\): replace or remove it"):
        read_source("image_folder", root, files)

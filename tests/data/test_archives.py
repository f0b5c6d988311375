"""What a tarball may hold: one tree of images, each once."""

import tarfile
import unicodedata

import pytest

from image_files import FILES, NOISE, tarball
from reactivation.data.archives import archive_files
from reactivation.errors import InputError


@pytest.mark.parametrize(
    "trees", [("a/", "b/"), ("", "b/"), ("a/", ""), ("top/a/", "top/b/"), ("./", "b/"), ("a/", "a/a/")]
)
def test_two_trees_are_refused(tmp_path, trees):
    """Their classes would merge: train/x of one version of a data set with train/x of another."""
    first, second = trees
    files = {first + name: content for name, content in FILES.items()} | {f"{second}train/cat/9.png": NOISE}
    with pytest.raises(InputError, match=r"images.tar holds two trees of images, in \S+ and in \S+ .*: pack them"):
        list(archive_files(tarball(tmp_path / "images.tar", files)))


def test_trees_are_one_however_their_folder_is_written(tmp_path):
    files = {"images/train/a/1.png": NOISE, "./images/train/a/2.png": NOISE, "images//train/./a/3.png": NOISE}
    places = [place for place, _, _ in archive_files(tarball(tmp_path / "images.tar", files | {"other/README": b""}))]
    assert places == [("train", "a", f"{i}.png") for i in (1, 2, 3)]


def test_two_forms_of_unicode_are_one_name(tmp_path):
    short, long = (unicodedata.normalize(form, "caf\xe9") for form in ("NFC", "NFD"))
    packed = tarball(tmp_path / "a.tar", {f"train/{long}/{long}.png": NOISE})
    assert [place for place, _, _ in archive_files(packed)] == [("train", short, f"{short}.png")]
    with pytest.raises(InputError, match=r"b.tar has two folders called train/caf\xe9, written in two forms of"):
        list(archive_files(tarball(tmp_path / "b.tar", {f"train/{short}/1.png": NOISE, f"train/{long}/2.png": NOISE})))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_of_links_it_is_said_how_to_pack_what_they_lead_to(tmp_path, kind):
    packed = tarball(tmp_path / "images.tar", {"train/a/1.png": b""}, "w", type=kind, linkname="2.png")
    with pytest.raises(InputError, match=r"is not a regular file: refused \(tar --dereference --hard-dereference"):
        list(archive_files(packed))

"""Which files of a folder are its images: none is left out without a word."""

import os
import subprocess
import sys
import tempfile
import unicodedata
from pathlib import Path

import pytest

from helpers import REPOSITORY
from image_files import FILES, NOISE, folder
from reactivation.data.folders import count_folder, folder_files
from reactivation.errors import InputError


def names(root):
    return ["/".join(place) for place, _ in folder_files(root)]


IN_ORDER = ["train/ant/1.png", "train/cat/1.png", "train/cat/2.png", "test/ant/1.png", "test/cat/1.png"]


def test_files_come_in_the_order_of_parts_classes_and_names(tmp_path):
    assert names(folder(tmp_path)) == IN_ORDER
    assert count_folder(tmp_path) == ([1, 2], [1, 1])


NOBODY = 65534


@pytest.fixture
def open_place():
    """A temporary folder that any user may enter, unlike pytest's."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        yield Path(place)


@pytest.mark.parametrize("closed", ["train/cat", "train", "."])
def test_a_folder_that_may_not_be_listed_is_named(open_place, closed):
    """Its images would be missing from the data set without a word. Who runs as root may list everything."""
    images = folder(open_place / "images")
    code = f"""
import os, sys
sys.path.insert(0, {str(REPOSITORY / "workflow/scripts")!r})
from pathlib import Path
from reactivation.data import folders
from reactivation.errors import InputError
if os.geteuid() == 0:
    os.seteuid({NOBODY})
try:
    print(len(list(folders.folder_files(Path({str(images)!r})))))
except InputError as error:
    print(error)
"""
    (images / closed).chmod(0)
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    (images / closed).chmod(0o755)
    shown = images / ("train" if closed == "." else closed)  # what was looked for in it
    assert run.stdout == (f"{shown} cannot be listed ([Errno 13] Permission denied: '{shown}'): make it readable\n"), (
        run.stderr
    )


def test_links_count_as_what_they_lead_to(tmp_path):
    real = folder(tmp_path / "real")
    linked = tmp_path / "linked"
    (linked / "train/cat").mkdir(parents=True)
    for name in ("1.png", "2.png"):
        (linked / f"train/cat/{name}").symlink_to(real / f"train/cat/{name}")
    (linked / "train/ant").symlink_to(real / "train/ant")
    (linked / "test").symlink_to(real / "test")
    (tmp_path / "root").symlink_to(linked)
    assert names(linked) == names(tmp_path / "root") == IN_ORDER


@pytest.mark.parametrize("place", ["train/cat/3.png", "train/dog"])
def test_links_that_lead_nowhere_are_named(tmp_path, place):
    folder(tmp_path)
    (tmp_path / place).symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match=rf"{place} cannot be read .*: replace or remove it"):
        names(tmp_path)


def test_a_pipe_in_a_class_is_refused_unread(tmp_path):
    os.mkfifo(folder(tmp_path) / "train/cat/pipe")
    with pytest.raises(InputError, match="train/cat/pipe is not a regular file: remove it"):
        names(tmp_path)


def test_what_is_hidden_empty_or_no_class_is_no_image(tmp_path):
    folder(tmp_path, FILES | {"train/.old/1.png": NOISE, "test/cat/._1.png": NOISE, "train/classes.txt": b"ant, cat"})
    (tmp_path / "train/dog").mkdir()
    assert names(tmp_path) == IN_ORDER


def test_upper_and_lower_case_are_two_names(tmp_path):
    folder(tmp_path, FILES | {"train/Cat/1.png": NOISE, "train/cat/2.PNG": NOISE})
    assert [name for name in names(tmp_path) if "at/" in name and "train" in name] == [
        *("train/Cat/1.png", "train/cat/1.png", "train/cat/2.PNG", "train/cat/2.png")
    ]


@pytest.mark.parametrize("place", ["train/caf\xe9/1.png", "train/cat/\xe9.png"])
def test_two_forms_of_unicode_are_one_name(tmp_path, place):
    """A Mac writes é as two characters: what it packed is the same data set. Both forms together are a mistake."""
    for name, form in (("a", "NFC"), ("b", "NFD")):
        folder(tmp_path / name, {unicodedata.normalize(form, place): NOISE})
    assert names(tmp_path / "a") == names(tmp_path / "b") == [place]
    folder(tmp_path / "a", {unicodedata.normalize("NFD", place): NOISE})
    with pytest.raises(InputError, match=r"has two entries called .*, written in two forms of Unicode: rename or"):
        names(tmp_path / "a")

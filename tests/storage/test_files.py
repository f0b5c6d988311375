"""Files are whole or absent, and damage to any kind of file is named."""

import contextlib
import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

import elsewhere
from helpers import REPOSITORY, flips
from reactivation.errors import InputError
from reactivation.storage.arrays import read_arrays, write_arrays
from reactivation.storage.checkpoints import read_checkpoint, write_checkpoint
from reactivation.storage.datasets import read_class_count, read_images, read_labels, read_normalisation, write_dataset
from reactivation.storage.files import (
    archive_digest,
    atomic,
    check_writable,
    publish,
    reading,
    write_json,
)
from reactivation.storage.imported import read_imported
from reactivation.storage.kernels import read_kernels, write_kernels
from reactivation.storage.rows import EVALUATION, read_rows, write_rows
from reactivation.training.networks import cnn


def test_an_error_while_writing_leaves_what_was_there(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    with atomic(path) as temporary:
        temporary.write_text("whole")
    with pytest.raises(RuntimeError), atomic(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_is_on_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """Otherwise a machine that dies may leave the name without its content, which no kill of a process shows."""
    synced, path = [], tmp_path / "file.txt"
    fsync = os.fsync

    def noted(descriptor):
        synced.append((os.fstat(descriptor).st_ino, os.fstat(descriptor).st_size, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    with atomic(path) as temporary:
        temporary.write_text("whole")
    assert synced == [(path.stat().st_ino, 5, False)]


def test_a_pickle_in_place_of_weights_or_indices_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f"touch {tmp_path}/ran",)

    evil = {"step": 1, "epoch": 1.0, "model": Evil()}
    torch.save(evil, tmp_path / "archive.pt")
    torch.save(evil, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps(evil, protocol=2))
    np.savez(tmp_path / "objects.npz", test=np.array([Evil()], dtype=object))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps({"test": Evil()}))
    for path in sorted(tmp_path.iterdir()):
        weights = path.suffix == ".pt"
        with pytest.raises(InputError, match="is not a readable checkpoint" if weights else "is damaged") as caught:
            (read_checkpoint if weights else read_arrays)(path)
        assert path.name in str(caught.value) and "\n" not in str(caught.value)
        assert not (tmp_path / "ran").exists()


def test_damaged_results_are_named(tmp_path):
    kernels = {"sum": np.zeros((2, 3, 3))}
    steps = np.array([1, 2])
    write_kernels(tmp_path / "ntk.h5", kernels, steps, steps / 2, {"label": np.zeros(3)}, {})
    write_arrays(tmp_path / "split.npz", test=np.arange(100))
    row = {"step": 1, "epoch": 1.0, "class": 0, "images": 1, "test_accuracy": 0.5, "test_loss": 1.0}
    write_rows(tmp_path / "evaluation.csv", [row, row])
    readers = {
        "ntk.h5": read_kernels,
        "split.npz": read_arrays,
        "evaluation.csv": lambda path: read_rows(path, EVALUATION),
    }
    for name, read in readers.items():
        read(tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) - 15 if name == "evaluation.csv" else len(content) // 2])
        with pytest.raises(InputError, match=rf"{name} is damaged \(.*\): delete it and run again"):
            read(tmp_path / name)


@pytest.mark.parametrize("hard_links", [True, False])
def test_what_is_published_survives_its_first_name(tmp_path, monkeypatch, hard_links):
    if not hard_links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    (tmp_path / "work/checkpoints").mkdir(parents=True)
    (tmp_path / "work/checkpoints/step1.pt").write_text("weights")
    (tmp_path / "work/final.pt").write_text("final")
    (tmp_path / "out/checkpoints").mkdir(parents=True)
    (tmp_path / "out/checkpoints/of-before").touch()
    for _ in range(2):  # a job that is killed in between does it again
        for name in ("checkpoints", "final.pt"):
            publish(tmp_path / "work" / name, tmp_path / "out" / name)
    shutil.rmtree(tmp_path / "work")
    found = {path.relative_to(tmp_path / "out"): path for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {str(name): path.read_text() for name, path in found.items()} == {
        "checkpoints/step1.pt": "weights",
        "final.pt": "final",
    }


def test_what_a_killed_job_left_goes_when_the_file_is_written_again(tmp_path):
    code = f"""
import os, signal
from reactivation.storage.files import atomic
with atomic({str(tmp_path / "a.txt")!r}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY / "workflow/scripts")
    assert killed.returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".partial-")
    write_json(tmp_path / "b.json", {})  # another file's leftovers stay
    assert left.exists()
    write_json(tmp_path / "a.txt", {})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "b.json"]


def test_a_bit_that_flips_is_noticed_or_of_no_account(tmp_path):
    """Each reader raises InputError with the file's name, or reads what was written.

    Only many random places find what no checksum of a format covers.
    """
    rng = np.random.default_rng(0)
    probe = {"index": np.arange(4), "label": np.array([0, 0, 1, 1]), "task": np.array([1, 1, 2, 2])}
    kernels = {"sum": rng.normal(size=(3, 4, 4)), "trace": rng.normal(size=(3, 4, 4))}
    times = np.arange(3), np.arange(3) / 2
    write_kernels(tmp_path / "ntk.h5", kernels, *times, probe, {"config": "x" * 200}, {"head": kernels})
    samples = [
        (part, f"c{i % 2}", rng.integers(0, 256, (8, 8, 3), np.uint8)) for i in range(8) for part in ("train", "test")
    ]
    write_dataset(tmp_path / "data.h5", samples)
    write_checkpoint(tmp_path / "a.pt", cnn(2, 8, 3).state_dict(), 7, 1.5)
    write_arrays(tmp_path / "split.npz", test=np.arange(100), task1_train=np.arange(50))
    readers = {
        "ntk.h5": lambda path: read_kernels(path),
        "data.h5": lambda path: [
            *read_images(path, "train", np.arange(8)),
            *read_labels(path),
            *read_normalisation(path),
            read_class_count(path),
        ],
        "a.pt": lambda path: read_checkpoint(path),
        "split.npz": lambda path: read_arrays(path),
    }
    for name, read in readers.items():
        path = tmp_path / name
        whole, noticed = read(path), 0
        for damaged in flips(path.read_bytes(), 400, seed=0):
            path.write_bytes(damaged)
            try:
                again = read(path)
            except InputError as error:
                noticed += 1
                assert str(path) in str(error) and "delete" in str(error) and "\n" not in str(error)
            else:
                torch.testing.assert_close(again, whole, rtol=0, atol=0)
        assert noticed > 100, name


def test_archives_are_told_apart_by_their_content(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.manual_seed(seed)
        write_checkpoint(tmp_path / f"{name}.pt", cnn(2, 8, 3).state_dict(), 7, 1.5)
    a, b, c = (archive_digest(tmp_path / f"{name}.pt") for name in "abc")
    assert a == b != c


# ------------------------------------------------------------------- what is not the fault of a file that is read
def held_open(path):
    """A process that has the HDF5 file open for writing."""
    code = f"import h5py, sys; file = h5py.File({str(path)!r}, 'a'); print('open', flush=True); sys.stdin.read()"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"open\n"
    return process


@pytest.mark.parametrize("read", [read_kernels, lambda path: read_imported(path, ("sum", "trace"))])
def test_a_file_that_another_program_holds_open_is_not_damaged(tmp_path, read):
    path = elsewhere.write(tmp_path / "ntk.h5")
    with held_open(path) as process:
        with pytest.raises(InputError) as caught:
            read(path)
        process.stdin.close()
    wanted = f"{path} is locked by another program that has it open: close it there and run again"
    assert str(caught.value) == wanted


def as_nobody(function):
    """What `function` raises for another user than root, in a process of its own."""
    if os.geteuid():
        pytest.skip("becoming another user needs root")
    here, there = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setresuid(65534, 65534, 65534)
            function()
        except BaseException as error:
            os.write(there, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    os.close(there)
    with os.fdopen(here) as said:
        return said.read()


def test_what_another_user_may_not_read_is_not_damaged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("others")
    for above in (folder, *folder.parents[:2]):
        above.chmod(0o755)
    path = folder / "a.npz"
    write_arrays(path, test=np.arange(3))
    path.chmod(0o600)
    wanted = f"{path} cannot be read by this user: change the permissions of the file, or of its folder, and run again"
    assert as_nobody(lambda: read_arrays(path)) == f"InputError: {wanted}"
    wanted = wanted.replace("read by", "written by")
    assert as_nobody(lambda: write_arrays(path, test=np.arange(3))) == f"InputError: {wanted}"
    assert read_arrays(path)["test"].tolist() == [0, 1, 2]


HDF5 = "Unable to synchronously open file (unable to lock file, errno = {0}, error message = '{1}')"
ERRORS = {
    errno.EAGAIN: "is locked by another program",
    errno.ENOLCK: "cannot be locked, as its file system grants no locks now",
    errno.EACCES: "cannot be read by this user",
    errno.EPERM: "cannot be read by this user",
    errno.ESTALE: "was replaced on its file server meanwhile (stale file handle): run again",
    errno.EIO: "fails (Input/output error): check these and run again",
    errno.ETIMEDOUT: "fails (Connection timed out): check these and run again",
    errno.EMFILE: "too many files are open: raise `ulimit -n`",
}


@pytest.mark.parametrize("number, words", ERRORS.items(), ids=map(errno.errorcode.get, ERRORS))
def test_a_file_is_damaged_only_if_its_content_is_to_blame(tmp_path, number, words):
    """However the system's error is passed on: by Python, by HDF5 with and without its number, by torch, by zip."""
    path, text = tmp_path / "a.h5", os.strerror(number)
    path.touch()
    behind = zipfile.BadZipFile("File is not a zip file")
    behind.__context__ = OSError(number, text)
    for error in (
        OSError(number, text, str(path)),
        OSError(number, HDF5.format(number, text)),
        OSError(HDF5.format(number, text)),
        RuntimeError(f"PytorchStreamReader failed reading: {text}"),
        behind,
    ):
        with pytest.raises(InputError) as caught, reading(path):
            raise error
        said = str(caught.value)
        assert said.startswith(f"{path} ") and words in said and "\n" not in said
        assert "damaged" not in said.removeprefix(str(path)) and "delete" not in said
    for damage in (OSError("bad superblock"), OSError(errno.EINVAL, "Invalid argument"), ValueError("cut off")):
        with pytest.raises(InputError, match=r"is damaged .*: delete it and run again"), reading(path):
            raise damage


def test_a_file_that_is_gone_is_not_damaged(tmp_path):
    for name, read in (("a.h5", read_kernels), ("a.pt", read_checkpoint), ("a.npz", read_arrays)):
        with pytest.raises(InputError) as caught:
            read(tmp_path / name)
        assert str(caught.value) == f"there is no {tmp_path / name}: run again, and what makes it runs first"


# --------------------------------------------------------------------------------- where a file cannot be written
KERNELS = {"sum": np.random.default_rng(0).normal(size=(3, 40, 40))}
WRITERS = {
    "ntk.h5": lambda path: write_kernels(path, KERNELS, np.arange(3), np.arange(3) / 2, {"label": np.zeros(40)}, {}),
    "data.h5": lambda path: write_dataset(
        path, [(part, f"c{i % 2}", np.full((16, 16, 3), i % 251, np.uint8)) for i in range(600) for part in PARTS]
    ),
    "a.pt": lambda path: write_checkpoint(path, {"w": torch.arange(30000)}, 1, 1.0),
    "a.npz": lambda path: write_arrays(path, test=np.arange(9999)),
    "a.csv": lambda path: write_rows(path, [{"value": i} for i in range(9999)]),
    "a.json": lambda path: write_json(path, {"values": list(range(9999))}),
}
PARTS = ("train", "test")


@pytest.mark.parametrize("hard", [False, True], ids=["soft", "hard"])
def test_a_limit_on_the_size_of_files_is_one_line(tmp_path, hard):
    """In a process of its own: `ulimit -f` sets both limits, and HDF5 crashed only when it let go of its objects."""
    code = f"""
import resource, sys
sys.path.append({str(REPOSITORY / "tests/storage")!r})
from test_files import WRITERS
from reactivation.errors import InputError
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {20_000 if hard else "resource.RLIM_INFINITY"}))
for name, write in WRITERS.items():
    try:
        write(f"{tmp_path}/{{name}}")
    except InputError as error:
        print(error)
"""
    path = os.pathsep.join([str(REPOSITORY / "workflow/scripts"), str(REPOSITORY / "tests/support")])
    environment = {**os.environ, "PYTHONPATH": path}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert run.returncode == 0 and run.stderr == ""
    words = (
        "would be larger than a file may be, by `ulimit -f` or on its file system: raise that limit and run again, to "
        "go on from here"
    )
    assert run.stdout.splitlines() == [f"{tmp_path / name} {words}" for name in WRITERS]
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path):
    """A folder that is a file system of its own; and what mounts it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a file system needs root")

    mount("size=4m,nr_inodes=20")
    yield folder, mount
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("name", WRITERS)
def test_a_read_only_disk_is_one_line_and_loses_nothing(small_disk, name):
    folder, mount = small_disk
    WRITERS[name](folder / name)
    before = (folder / name).read_bytes()
    mount("remount,ro")
    with pytest.raises(InputError) as caught:
        WRITERS[name](folder / name)
    words = "cannot be written, as its file system is read-only: make it writable and run again, to go on from here"
    assert str(caught.value) == f"{folder / name} {words}"
    assert (folder / name).read_bytes() == before
    with pytest.raises(InputError, match="disk cannot be written, as its file system is read-only"):
        check_writable(folder)


def test_a_disk_without_inodes_is_not_called_full(small_disk):
    folder, _ = small_disk
    (folder / "work").mkdir()
    (folder / "work/step1.pt").touch()
    with contextlib.suppress(OSError):
        for i in range(99):
            (folder / f"ballast{i}").touch()
    words = "its disk has room, but already holds as many files as it can. Delete files there and run again, to go on"
    for name, write in WRITERS.items():
        with pytest.raises(InputError) as caught:
            write(folder / name)
        assert str(caught.value).startswith(f"no inode is free for {folder / name}: {words}")
    with pytest.raises(InputError, match="no inode is free for"):
        publish(folder / "work", folder / "out")
    with pytest.raises(InputError, match="no inode is free for"):
        check_writable(folder)
    (folder / "ballast0").unlink()
    with pytest.raises(InputError, match=r"no room for .* on its disk: make room and run again"):
        write_arrays(folder / "a.npz", test=np.zeros(1_000_000))
    check_writable(folder)
    assert not list(folder.glob(".partial-*")) and (folder / "work/step1.pt").exists()


def test_a_source_that_cannot_be_read_is_not_taken_for_the_file_that_is_written(tmp_path):
    with pytest.raises(InputError, match=r"^/source.png cannot be written by this user"), atomic(tmp_path / "a.h5"):
        raise PermissionError(errno.EACCES, "Permission denied", "/source.png")


def test_hdf5_files_with_long_names_say_what_is_wrong(small_disk):
    folder, _ = small_disk
    path = folder / f"{'x' * 252}.h5"
    (folder / "ballast").write_bytes(bytes(4_190_000))
    with pytest.raises(InputError, match="no room for"):
        WRITERS["ntk.h5"](path)

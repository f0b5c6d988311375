"""A conda installation of our own, with no network: its channels hold this Python and what is installed in it.

Call: python tests/conda/channel.py FOLDER ENVIRONMENT.yaml ...

With FOLDER/bin on PATH, `conda` (conda.py beside this file) makes environments that need what the given ones name.
Versions and dependencies of the packages are those of the distributions, so that rattler's solver has real work to do.
Their folders of modules are soft links to where they are installed: to pack, unpack, link and delete the 37,000 files
in these would take minutes. Python calls modules by the path of the link, in the environment.
"""

import hashlib
import itertools
import json
import os
import sys
import sysconfig
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib import metadata
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import yaml
import zstandard
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PYTHON = "python{}.{}".format(*sys.version_info)
SUBDIR = "linux-64"
MODULES = Path(sysconfig.get_path("purelib"))
# PyPI's and conda's names, where they differ.
CONDA_NAMES = {"matplotlib": "matplotlib-base", "snakemake": "snakemake-minimal", "torch": "pytorch"}
PYPI_NAMES = {conda: pypi for pypi, conda in CONDA_NAMES.items()}


def installation(folder: Path, environments: Iterable[Path]) -> None:
    """FOLDER/bin/{conda,activate} and FOLDER/channels/{conda-forge,bioconda}."""
    channels = {name: folder / "channels" / name / SUBDIR for name in ("conda-forge", "bioconda")}
    for channel in channels.values():
        channel.mkdir(parents=True)
    python_package(channels["conda-forge"])
    for name in needed(environments):
        channel = channels["bioconda" if name.startswith("snakemake") else "conda-forge"]
        distribution_package(channel, metadata.distribution(name))
    for channel in channels.values():
        write_index(channel)
    (folder / "bin").mkdir()
    (folder / "bin/activate").write_text('export PATH="$1/bin:$PATH"\n')
    command = folder / "bin/conda"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).with_name("conda.py")}" "{folder}" "$@"\n')
    command.chmod(0o755)


def needed(environments: Iterable[Path]) -> set[str]:
    """Distributions that the environments name, and what these need in turn."""
    specs = itertools.chain.from_iterable(yaml.safe_load(path.read_text())["dependencies"] for path in environments)
    names = {spec.split("=")[0] for spec in specs} - {"python"}
    pending, found = [PYPI_NAMES.get(name, name) for name in names], set()
    while pending:
        name = pending.pop()
        if name not in found:
            found.add(name)
            pending += [canonicalize_name(wanted.name) for wanted in requirements(metadata.distribution(name))]
    return found


def requirements(distribution: metadata.Distribution) -> list[Requirement]:
    """What it needs on this machine, without extras."""
    wanted = map(Requirement, distribution.requires or ())
    return [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]


def python_package(channel: Path) -> None:
    """A package of this Python, linked as virtual environments link it, with site-packages of its own."""
    with tempfile.TemporaryDirectory() as folder:
        settings, *links = (Path(folder, name) for name in ("pyvenv.cfg", PYTHON, "python3", "python"))
        settings.write_text(f"home = {sys.base_prefix}/bin\ninclude-system-site-packages = false\n")
        for link in links:
            link.symlink_to(f"{sys.base_prefix}/bin/{PYTHON}")
        files = {"pyvenv.cfg": settings, **{f"bin/{link.name}": link for link in links}}
        write_package(channel, "python", ".".join(map(str, sys.version_info[:3])), [], files)


def distribution_package(channel: Path, distribution: metadata.Distribution) -> None:
    """A package of all that its installation wrote; scripts and compiled modules must keep their times."""
    paths = {top(Path(os.path.normpath(file.locate()))) for file in distribution.files or []}
    files = {str(path.relative_to(sys.prefix)): path for path in sorted(paths) if path.exists()}
    depends = [f"{conda_name(wanted.name)} {wanted.specifier}".strip() for wanted in requirements(distribution)]
    depends.append("python {}.{}.*".format(*sys.version_info))
    write_package(channel, conda_name(distribution.name), distribution.version.split("+")[0], depends, files)


def top(path: Path) -> Path:
    """The folder of modules that `path` is in, if its distribution has it for itself; otherwise `path`."""
    if not path.is_relative_to(MODULES):
        return path
    first = MODULES / path.relative_to(MODULES).parts[0]
    return path if first.name == "__pycache__" else first


def conda_name(name: str) -> str:
    name = canonicalize_name(name)
    return CONDA_NAMES.get(name, name)


def write_package(channel: Path, name: str, version: str, depends: list[str], files: dict[str, Path]) -> None:
    """A package in conda's format: its metadata and its files (by their places), two tar archives in a zip archive."""
    record = {"name": name, "version": version, "build": "0", "build_number": 0, "depends": depends, "subdir": SUBDIR}
    paths = {"paths_version": 1, "paths": [path_entry(place, path) for place, path in files.items()]}
    stem = f"{name}-{version}-0"
    with zipfile.ZipFile(channel / f"{stem}.conda", "w") as package:
        package.writestr("metadata.json", '{"conda_pkg_format_version": 2}')
        with archive(package, f"info-{stem}") as tar:
            for kind, content in {"index": record, "paths": paths, "about": {}}.items():
                text = json.dumps(content).encode()
                member = tarfile.TarInfo(f"info/{kind}.json")
                member.size = len(text)
                tar.addfile(member, BytesIO(text))
        with archive(package, f"pkg-{stem}") as tar:
            for place, path in files.items():
                member = tar.gettarinfo(path, place)
                if member.isdir():
                    member.type, member.linkname = tarfile.SYMTYPE, str(path)
                    tar.addfile(member)
                else:
                    tar.add(path, place)


@contextmanager
def archive(package: zipfile.ZipFile, name: str) -> Iterator[tarfile.TarFile]:
    """A new tar archive in the package, compressed as fast as possible."""
    with (
        package.open(f"{name}.tar.zst", "w", force_zip64=True) as raw,
        zstandard.ZstdCompressor(level=1).stream_writer(raw) as stream,
        tarfile.open(fileobj=stream, mode="w|") as tar,
    ):
        yield tar


def path_entry(place: str, path: Path) -> dict[str, str]:
    """How to install a file. A script begins with the path of its interpreter, which must become the environment's."""
    entry = {"_path": place, "path_type": "softlink" if path.is_symlink() or path.is_dir() else "hardlink"}
    if place.startswith("bin/") and path.read_bytes()[:2] == b"#!":
        entry |= {"prefix_placeholder": sys.prefix, "file_mode": "text"}
    return entry


def write_index(channel: Path) -> None:
    """The list of the channel's packages, which solvers read."""
    records = {}
    for path in channel.glob("*.conda"):
        with (
            zipfile.ZipFile(path) as package,
            zstandard.open(cast(BinaryIO, package.open(f"info-{path.stem}.tar.zst"))) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            index = tar.next()
            content = tar.extractfile(index) if index else None
            assert content, f"{path.name} has no info/index.json"
            record = json.load(content)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        records[path.name] = record | {"size": path.stat().st_size, "sha256": sha256}
    (channel / "repodata.json").write_text(json.dumps({"info": {"subdir": SUBDIR}, "packages.conda": records}))


if __name__ == "__main__":
    installation(Path(sys.argv[1]).resolve(), map(Path, sys.argv[2:]))

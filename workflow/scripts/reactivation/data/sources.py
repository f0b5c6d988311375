"""Data sets as streams of images: drawn glyphs, torchvision's CIFAR, folders and tarballs of images.

Each source yields `(part, class, image)`: part is "train" or "test", class a name, image (H, W, 3) uint8.
Streaming keeps memory flat however many images there are.
"""

import bz2
import contextlib
import gzip
import hashlib
import io
import lzma
import tarfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePath, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from reactivation.data.facts import Counts, stated_counts
from reactivation.errors import InputError, one_line
from reactivation.seeds import generator

if TYPE_CHECKING:
    from reactivation.data import specs

Sample = tuple[str, str, np.ndarray]
File = tuple[str, str, str, bytes | Path]
"""An image file: (part, class, name for messages, content or path)."""
Item = TypeVar("Item")
Result = TypeVar("Result")

# A hundred letters that differ in more than size, from alphabets that all fonts of matplotlib have.
LETTERS = "AHREKMNGQTYBDFJLPSWXabdeghnqrt2345678&?%#@$+=<ΔΛΞΠΣZΨΩαβγδεζηθλμξUρστφVωCГДЖvИЛmzЦЧШwЪЫЭЮЯfsijkyчuюя"
FACES = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSansMono-Bold",
    "DejaVuSerif",
    "DejaVuSerif-Bold",
)
COMPRESSIONS = {b"\x1f\x8b": gzip, b"BZh": bz2, b"\xfd7zXZ\x00": lzma}
LAYOUT = "it must hold {train,test}/<class>/<image files>"
MAX_MEMBER_BYTES = 64 << 20  # the most for one image in a tarball
DECLARED: list[object] = []  # torchvision's operators, as import_torchvision_datasets declares them
AHEAD = 16  # images per thread that are read or decoded before they are asked for


def samples(spec: "specs.Dataset", root: Path | None, download: bool, threads: int = 1) -> Iterator[Sample]:
    """The images of the data set that `spec` (an entry of `datasets`) describes; `root`: its place, None if drawn.

    `threads` decode image files; their number changes only the speed.
    """
    if spec["source"] == "glyphs" or root is None:
        return glyphs(spec)
    if spec["source"] == "torchvision":
        return torchvision_samples(spec["name"], root, download)
    return folder_samples(root, spec["image_size"], spec["classes"], threads)


def count(spec: "specs.Dataset", root: Path | None) -> int | None:
    """How many images `samples` yields; None if that is not known before reading."""
    if spec["source"] == "torchvision":
        return None  # torchvision reads all images at once
    counts = stated_counts(spec) or count_folder(root)
    return None if counts is None else sum(map(sum, counts))


def count_folder(root: Path | None) -> Counts | None:
    """Numbers of images of each class in a folder; None if `root` is not a folder (a tarball would have to be read)."""
    if root is None or not root.is_dir():
        return None
    found = sorted(Counter((part, name) for part, name, *_ in _folder_files(root)).items())
    train, test = ([images for (part, _), images in found if part == wanted] for wanted in ("train", "test"))
    return train, test


def source_state(root: Path) -> str | None:
    """A cheap mark of a source, which changes with its images but not with its place; None if nothing is at `root`.

    It is the size of a tarball, or the number and a digest of the names of a folder's files. Times are left out, as
    they change when data are moved.
    """
    if root.is_file():
        return f"{root.stat().st_size} bytes"
    if not root.is_dir():
        return None
    names = sorted(str(path.relative_to(root)) for *_, path in _folder_files(root))
    return f"{len(names)} files, {hashlib.sha256(chr(0).join(names).encode()).hexdigest()[:10]}"


# ---------------------------------------------------------------------------------------------------- glyphs
def glyphs(spec: "specs.Dataset") -> Iterator[Sample]:
    """Letters of several faces and sizes at jittered places and angles: light ink on dark ground, a little noise."""
    size = spec["image_size"]
    faces = _faces(size)
    for k, letter in enumerate(LETTERS[: spec["classes"]]):
        name = f"{k:02d}-U+{ord(letter):04X}"
        for part in ("train", "test"):
            rng = generator(spec["seed"], "glyphs", part, letter)
            for _ in range(spec[f"{part}_per_class"]):
                yield part, name, _glyph(letter, size, faces, rng)


def _faces(size: int) -> list[ImageFont.FreeTypeFont]:
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    scales = (0.62, 0.72, 0.82)
    return [ImageFont.truetype(folder / f"{face}.ttf", round(scale * size)) for face in FACES for scale in scales]


def _glyph(letter: str, size: int, faces: list[ImageFont.FreeTypeFont], rng: np.random.Generator) -> np.ndarray:
    """One image (size, size, 3) uint8."""
    face = faces[rng.integers(len(faces))]
    mask = Image.new("L", (2 * size, 2 * size))
    ImageDraw.Draw(mask).text((size, size), letter, fill=255, font=face, anchor="mm")
    angle = float(rng.uniform(-15, 15))
    dx, dy = rng.integers(-(size // 10), size // 10 + 1, size=2)
    corner = (size // 2 + int(dx), size // 2 + int(dy))
    mask = mask.rotate(angle, Image.Resampling.BILINEAR).crop((*corner, corner[0] + size, corner[1] + size))
    opacity = np.asarray(mask, dtype=np.float32)[:, :, None] / 255
    ground, ink = rng.uniform(0, 90, 3), rng.uniform(150, 255, 3)
    image = ground + opacity * (ink - ground) + rng.normal(0, 8, (size, size, 3))
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


# ----------------------------------------------------------------------------------------------- torchvision
def torchvision_samples(name: str, root: Path, download: bool) -> Iterator[Sample]:
    """CIFAR-10 or CIFAR-100 from the files that torchvision downloads."""
    datasets = import_torchvision_datasets()
    for part in ("train", "test"):
        try:
            data = getattr(datasets, name)(root, train=part == "train", download=download)
        except (RuntimeError, OSError, EOFError) as error:
            raise InputError(
                f"no readable {name} in {root} ({one_line(error)}): unpack torchvision's copy there, "
                f"set download: true, or name its folder with --config data_root=FOLDER"
            ) from error
        # (N, 32, 32, 3) uint8. Both lists of classes are in alphabetical order, so labels keep their numbers.
        for image, label in zip(data.data, data.targets, strict=True):
            yield part, data.classes[label], image


def import_torchvision_datasets():
    """`torchvision.datasets`, also if torchvision's compiled operators do not fit the installed torch.

    PyPI's torchvision is built against CUDA. With a CPU-only torch its library of operators does not load, and the
    import fails because two operators, whose gradients it registers, do not exist. Data sets need neither operator;
    declaring their schemas lets the import succeed.
    """
    import torch

    try:
        import torchvision.datasets
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        DECLARED.append(library)  # the schemas live as long as this object
        import torchvision.datasets
    return torchvision.datasets


# ------------------------------------------------------------------------------------------- folder, tarball
def folder_samples(root: Path, image_size: int, classes: int, threads: int = 1) -> Iterator[Sample]:
    """Images of `<root>/{train,test}/<class>/*`, in the order of the files; `root` is a folder or a tarball of one."""
    if not root.exists():
        raise InputError(
            f"there is no {root}: put the image folder (or its tarball) there, or name the folder it lies in "
            "with --config data_root=FOLDER"
        )
    if not (root.is_dir() or root.is_file()):
        raise InputError(f"{root} is neither a folder nor a file: name the image folder or its tarball")
    files = _folder_files(root) if root.is_dir() else _tarball_files(root)
    seen: dict[str, set[str]] = {"train": set(), "test": set()}

    def decoded(file: File) -> Sample:
        part, name, path, content = file
        return part, name, _decode(content, path, image_size)

    for part, name, image in _mapped(decoded, files, threads):
        seen[part].add(name)
        yield part, name, image
    for part, names in seen.items():
        if not names:
            raise InputError(f"{root} has no images under {part}/: {LAYOUT}")
    if seen["train"] != seen["test"]:
        odd = sorted(seen["train"] ^ seen["test"])[0]
        raise InputError(f"class {odd!r} of {root} is in one of train/ and test/ only: {LAYOUT}")
    if len(seen["train"]) != classes:
        raise InputError(f"{root} has {len(seen['train'])} classes, the config says {classes}: correct `classes`")


def _mapped(work: Callable[[Item], Result], items: Iterable[Item], threads: int) -> Iterator[Result]:
    """`work(item)` for each item, in order. `threads` threads work at most AHEAD × `threads` items ahead.

    Threads suffice: Pillow releases the interpreter's lock while it decodes and resizes.
    """
    pool = ThreadPoolExecutor(threads)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(work, item))
            if len(pending) == AHEAD * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:  # also after an error, or if the caller stops early
        pool.shutdown(cancel_futures=True)


def _folder_files(root: Path) -> Iterator[tuple[str, str, str, Path]]:
    """The image files of a folder, unread."""
    for part in ("train", "test"):
        for path in sorted((root / part).glob("*/*")):
            if not _hidden(path.relative_to(root)):
                yield part, path.parent.name, str(path), path


def _hidden(path: PurePath) -> bool:
    """Whether the file or a folder above it is hidden, as are those that archivers, editors and notebooks leave."""
    return any(part.startswith(".") for part in path.parts)


def _tarball_files(tarball: Path) -> Iterator[File]:
    """The image files of a tarball with their content, in its order; nothing is written to disk."""
    try:
        with _uncompressed(tarball) as stream, tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                place = _placed(member, tarball)
                if place is not None and (file := archive.extractfile(member)) is not None:
                    yield *place, f"{tarball}:{member.name}", file.read()
            while stream.read(1 << 20):  # to the end, where the checksums are
                pass
    except (tarfile.TarError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"{tarball} cannot be read to its end ({one_line(error)}): copy it anew") from error


@contextlib.contextmanager
def _uncompressed(tarball: Path) -> Iterator[BinaryIO]:
    """The uncompressed bytes of the archive.

    `tarfile` alone would not do: it does not check a stream's checksums, and takes an archive that is cut off between
    two members for a whole one.
    """
    with tarball.open("rb") as file:
        start = file.read(6)
        opened = next((module.open for magic, module in COMPRESSIONS.items() if start.startswith(magic)), None)
        if opened is None:
            file.seek(max(0, tarball.stat().st_size - 1024))
            if any(file.read()):
                raise tarfile.ReadError("no end-of-archive mark: cut off, or not a tar archive")
        file.seek(0)
        yield opened(file) if opened else file


def _placed(member: tarfile.TarInfo, tarball: Path) -> tuple[str, str] | None:
    """(part, class) of an archive's member; None for folders and for the hidden files of some archivers."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{tarball}: member {member.name!r} points outside the archive: refused")
    if member.isdir() or _hidden(path):
        return None
    if not member.isfile():
        raise InputError(f"{tarball}: member {member.name!r} is not a regular file: refused")
    if member.size > MAX_MEMBER_BYTES:
        raise InputError(f"{tarball}: member {member.name!r} declares {member.size} bytes: too large for an image")
    *above, part, name, _ = ("", "", *path.parts)
    if {"train", "test"} & set(above):
        raise InputError(f"{tarball}: member {member.name!r} is in a folder inside a class: {LAYOUT}")
    return (part, name) if part in ("train", "test") and name else None


def _decode(content: bytes | Path, path: str, size: int) -> np.ndarray:
    """The central square of an image file, (size, size, 3) uint8."""
    if isinstance(content, Path):
        content = _content(content)
    # The decoder of JPEG could scale down (`Image.draft`), which is 1.8 times as fast for 64 pixels of 500 x 375. But
    # that changes pixels by 1 to 4 of 255 (root mean square), and only in images that are large enough.
    try:
        image: Image.Image = Image.open(io.BytesIO(content))
        if image.mode.startswith(("I", "F")):  # converting would clip to white
            raise ValueError("its pixels have more than 8 bits")
        image = image.convert("RGB")
    except UnidentifiedImageError as error:
        raise InputError(
            f"{path} is not a readable image (Pillow does not know its format): replace or remove it"
        ) from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} is not a readable image ({one_line(error)}): replace or remove it") from error
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _content(path: Path) -> bytes:
    """The bytes of a file in an image folder."""
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise InputError(f"{path} is a folder inside a class: {LAYOUT}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({one_line(error)}): replace or remove it") from error

"""Data sets as streams of images: drawn glyphs, torchvision's CIFAR, folders and tarballs of images.

Each source yields `(part, class, image)`: part is "train" or "test", class a name, image (H, W, 3) uint8.
Streaming keeps memory flat however many images there are.
"""

import hashlib
import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError

from reactivation.data.archives import archive_files
from reactivation.data.facts import stated_counts
from reactivation.data.folders import LAYOUT, Place, content, count_folder, folder_files, order
from reactivation.data.parallel import mapped
from reactivation.data.source_digest import ImagesDigest
from reactivation.errors import InputError, one_line
from reactivation.seeds import generator

if TYPE_CHECKING:
    from reactivation.data import specs

Sample = tuple[str, str, np.ndarray]
File = tuple[Place, str, bytes | None]
"""An image file: its place, its name for messages, and its content if that is not in a file of this name."""
Decoded = tuple[Place, bytes, np.ndarray]
"""An image, with the place and the SHA-256 of its file."""

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
DECLARED: list[object] = []  # torchvision's operators, as import_torchvision_datasets declares them


def samples(
    spec: "specs.Dataset",
    root: Path | None,
    download: bool,
    threads: int = 1,
    digest: ImagesDigest | None = None,
    scratch: Path | None = None,
) -> Iterator[Sample]:
    """The images of the data set that `spec` (an entry of `datasets`) describes; `root`: its place, None if drawn.

    `threads` decode image files; their number changes only the speed. `digest` and `scratch`: see `folder_samples`.
    """
    if spec["source"] == "glyphs" or root is None:
        return glyphs(spec)
    if spec["source"] == "torchvision":
        return torchvision_samples(spec["name"], root, download)
    return folder_samples(root, spec["image_size"], spec["classes"], threads, digest, scratch)


def count(spec: "specs.Dataset", root: Path | None) -> int | None:
    """How many images `samples` yields; None if that is not known before reading."""
    if spec["source"] == "torchvision":
        return None  # torchvision reads all images at once
    counts = stated_counts(spec) or count_folder(root)
    return None if counts is None else sum(map(sum, counts))


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
def folder_samples(
    root: Path,
    image_size: int,
    classes: int,
    threads: int = 1,
    digest: ImagesDigest | None = None,
    scratch: Path | None = None,
) -> Iterator[Sample]:
    """Images of `<root>/{train,test}/<class>/*`, in the order of the files; `root` is a folder or a tarball of one.

    Each file is added to `digest`, if given. The images of a tarball whose members are not in that order wait for their
    turn in an unnamed file in the folder `scratch`; without `scratch`, such a tarball is an error.
    """
    if not root.exists():
        raise InputError(
            f"there is no {root}: put the image folder (or its tarball) there, or name the folder it lies in "
            "with --config data_root=FOLDER"
        )
    if not (root.is_dir() or root.is_file()):
        raise InputError(f"{root} is neither a folder nor a file: name the image folder or its tarball")
    files: Iterable[File] = archive_files(root) if root.is_file() else ((*file, None) for file in folder_files(root))
    seen: dict[str, set[str]] = {"train": set(), "test": set()}
    digest = ImagesDigest(root) if digest is None else digest  # also without one, no file may come twice
    with closing(mapped(lambda file: _decoded(file, image_size), files, threads)) as decoded:
        for place, of_file, image in decoded if scratch is None else _sorted(decoded, scratch):
            digest.add(place, of_file)
            part, name, _ = place
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


def _decoded(file: File, image_size: int) -> Decoded:
    """An image file's place, the digest of its bytes, and its image."""
    place, path, inside = file
    found = content(path) if inside is None else inside
    return place, hashlib.sha256(found).digest(), _decode(found, path, image_size)


def _sorted(images: Iterator[Decoded], scratch: Path) -> Iterator[Decoded]:
    """The images in the order of their places. Meanwhile they are in a file, so that memory stays flat."""
    with tempfile.TemporaryFile(dir=scratch) as file:
        written = []
        for number, (place, digest, image) in enumerate(images):
            file.write(image.tobytes())
            written.append((order(place), number, place, digest, image.shape))
        for _, number, place, digest, shape in sorted(written):
            size = int(np.prod(shape))  # all images have the same
            file.seek(number * size)
            yield place, digest, np.frombuffer(file.read(size), np.uint8).reshape(shape)


def _decode(found: bytes, path: str, size: int) -> np.ndarray:
    """The central square of an image file whose bytes are `found`, (size, size, 3) uint8."""
    # The decoder of JPEG could scale down (`Image.draft`), which is 1.8 times as fast for 64 pixels of 500 x 375. But
    # that changes pixels by 1 to 4 of 255 (root mean square), and only in images that are large enough.
    try:
        image: Image.Image = Image.open(io.BytesIO(found))
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

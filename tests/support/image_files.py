"""Small image files, in folders and in tarballs."""

import io
import tarfile

import numpy as np
from PIL import Image


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def picture(color, size=(10, 10)):
    return png(Image.new("RGB", size, color))


NOISE = png(Image.fromarray(np.random.default_rng(0).integers(0, 256, (10, 10, 3), dtype=np.uint8)))

FILES = {
    "train/cat/1.png": picture((255, 0, 0)),
    "train/cat/2.png": picture((250, 0, 0)),
    "train/ant/1.png": picture((0, 255, 0)),
    "test/cat/1.png": picture((255, 0, 1)),
    "test/ant/1.png": picture((0, 255, 1)),
}


def folder(root, files=FILES):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def tarball(path, files=FILES, mode="w:gz", **member):
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in member.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return path

"""IDX, the format of the MNIST files: two zero bytes, a type code, the number of dimensions, each dimension as a
big-endian 32-bit integer, then the values in C order, big-endian."""

import os
import re
from pathlib import Path

import numpy as np

from ..files.stream import Stream

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}

# The names under which MNIST, Fashion-MNIST, KMNIST and EMNIST are shared: emnist-letters-train-images-idx3-ubyte.gz,
# and k49-train-imgs.npz, with one array in it
IMAGES = re.compile(
    r"(?P<before>.*?)(?P<part>train|test|t10k)(?P<rest>[-_.]images[-_.]idx3[-_.]ubyte(\.gz)?|[-_.]imgs\.npz)", re.I
)
SIDEWAYS = re.compile(  # EMNIST, whose authors stored images column by column
    r"emnist-(balanced|byclass|bymerge|digits|letters|mnist)-(train|test)(-images-idx3-ubyte(\.gz)?|\.csv(\.gz)?)", re.I
)


def find_beside(path: str | os.PathLike[str], labels: bool, test: bool) -> dict[str, Path]:
    """The files that go by their names with one of images: "train_labels", "test", "test_labels", where there are such.

    labels, test : whether to look for labels, and for test images beside training images
    """
    path = Path(path)
    found = IMAGES.fullmatch(path.name)
    if not found:
        return {}
    before, part, images = found["before"], found["part"], found["rest"]
    called = re.sub("images|imgs", "labels", images).replace("IMAGES", "LABELS").replace("idx3", "idx1")

    def existing(parts, rest):
        plain = rest.removesuffix(".gz")
        both = [f"{before}{part}{end}" for part in parts for end in dict.fromkeys([rest, f"{plain}.gz", plain])]
        return next((path.with_name(name) for name in both if path.with_name(name).is_file()), None)

    wanted = {"train_labels": ([part], called)} if labels else {}
    if test and part.lower() == "train":
        wanted["test"] = ["t10k", "test"], images
        wanted |= {"test_labels": (["t10k", "test"], called)} if labels else {}
    beside = {role: existing(*names) for role, names in wanted.items()}
    if not beside.get("test"):
        beside.pop("test_labels", None)
    return {role: file for role, file in beside.items() if file}


def read_idx(stream: Stream) -> np.ndarray:
    """Read one IDX array from a `minivae.files.stream.Stream` that starts with two zeros; ValueError where it fails."""
    _, code, ndim = stream.unpack(">HBB")
    if code not in TYPES:
        known = ", ".join(f"0x{known:02X}" for known in TYPES)
        raise ValueError(f"{stream.name}: got IDX type code 0x{code:02X}, expected one of {known}")
    stream.check_ndim(ndim)
    return stream.values(np.dtype(TYPES[code]), stream.unpack(f">{ndim}I"))

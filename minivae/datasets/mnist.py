"""MNIST, shipped with the package: read, verified and handed out as uint8."""

import hashlib
import zlib
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import numpy as np

from ..errors import expect

SOURCE = "MNIST: Yann LeCun, Corinna Cortes, Christopher J. C. Burges; licence CC BY-SA 3.0"
IMAGE_SHAPE = (28, 28)

# name of the uncompressed file: (its SHA-256, length of its header, rows)
IMAGES = {
    "train-images-idx3-ubyte": ("ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db", 16, 60_000),
    "t10k-images-idx3-ubyte": ("0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7", 16, 10_000),
}
LABELS = {
    "train-labels-idx1-ubyte": ("65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5", 8, 60_000),
    "t10k-labels-idx1-ubyte": ("ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2", 8, 10_000),
}


def load_mnist() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ``train, test, train_labels, test_labels``: (60000, 784) and (10000, 784) uint8, (60000,) and (10000,).

    The checksum of every file is verified at every load. A file that is missing or differs raises ValueError.
    """
    # zlib and hashlib release the GIL: the test set is ready before the training set is.
    with ThreadPoolExecutor(max_workers=2) as pool:
        train, test = pool.map(_read, IMAGES, IMAGES.values())
    train_labels, test_labels = map(_read, LABELS, LABELS.values())
    return train.reshape(-1, 784), test.reshape(-1, 784), train_labels, test_labels


def _read(name, facts):
    """The bytes after the header of one shipped file, as a flat uint8 array; a checksum stands in for parsing."""
    checksum, header, rows = facts
    length = header + rows * (784 if name in IMAGES else 1)
    try:
        packed = (resources.files(str(__package__)) / "mnist" / f"{name}.gz").read_bytes()
        # Told the length, zlib fills one buffer, and the array is a view of it: no copy of the pixels is ever made.
        content = zlib.decompress(packed, wbits=31, bufsize=length)
    except (OSError, zlib.error) as error:
        raise ValueError(f"mnist: the shipped {name}.gz cannot be read ({error}): reinstall the package") from error
    found = hashlib.sha256(content).hexdigest()
    name, expected = f"mnist: the shipped {name}", f"{checksum[:16]}...: reinstall the package"
    expect(found == checksum, name, f"SHA-256 {found[:16]}...", expected)
    return np.frombuffer(content, np.uint8, offset=header)

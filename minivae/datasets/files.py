"""A user's own file: NPY, NPZ or IDX, told apart by their first bytes, or CSV by its name; plain or gzip.

Every file gives arrays or a ValueError that names it, whatever its bytes are, and no file makes the reader allocate
more than a small multiple of what its packed length can hold.
"""

import gzip
import os

import numpy as np

from ..errors import expect
from ..files.npy import MAGIC, read_npy
from ..files.opening import EXPANSION, open_member, open_zip, regular_file
from ..files.stream import Stream, unreadable
from .idx import read_idx
from .table import read_csv

LARGEST_UNPACKED = 8 << 30  # bytes, over all arrays read from one packed file
ROLES = ("train", "test", "train_labels", "test_labels")


def read_file(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a file; return a dict with the array "train" and, from NPZ, any of "test", "train_labels", "test_labels".
    A CSV file can give "train_labels" too.

    An NPZ file needs an array named `train`, or must hold one array only (beside those three, if any); arrays with
    other names are not read.
    """
    with regular_file(path) as (name, file, length):
        return _read_open_file(name, file, length)


def _read_open_file(name, file, length):
    start = file.read(8)
    file.seek(0)
    if start.startswith(b"PK"):
        return _read_npz(name, file, length)
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            try:
                start = unpacked.peek(8)[:8]
            except Exception as error:
                raise unreadable(name, error) from error
            most = min(EXPANSION * length, LARGEST_UNPACKED)
            return _read_arrays(start, Stream(name, unpacked, most, exact=False))
    return _read_arrays(start, Stream(name, file, length, exact=True))


def _read_arrays(start, stream):
    if start.startswith(MAGIC):
        return {"train": read_npy(stream)}
    if start.startswith(b"\0\0"):
        return {"train": read_idx(stream)}
    if stream.name.lower().removesuffix(".gz").endswith(".csv"):
        return read_csv(stream)
    raise ValueError(f"{stream.name}: got {start!r} at its start, expected an NPY, NPZ or IDX file, or a name in .csv")


def _read_npz(name, file, length):
    with open_zip(name, file) as archive:
        members = _choose(name, {info.filename: info for info in archive.infolist()})
        total = sum(info.file_size for info in members.values())
        expect(total <= LARGEST_UNPACKED, name, f"a claim of {total} bytes unpacked", f"at most {LARGEST_UNPACKED}")
        arrays = {}
        for role, info in members.items():
            with open_member(f"{name}: {role}", archive, info, length) as stream:
                arrays[role] = read_npy(stream)
        return arrays


def _choose(name, infos):
    """Which member of the archive plays which role."""
    arrays = {key.removesuffix(".npy"): info for key, info in infos.items() if key.endswith(".npy")}
    if "train" not in arrays:
        others = [key for key in arrays if key not in ROLES]
        if len(others) != 1:
            found = ", ".join(repr(key) for key in list(arrays)[:8]) or "none"
            raise ValueError(f"{name}: got the arrays {found:.300}, expected one named 'train', or one array only")
        arrays["train"] = arrays.pop(others[0])
    return {role: arrays[role] for role in ROLES if role in arrays}

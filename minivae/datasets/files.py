"""A user's own file: NPY, NPZ or IDX, told apart by their first bytes, or CSV by its name; plain or gzip.

Every file gives arrays or a ValueError that names it, whatever its bytes are, and no file makes the reader allocate
more than a small multiple of what its packed length can hold.
"""

import contextlib
import gzip
import os
import stat
import zipfile
from pathlib import Path

from minivae.datasets.idx import read_idx
from minivae.datasets.npy import MAGIC, read_npy
from minivae.datasets.stream import Stream, unreadable
from minivae.datasets.table import read_csv

EXPANSION = 1032  # deflate never packs better: 258 bytes in 2 bits
LARGEST_UNPACKED = 8 << 30  # bytes, over all arrays read from one packed file
ROLES = ("train", "test", "train_labels", "test_labels")


def read_file(path):
    """Read a file; return a dict with the array "train" and, from NPZ, any of "test", "train_labels", "test_labels".
    A CSV file can give "train_labels" too.

    An NPZ file needs an array named `train`, or must hold one array only (beside those three, if any); arrays with
    other names are not read.
    """
    with regular_file(path) as (name, file, length):
        return _read_open_file(name, file, length)


@contextlib.contextmanager
def regular_file(path):
    """(name, open binary file, length) of a file that is not empty; links are followed.

    Within the context every OSError becomes a ValueError that names the file.
    """
    path = Path(path)
    name = path.name
    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise ValueError(f"{name}: is a folder, expected a file")
        # Opening a pipe waits for its writer, and a device may never end.
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{name}: is not a regular file")
        if status.st_size == 0:
            raise ValueError(f"{name}: is empty")
        with open(path, "rb") as file:
            yield name, file, status.st_size
    except FileNotFoundError as error:
        raise ValueError(f"{name}: no such file: {os.fspath(path)!r}") from error
    except OSError as error:
        raise unreadable(name, error) from error


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
    raise ValueError(f"{stream.name}: starts with {start!r}: expected an NPY, NPZ or IDX file, or a name in .csv")


def _read_npz(name, file, length):
    with open_zip(name, file) as archive:
        members = _choose(name, {info.filename: info for info in archive.infolist()})
        total = sum(info.file_size for info in members.values())
        if total > LARGEST_UNPACKED:
            raise ValueError(f"{name}: its arrays claim {total} bytes unpacked, expected at most {LARGEST_UNPACKED}")
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
            raise ValueError(f"{name}: expected an array named 'train', or one array only; its arrays: {found:.300}")
        arrays["train"] = arrays.pop(others[0])
    return {role: arrays[role] for role in ROLES if role in arrays}


def open_zip(name, file):
    try:
        return zipfile.ZipFile(file)
    except Exception as error:  # damaged bytes make zipfile raise more than BadZipFile
        raise unreadable(name, error) from error


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@contextlib.contextmanager
def open_member(name, archive, info, length, methods=METHODS):
    """A `Stream` over one member of a zip file of that length, which unpacks to no more than its packed bytes can."""
    if info.flag_bits & 1:
        raise ValueError(f"{name}: is encrypted")
    if info.compress_type not in methods:
        known = ", ".join(map(str, methods))
        raise ValueError(f"{name}: unsupported zip compression method {info.compress_type}, expected one of {known}")
    if info.file_size > (EXPANSION if info.compress_type else 1) * min(info.compress_size, length):
        raise ValueError(f"{name}: claims {info.file_size} bytes unpacked, more than its packed bytes can hold")
    try:
        member = archive.open(info)
    except Exception as error:  # as above
        raise unreadable(name, error) from error
    with member:
        yield Stream(name, member, info.file_size, exact=True)

"""A user's own file: NPY, NPZ or IDX, told apart by their first bytes, or a table by its name; plain or gzip.

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
from .table import TableOptions, read_table
from .values import NUMBER_THEM

LARGEST_UNPACKED = 8 << 30  # bytes, over all arrays read from one packed file
TABLES = (".csv", ".tsv", ".txt")

# What each of the four arrays is called in files that people share: those of Keras, of MedMNIST, of this package.
ROLES = {
    "train": ("train", "x_train", "X_train", "train_images", "train_x"),
    "test": ("test", "x_test", "X_test", "test_images", "test_x"),
    "train_labels": ("train_labels", "y_train", "train_y"),
    "test_labels": ("test_labels", "y_test", "test_y"),
}
IMAGES = ("imgs", "images")  # in a file that has no part to test with, as dSprites

# How other files start, and what to do about them.
SAVE = "save its arrays by numpy.savez(FILE, train=..., test=...)"
FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch that by git lfs pull",
    b"<": "a web page or XML: download the file itself",
    b"{": f"JSON: {SAVE}",
    b"MATLAB": f"a MATLAB file: read it by scipy.io.loadmat and {SAVE}",
    b"\x89HDF": f"an HDF5 file: read it by h5py and {SAVE}",
    b"PAR1": "a Parquet file: write its table by pandas as .csv",
    b"BZh": "packed by bzip2: unpack it first",
    b"\xfd7zXZ": "packed by xz: unpack it first",
    b"7z\xbc": "packed by 7z: unpack it first",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it first",
    b"\x89PNG": f"one picture: read the pictures into an array (rows, height, width) and {SAVE}",
    b"\xff\xd8\xff": f"one picture: read the pictures into an array (rows, height, width) and {SAVE}",
    b"\xd0\xcf\x11\xe0": "an old Excel or MATLAB file: save the table as .csv",
}
FOREIGN |= {
    b"\x80" + bytes([protocol]): f"a pickle, which is never loaded since it can run code: {SAVE}"
    for protocol in range(2, 6)
}


def read_file(path: str | os.PathLike[str], options: TableOptions) -> tuple[dict[str, np.ndarray], str]:
    """Read a file; return a dict with the array "train" and, from NPZ, any of "test", "train_labels", "test_labels",
    and how it was read. A table can give "train_labels" too.

    An NPZ file needs an array with one of the names in ROLES, or must hold one array only (beside those for the other
    roles, if any); arrays with other names are not read.
    """
    with regular_file(path) as (name, file, length):
        return _read_open_file(name, file, length, options)


def _read_open_file(name, file, length, options):
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"PK"):
        options.expect_none(name, "a zip archive")
        return _read_npz(name, file, length)
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            try:
                start = unpacked.peek(512)[:512]
            except Exception as error:
                raise unreadable(name, error) from error
            most = min(EXPANSION * length, LARGEST_UNPACKED)
            return _read_arrays(start, Stream(name, unpacked, most, exact=False), options)
    return _read_arrays(start, Stream(name, file, length, exact=True), options)


def _read_arrays(start, stream, options):
    name = stream.name
    for magic, read, kind in ((MAGIC, read_npy, "NPY"), (b"\0\0", read_idx, "IDX")):
        if start.startswith(magic):
            options.expect_none(name, kind)
            return {"train": read(stream)}, ""
    foreign = "a tar archive: unpack it first" if start[257:262] == b"ustar" else None
    foreign = foreign or next((what for magic, what in FOREIGN.items() if start.lstrip().startswith(magic)), None)
    expected = f"an NPY, NPZ or IDX file, or a table with a name in {', '.join(TABLES)}"
    if foreign:
        raise ValueError(f"{name}: got {foreign}; expected {expected}")
    if name.lower().removesuffix(".gz").endswith(TABLES):
        return read_table(stream, options)
    raise ValueError(f"{name}: got {start[:8]!r} at its start, expected {expected}")


def _read_npz(name, file, length):
    with open_zip(name, file) as archive:
        infos = {info.filename: info for info in archive.infolist()}
        members, unread = _choose(name, infos)
        total = sum(info.file_size for info in members.values())
        expect(total <= LARGEST_UNPACKED, name, f"a claim of {total} bytes unpacked", f"at most {LARGEST_UNPACKED}")
        arrays = {}
        for role, info in members.items():
            with open_member(f"{name}: {role}", archive, info, length) as stream:
                arrays[role] = read_npy(stream, f"; labels are whole numbers: {NUMBER_THEM}" * role.endswith("labels"))
        called = {role: info.filename.removesuffix(".npy") for role, info in members.items()}
        said = [f"{role} is {stem!r:.60}" for role, stem in called.items() if stem not in (role, "arr_0")]
        said += [f"{', '.join(map(repr, unread[:8])):.200} not read"] if unread else []
        return arrays, ", ".join(said)


def _choose(name, infos):
    """Which member of the archive plays which role, and the names of the others."""
    arrays = {key.removesuffix(".npy"): info for key, info in infos.items() if key.endswith(".npy")}
    found = {role: [known for known in names if known in arrays] for role, names in ROLES.items()}
    others = [key for key in arrays if not any(key in names for names in found.values())]
    if not found["train"]:
        found["train"] = others if len(others) == 1 else [key for key in others if key in IMAGES]
    for role, names in found.items():
        if len(names) > 1 or (role == "train" and not names):
            raise ValueError(f"{name}: got {_shown(infos, arrays)}, expected one named {role!r}, or one array only")
    chosen = {role: arrays[names[0]] for role, names in found.items() if names}
    return chosen, [key for key in arrays if arrays[key] not in chosen.values()]


def _shown(infos, arrays):
    """What an archive holds, as a message says it."""
    if arrays:
        return f"the arrays {', '.join(map(repr, list(arrays)[:8])):.200}"
    kinds = {"data.pkl": "a PyTorch file", "workbook.xml": "an Excel file", ".csv": "a packed table"}
    for end, kind in kinds.items():
        if any(key.endswith(end) for key in infos):
            return f"no arrays but {kind} ({'unpack it' if end == '.csv' else 'save its arrays or table'} first)"
    return "the arrays none"

"""A user's own file: NPY, NPZ, IDX or Parquet, told apart by their first bytes, or a table by its name; or a folder.

Every file gives arrays or a ValueError that names it, whatever its bytes are, and no file makes the reader allocate
more than a small multiple of what its packed length can hold.
"""

import gzip
import os
from typing import Any

from ..errors import expect
from ..files.npy import MAGIC, map_npy, read_npy
from ..files.opening import EXPANSION, regular_file
from ..files.stream import Stream, unreadable
from .frames import read_parquet
from .idx import IMAGES, find_beside, read_idx
from .npz import LARGEST_UNPACKED, read_npz
from .options import TAKERS, ReadOptions
from .pictures import images_in, read_pictures
from .table import read_table

MAPPED_FROM = 2 << 30  # bytes; an NPY file of fewer is read
TABLES = (".csv", ".tsv", ".tab", ".txt", ".data", ".amat")

# How other files start, and what to do about them.
SAVE = "save its arrays by numpy.savez(FILE, train=..., test=...)"
FOREIGN = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch that by git lfs pull",
    b"<": "a web page or XML: download the file itself",
    b"{": f"JSON: {SAVE}",
    b"MATLAB": f"a MATLAB file: read it by scipy.io.loadmat and {SAVE}",
    b"\x89HDF": f"an HDF5 file: read it by h5py and {SAVE}",
    b"\x1f\x8b": "packed by gzip twice: unpack it first",
    b"BZh": "packed by bzip2: unpack it first",
    b"\xfd7zXZ": "packed by xz: unpack it first",
    b"7z\xbc": "packed by 7z: unpack it first",
    b"\x28\xb5\x2f\xfd": "packed by zstd: unpack it first",
    b"\x89PNG": f"one picture: read the pictures into an array (rows, height, width) and {SAVE}",
    b"\xff\xd8\xff": f"one picture: read the pictures into an array (rows, height, width) and {SAVE}",
    b"\xd0\xcf\x11\xe0": "an old Excel or MATLAB file: save the table as .csv",
    b"ARROW1": "an Arrow or Feather file: save the table as .parquet",
    b"RDX3\n": "a workspace of R: save the table by write.csv",
    b"SQLite format 3": "an SQLite file: save the table as .csv",
}
PICKLES = (b"(dp", b"(lp", b"cnumpy", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))
FOREIGN |= dict.fromkeys(PICKLES, f"a pickle, which is never loaded since it can run code: {SAVE}")


def read_file(path: str | os.PathLike[str], options: ReadOptions, split: bool = False) -> tuple[dict[str, Any], str]:
    """Read a file, or a folder; return a dict with the array "train" and, where there are such, "test", "train_labels",
    "test_labels" (which may be texts), "columns" and "classes" (their names) and "name" (that of the file in a folder);
    and how it was read.

    split : whether test rows are to be split off, so that those in a file beside this one are left alone
    """
    if os.path.isdir(path):
        images = images_in(path)
        if images is None:
            return read_pictures(path, options)
        arrays, said = read_file(images, options, split)
        return arrays | {"name": images.name}, said
    with regular_file(path) as (name, file, length):
        start = file.read(512)
        file.seek(0)
        if start.startswith(b"PAR1"):
            return read_parquet(path, options)
        if start.startswith(b"PK"):
            options.expect_only(name, "a zip archive", "array", "label", "image_shape", "transpose")
            arrays, said = read_npz(name, file, length, options)
            kind = "NPZ"
        else:
            kind, arrays, said = _read_open_file(name, file, length, options)
    if kind == "IDX" or (kind == "NPZ" and not said):  # one array
        beside = find_beside(path, labels=options.label != "", test=not split)
        found = [f"{role} in {os.path.basename(other)!r:.60}" for role, other in beside.items()]
        arrays |= {role: _read_beside(other, kind) for role, other in beside.items()}
        if IMAGES.fullmatch(name) and options.label != "" and "train_labels" not in beside:
            found.append("no file of labels beside it")
        return arrays, ", ".join(found)
    return arrays, said


def _read_beside(path, expected):
    with regular_file(path) as (name, file, length):
        packed = file.read(2) == b"PK"
        file.seek(0)
        if packed:
            kind, (arrays, _) = "NPZ", read_npz(name, file, length, ReadOptions(label=""))
        else:
            kind, arrays, _ = _read_open_file(name, file, length, ReadOptions())
    expect(kind == expected, name, "another format", f"{expected}, as in the file beside it")
    return arrays["train"]


def _read_open_file(name, file, length, options):
    """(kind, arrays by role, how they were read)"""
    start = file.read(512)
    file.seek(0)
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file, mode="rb") as unpacked:
            try:
                start = unpacked.peek(512)[:512]
            except Exception as error:
                raise unreadable(name, error) from error
            most = min(EXPANSION * length, LARGEST_UNPACKED)
            return _read_arrays(start, Stream(name, unpacked, most, exact=False), options)
    if length >= MAPPED_FROM and start.startswith(MAGIC):
        mapped = map_npy(file, Stream(name, file, length, exact=True))
        if mapped is not None:
            options.expect_only(name, "NPY", "image_shape", "transpose")
            said = "mapped and not read whole: a sample of its values looked at, the others when they are used"
            return "NPY", {"train": mapped}, said
        file.seek(0)
    return _read_arrays(start, Stream(name, file, length, exact=True), options)


def _read_arrays(start, stream, options):
    name = stream.name
    for magic, read, kind in ((MAGIC, read_npy, "NPY"), (b"\0\0", read_idx, "IDX")):
        if start.startswith(magic) and start[:3] != b"\0\0\0":  # HDF5, DICOM and others may start with nothing
            label = () if options.label != "" else ("label",)
            options.expect_only(name, kind, "image_shape", "transpose", *label)
            return kind, {"train": read(stream)}, ""
    foreign = "a tar archive: unpack it first" if start[257:262] == b"ustar" else None
    foreign = foreign or next((what for magic, what in FOREIGN.items() if start.lstrip().startswith(magic)), None)
    expected = f"an NPY, NPZ, IDX or Parquet file, or a table with a name in {', '.join(TABLES)}"
    if foreign:
        raise ValueError(f"{name}: got {foreign}; expected {expected}")
    if name.lower().removesuffix(".gz").endswith(TABLES):
        options.expect_only(name, "a table", *(set(TAKERS) - {"array"}))
        return "table", *read_table(stream, options)
    raise ValueError(f"{name}: got {start[:8]!r} at its start, expected {expected}")

"""Files that are damaged or lie: nothing but a Dataset or a ValueError may come of any bytes, at no cost in memory."""

import gzip
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.datasets import Dataset, load_dataset

from .file_bytes import archive, idx, npy, npy_claiming, npz, refuse, rewrite

PIXELS = np.arange(240, dtype=np.uint8).reshape(20, 4, 3)
FLOATS = np.random.default_rng(0).random((20, 5), dtype=np.float32)


GZIP_IDX = gzip.compress(idx(PIXELS))
HUGE = 2**32 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x93NUM", "expected an NPY, NPZ, IDX or Parquet file"),
        (pickle.dumps({"data": [1]}, 0), "got a pickle, which is never loaded"),
        (gzip.compress(pickle.dumps([1], 0)), "got a pickle, which is never loaded"),
        (b"ARROW1\0\0", "got an Arrow or Feather file: save the table as .parquet"),
        (gzip.compress(b"RDX3\nX\n"), "got a workspace of R: save the table by write.csv"),
        (b"1,2,3\n4,5,6\n", "expected an NPY, NPZ, IDX or Parquet file"),
        (b"PK\3\4 and then no zip", "damaged or unreadable"),
        (b"\x1f\x8b and then no gzip", "damaged or unreadable"),
        (gzip.compress(b"text"), "got b'text' at its start"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "got a Git LFS pointer, not the file itself"),
        (b"\n<!DOCTYPE html><html>404", "got a web page or XML: download the file itself"),
        (b"MATLAB 5.0 MAT-file", "got a MATLAB file: read it by scipy.io.loadmat"),
        (b"\x89HDF\r\n", "got an HDF5 file"),
        (b"\x80\x04K\x01.", "got a pickle, which is never loaded"),
        (gzip.compress(gzip.compress(npy(FLOATS))), "got packed by gzip twice: unpack it first"),
        (bytes(512) + b"\x89HDF\r\n", r"got b'\\x00.* at its start, expected an NPY"),
        (gzip.compress(b"x" * 257 + b"ustar\0"), "got a tar archive: unpack it first"),
        (gzip.compress(npz(False, FLOATS)), "expected an NPY, NPZ, IDX or Parquet file"),
        (npy(FLOATS)[:-1], "truncated"),
        (npy(FLOATS) + b"\0", "1 unexpected bytes follow"),
        (gzip.compress(npy(FLOATS)[:-1]), "truncated: 399 of 400 bytes"),
        (gzip.compress(npy(FLOATS) + b"\0"), "unexpected bytes follow"),
        (GZIP_IDX + b"junk", "damaged or unreadable"),
        (GZIP_IDX[:-6] + b"\0\0\0\0\0\0", "damaged or unreadable"),
        (idx(PIXELS)[:-1], "truncated"),
        (idx(PIXELS) + b"\0", "unexpected bytes"),
        (idx(PIXELS, code=0x0A), "got IDX type code 0x0A, expected one of 0x08, 0x09"),
        (b"\0\0\x08", "truncated inside its header"),
        (struct.pack(">HBB", 0, 8, 0), "0-D array"),
        (struct.pack(">HBB5I", 0, 8, 5, 1, 1, 1, 1, 1) + b"\0", "5-D array"),
        (npy(np.zeros((2, 3, 4, 3))), r"got float64 of shape \(2, 3, 4, 3\), expected image_shape= .*: 3 4 3 or 4 3 3"),
        (npy(np.zeros((2, 5, 4, 2))), r"got float64 of shape \(2, 5, 4, 2\), .* others are flattened"),
        (struct.pack(">HBBI", 0, 8, 1, 2) + b"ab", r"got uint8 of shape \(2,\), expected .* are these labels"),
        (struct.pack(">HBB2I", 0, 8, 2, 0, 5), r"holds nothing: shape \(0, 5\)"),
        (struct.pack(">HBB3I", 0, 14, 3, HUGE, HUGE, HUGE), "needs .* bytes, 0 follow"),
        (gzip.compress(struct.pack(">HBB3I", 0, 14, 3, HUGE, HUGE, HUGE)), "needs .* bytes, at most"),
        (npy(np.zeros((0, 3))), "holds nothing"),
        (npy(np.zeros((1, 3))), "got 'one row, which cannot be split'"),
        (npy(np.array(1.0)), "0-D array"),
        (npy(np.array([[0, 1], [2, np.nan]])), "train: got nan at row 1, column 1, expected finite"),
        (npy(np.array([[np.inf], [1]])), "train: got inf at row 0, column 0, expected finite"),
        (npy(np.array([[1, 1j]])), "got NPY type '<c16'"),
        (npy(np.array([["a"]])), "got NPY type '<U1'"),
        (npy(np.array([[1, None]])), r"got NPY type '\|O': save it as such by x.astype\(float\)"),
        (npy(np.zeros((2, 2), [("a", "f4")])), r"got NPY type \[\('a', '<f4'\)\]: .*structured_to_unstructured"),
        (npy(np.zeros((2, 2), "M8[s]")), "got NPY type"),
        (npy(FLOATS).replace(b"NUMPY\x01", b"NUMPY\x07"), "unknown NPY version 7.0"),
        (npy_claiming(b" " * 5000), "NPY header of 5000 bytes, expected at most 4096"),
        (npy_claiming(b"(" * 4000), "damaged NPY header"),
        (npy_claiming(b"-" * 4000 + b"1"), "damaged NPY header"),
        (npy_claiming(b"{'descr': '<f4'}"), "expected the keys descr, fortran_order and shape"),
        (npy_claiming(rb"{'descr': '\q', 'fortran_order': False, 'shape': (2, 2)}"), "got NPY type"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 2)}"), "fortran_order must be"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}"), "shape must be a tuple"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}"), "shape must be a tuple"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1%s,)}" % (b"0" * 3900)), "shape must be"),
        (npz(), "got the arrays none, expected one named 'train', or one array only"),
        (npz(False, FLOATS, FLOATS), r"got the arrays 'arr_0' \(20, 5\), 'arr_1' \(20, 5\), expected .* array= "),
        (npz(test=FLOATS), "got the arrays 'test'"),
        (npz(train=FLOATS, test=FLOATS[:, 1:]), r"test: got float32 of shape \(20, 4\), expected 5 features per row"),
        (npz(train=FLOATS, test=FLOATS.astype("u1")), "got 'float32 and uint8', expected uint8, float32 or float64"),
        (npz(train=FLOATS, train_labels=np.zeros(19, int)), "train_labels: got '19 labels', expected 20, one a row"),
        (npz(train=FLOATS, test=FLOATS, test_labels=np.zeros(21, int)), "test_labels: got '21 labels', expected 20"),
        (npz(train=FLOATS, train_labels=np.full(20, 0.5)), "train_labels: got 0.5 at row 0, .* expected whole numbers"),
        (
            npz(train=FLOATS, train_labels=np.full(20, np.nan)),
            "train_labels: got nan at row 0, .* expected whole numbers",
        ),
        (npz(train=FLOATS, train_labels=np.zeros((20, 2), int)), "train_labels: got int64 .* expected a 1-D array"),
        (
            npz(train=FLOATS, train_labels=np.array([["a"] * 2] * 20)),
            r"labels: got <U1 of shape \(20, 2\), expected one text a row; label= .* '' none",
        ),
        (
            npz(x_train=FLOATS, train_images=FLOATS),
            r"got the arrays 'x_train' \(20, 5\), 'train_images' \(20, 5\), expected one named 'train', or array=",
        ),
        (npz(imgs=FLOATS, images=FLOATS), r"got the arrays 'imgs' \(20, 5\), 'images' .*, or array= \(--array\)"),
        (archive(b"", name="archive/data.pkl"), "got no arrays but a PyTorch file"),
        (archive(b"", name="xl/workbook.xml"), "got no arrays but an Excel file"),
        (archive(b"", name="content.xml"), "got no arrays but an OpenOffice file"),
        (archive(b"1,2", name="train.csv"), r"got no arrays but a packed table \(unpack it first\)"),
        (npz(train=FLOATS, test_labels=np.zeros(20, int)), "got 'test_labels and no test rows'"),
        (npz(train=np.array([[None]])), r"train: .*got NPY type '\|O'"),
    ],
)
def test_refuses(content, message, tmp_path):
    refuse(tmp_path, content, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(npy(FLOATS) + b"\0"), "1 unexpected bytes follow"),
        (archive(npy(FLOATS), file_size=10**6), "claims 1000000 bytes unpacked|unexpected bytes follow"),
        (archive(npy(FLOATS), file_size=100), "truncated|damaged"),
        (archive(npy(FLOATS), file_size=2**33 + 1), "claim of 8589934593 bytes unpacked', expected at most 8589934592"),
        (archive(npy(FLOATS), file_size=2**32, compress_size=2**32), "more than its packed bytes can hold"),
        (archive(npy(FLOATS), flag_bits=1), "is encrypted"),
        (archive(npy(FLOATS), CRC=1), "damaged or unreadable .*CRC"),
        (archive(npy(FLOATS), zipfile.ZIP_BZIP2), "unsupported zip compression method 12"),
        (archive(npy(FLOATS), zipfile.ZIP_LZMA), "unsupported zip compression method 14"),
        (archive(npy(FLOATS), header_offset=7), "damaged or unreadable"),
        (archive(b"no array"), "an NPY array starts with"),
        (archive(idx(PIXELS)), "an NPY array starts with"),
    ],
)
def test_refuses_archives_that_lie(content, message, tmp_path):
    refuse(tmp_path, content, message)


def test_a_lying_header_costs_no_memory(tmp_path):
    lying = npy_claiming(b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000)}", bytes(1000))
    zeros = bytes(64 << 20)
    bomb = npy_claiming(b"{'descr': '<f8', 'fortran_order': False, 'shape': (2, 1)}", zeros)
    contents = [lying, gzip.compress(lying), archive(lying), archive(lying, file_size=8 * 10**9)]
    contents += [
        gzip.compress(bomb, 1),
        archive(bomb, zipfile.ZIP_DEFLATED),
        gzip.compress(struct.pack(">HBB2I", 0, 8, 2, 2, 2) + zeros, 1),
    ]
    tracemalloc.start()
    try:
        for content in contents:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            refuse(tmp_path, content, "truncated|unexpected bytes follow|more than its packed bytes can hold")
            assert tracemalloc.get_traced_memory()[1] - before < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n \n", "got 'no numbers'"),
        (b"a,b\n", "got 'no numbers, only names'"),
        (b"1,2\n3\n", "line 2: got 1 fields, expected 2"),
        (b"a,b\n1,2,3,4\n", "line 2: got 4 fields under 2 names"),
        (b"1,two\n3,4\n", r"line 1, field 2: got 'two', expected a number; or header= \(--header"),
        (b"a,b\nc,d\n", "line 2: got 'c, d', expected numbers below one line of names"),
        (b"1,2\n3,\n", "line 2, field 2: got '', expected a finite value"),
        (b"2,1\n1_0,2\n", "line 2, field 1: got '1_0', expected a number"),
        ("2,1\n\u0663,2\n".encode(), "line 2, field 1: got '\u0663', expected a number"),
        (b"1,2\n3,nan\n", "line 2, field 2: got 'nan', expected a finite value"),
        (b"1.5,2\n3,1e999\n", "got inf at row 1, column 1, expected finite"),
        (b"x,label\n1,2\n3,2.5\n", r"field 2 \('label'\): got fractions or numbers beyond"),
        (b"\xff\xfe1\0", "got 'one row"),
        (b"\xff\xfe1", "not text in its encoding"),
        ("1,x".encode("utf-32"), "line 1, field 2: got 'x', expected a number"),
        ("1,2".encode("utf-16-le"), "line 1: got 'NUL, as in no text or one in UTF-16', expected text: encoding="),
        (b"1" * (1 << 22), "line 1: got .* characters and no end"),
        (gzip.compress(b"1,2\n3,4\n")[:-4], "damaged or unreadable"),
    ],
)
def test_refuses_tables(content, message, tmp_path):
    refuse(tmp_path, content, message, "mine.csv")


SMALL = np.array([[0.25, 0.5], [1, 2], [3, 4]], np.float32)
SEEDS = {
    "npy": npy(SMALL),
    "npz": npz(False, SMALL),
    "npz-deflated": npz(True, SMALL),
    "idx": idx(SMALL, 0x0D),
    "idx.gz": gzip.compress(idx(SMALL, 0x0D), mtime=0),
    "csv": b"x,y\n0.25,0.5\n1,2\n3,4\n",
    "csv.gz": gzip.compress(b"0.25,0.5\n1,2\n3,4\n", mtime=0),
}
# A table cut short can be a table: only what is packed, or says its length, must be refused.
SEALED = [kind for kind in SEEDS if kind != "csv"]


def survives(path, content):
    """Whether the content was taken: it gives a Dataset, or a ValueError of one line that names the file."""
    rewrite(path, content)
    message = None
    try:
        data = load_dataset(path)
    except ValueError as error:
        message = str(error)
    if message is not None:
        assert message.startswith(path.name)
        assert "\n" not in message
        return False
    assert isinstance(data, Dataset)
    assert np.isfinite(data.train).all()
    return True


@pytest.mark.parametrize("kind", SEALED)
def test_every_truncation_is_refused(kind, tmp_path):
    content = SEEDS[kind]
    assert survives(tmp_path / "x.csv", content)
    for length in range(len(content)):
        assert not survives(tmp_path / "x.csv", content[:length]), length


def test_a_truncated_table_is_survived(tmp_path):
    for length in range(len(SEEDS["csv"])):
        survives(tmp_path / "x.csv", SEEDS["csv"][:length])


@pytest.mark.parametrize("kind", SEEDS)
def test_every_flipped_bit_is_survived(kind, tmp_path):
    content = SEEDS[kind]
    for place in range(len(content)):
        for bit in range(8):
            survives(tmp_path / "x.csv", content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])


@given(
    content=st.sampled_from(list(SEEDS.values())),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=8)), min_size=1, max_size=4),
    repack=st.booleans(),
)
@settings(max_examples=500)
def test_random_damage_is_survived(content, edits, repack, tmp_path_factory):
    """Each edit replaces up to four bytes by up to eight; packed again, the damage gets past gzip's checksum."""
    for place, removed, inserted in edits:
        start = round(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    survives(tmp_path_factory.getbasetemp() / "damaged.csv", gzip.compress(content, 1) if repack else content)

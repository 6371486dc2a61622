"""A user's own file: what is read, and that nothing else than a Dataset or a ValueError comes of any bytes."""

import gzip
import io
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minivae.datasets import Dataset, dataset, files, load_dataset

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(20, 4, 3), dtype=np.uint8)
FLOATS = RNG.random((20, 5), dtype=np.float32)


def npy(array, version=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(array), version)
    return buffer.getvalue()


def npy_claiming(header, content=b"", version=1):
    return b"\x93NUMPY" + struct.pack("<BBH", version, 0, len(header)) + header + content


def npz(compressed=False, *unnamed, **named):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, *unnamed, **named)
    return buffer.getvalue()


def idx(array, code=0x08):
    big_endian = array.astype(array.dtype.newbyteorder(">"))
    return struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape) + big_endian.tobytes()


def load(tmp_path, content, name="mine.dat", **options):
    path = tmp_path / name
    path.write_bytes(content)
    return load_dataset(path, **options)


def refuse(tmp_path, content, message, name="mine.dat"):
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path, content, name)
    text = str(caught.value)
    assert text.startswith(name)
    assert "\n" not in text
    assert len(text) < 400


def all_rows(data):
    """Train and test rows as one sorted array: what a split must preserve."""
    rows = np.concatenate([data.train, data.test])
    return rows[np.lexsort(rows.T)]


FORMATS = {
    "npy": npy(PIXELS),
    "npy-2": npy(PIXELS, (2, 0)),
    "npy-3": npy(PIXELS, (3, 0)),
    "npy-fortran": npy(np.asfortranarray(PIXELS)),
    "npy.gz": gzip.compress(npy(PIXELS)),
    "npz": npz(False, PIXELS),
    "npz-deflated": npz(True, train=PIXELS),
    "idx": idx(PIXELS),
    "idx.gz": gzip.compress(idx(PIXELS)),
}


@pytest.mark.parametrize("content", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("name", ["images-idx3-ubyte", "x.npy", "x.npz"])
def test_every_format_under_every_name(content, name, tmp_path):
    data = load(tmp_path, content, name)
    assert data.train.shape == (18, 12)
    assert data.test.shape == (2, 12)
    assert data.train.dtype == np.uint8
    assert data.image_shape == (4, 3)
    assert data.train_labels is data.test_labels is None
    assert data.name == name
    assert data.source == f"file {name}"
    rows = PIXELS.reshape(20, 12)
    np.testing.assert_array_equal(all_rows(data), rows[np.lexsort(rows.T)])


def test_split(tmp_path):
    """Rows and labels stay together, in the file's order; the seed alone decides."""
    content = npz(train=np.arange(40.0).reshape(40, 1), train_labels=np.arange(40, dtype=np.uint8))
    data = load(tmp_path, content, test_fraction=0.25, seed=1)
    assert (len(data.train), len(data.test)) == (30, 10)
    for rows, labels in ((data.train, data.train_labels), (data.test, data.test_labels)):
        np.testing.assert_array_equal(rows[:, 0], labels)
        assert (np.diff(labels) > 0).all()
        assert labels.dtype == np.int64
    assert set(data.train_labels) | set(data.test_labels) == set(range(40))
    again, other = (load(tmp_path, content, test_fraction=0.25, seed=seed) for seed in (1, 2))
    assert again.fingerprint() == data.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(("fraction", "held_out"), [(1e-9, 1), (0.5, 2), (0.999, 3)])
def test_split_leaves_rows_on_both_sides(fraction, held_out, tmp_path):
    data = load(tmp_path, npy(np.eye(4)), test_fraction=fraction)
    assert (len(data.train), len(data.test)) == (4 - held_out, held_out)


def test_own_test_rows_and_labels(tmp_path):
    content = npz(
        train=FLOATS[:1], test=FLOATS[1:4], train_labels=np.ones(1, int), test_labels=np.arange(3), more=FLOATS
    )
    data = load(tmp_path, content)
    np.testing.assert_array_equal(data.train, FLOATS[:1])
    np.testing.assert_array_equal(data.test, FLOATS[1:4])
    assert data.test_labels.tolist() == [0, 1, 2]
    assert data.train_labels.tolist() == [1]


def test_size_and_image_shape(tmp_path):
    data = load(tmp_path, npy(np.zeros((10, 784))), size=3)
    assert (len(data.train), len(data.test)) == (3, 1)
    assert data.image_shape == (28, 28)
    assert load(tmp_path, npy(FLOATS)).image_shape is None
    with pytest.raises(ValueError, match=r"size must be at most the 9 training rows of 'mine.dat', got 10"):
        load(tmp_path, npy(np.zeros((10, 784))), size=10)


@given(
    array=arrays.arrays(
        st.sampled_from(["?", "i1", ">i2", "<u2", ">i4", "<i8", "u8", "u1", "f2", "<f4", ">f4", "<f8", ">f8"]),
        st.tuples(st.integers(2, 5), st.integers(1, 5)),
        elements={"min_value": 0, "max_value": 100, "allow_nan": False, "allow_infinity": False},
    ),
    fortran=st.booleans(),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_dtypes_keep_their_values(array, fortran, tmp_path_factory):
    kept = {"u1": "u1", "f4": "f4", "f8": "f8"}.get(array.dtype.str[1:], "f4")
    data = load(tmp_path_factory.mktemp("d"), npy(np.asfortranarray(array) if fortran else array))
    assert data.train.dtype == np.dtype(kept)
    np.testing.assert_array_equal(all_rows(data), array[np.lexsort(array.T)])


@pytest.mark.parametrize(("code", "dtype"), [(8, "u1"), (9, "i1"), (11, "i2"), (12, "i4"), (13, "f4"), (14, "f8")])
def test_idx_types(code, dtype, tmp_path):
    values = np.array([[-1, 2], [3, -100]]).astype(dtype)
    np.testing.assert_array_equal(all_rows(load(tmp_path, idx(values, code))), values[np.lexsort(values.T)])


def test_integers_beyond_float32(tmp_path):
    exact = np.array([[2**24], [-(2**24)]])
    assert load(tmp_path, npy(exact)).train.dtype == np.float32
    for value in (2**24 + 1, -(2**24) - 1, -(2**63)):
        refuse(tmp_path, npy(np.array([[0, 0], [0, value]])), f"train: {value} at row 1, column 1 is too large an int")
    refuse(tmp_path, npy(np.full((2, 2), 2**64 - 1, np.uint64)), "too large an integer")


GZIP_IDX = gzip.compress(idx(PIXELS))
HUGE = 2**32 - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x93NUM", "expected an NPY, NPZ or IDX file"),
        (b"1,2,3\n4,5,6\n", "expected an NPY, NPZ or IDX file"),
        (b"PK\3\4 and then no zip", "damaged or unreadable"),
        (b"\x1f\x8b and then no gzip", "damaged or unreadable"),
        (gzip.compress(b"text"), "starts with b'text'"),
        (gzip.compress(npz(False, FLOATS)), "expected an NPY, NPZ or IDX file"),
        (npy(FLOATS)[:-1], "truncated"),
        (npy(FLOATS) + b"\0", "1 unexpected bytes follow"),
        (gzip.compress(npy(FLOATS)[:-1]), "truncated: 399 of 400 bytes"),
        (gzip.compress(npy(FLOATS) + b"\0"), "unexpected bytes follow"),
        (GZIP_IDX + b"junk", "damaged or unreadable"),
        (GZIP_IDX[:-6] + b"\0\0\0\0\0\0", "damaged or unreadable"),
        (idx(PIXELS)[:-1], "truncated"),
        (idx(PIXELS) + b"\0", "unexpected bytes"),
        (idx(PIXELS, code=0x0A), "unsupported IDX type code 0x0A, expected one of 0x08, 0x09"),
        (b"\0\0\x08", "truncated inside its header"),
        (struct.pack(">HBB", 0, 8, 0), "0-D array"),
        (struct.pack(">HBB4I", 0, 8, 4, 1, 1, 1, 1) + b"\0", "4-D array"),
        (struct.pack(">HBBI", 0, 8, 1, 2) + b"ab", r"is 1-D \(2,\), expected \(rows, features\)"),
        (struct.pack(">HBB2I", 0, 8, 2, 0, 5), r"holds nothing: shape \(0, 5\)"),
        (struct.pack(">HBB3I", 0, 14, 3, HUGE, HUGE, HUGE), "needs .* bytes, 0 follow"),
        (gzip.compress(struct.pack(">HBB3I", 0, 14, 3, HUGE, HUGE, HUGE)), "needs .* bytes, at most"),
        (npy(np.zeros((0, 3))), "holds nothing"),
        (npy(np.zeros((1, 3))), "has one row, which cannot be split"),
        (npy(np.array(1.0)), "0-D array"),
        (npy(np.array([[0, 1], [2, np.nan]])), "train must be finite, got nan at row 1, column 1"),
        (npy(np.array([[np.inf], [1]])), "train must be finite, got inf at row 0, column 0"),
        (npy(np.array([[1, 1j]])), "got NPY type '<c16'"),
        (npy(np.array([["a"]])), "got NPY type '<U1'"),
        (npy(np.array([[1, None]])), r"got NPY type '\|O'"),
        (npy(np.zeros((2, 2), [("a", "f4")])), r"got NPY type \[\('a', '<f4'\)\]"),
        (npy(np.zeros((2, 2), "M8[s]")), "got NPY type"),
        (npy(FLOATS).replace(b"NUMPY\x01", b"NUMPY\x07"), "unknown NPY version 7.0"),
        (npy_claiming(b" " * 5000), "NPY header of 5000 bytes, expected at most 4096"),
        (npy_claiming(b"(" * 4000), "damaged NPY header"),
        (npy_claiming(b"-" * 4000 + b"1"), "damaged NPY header"),
        (npy_claiming(b"{'descr': '<f4'}"), "expected the keys descr, fortran_order and shape"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': 0, 'shape': (2, 2)}"), "fortran_order must be"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -2)}"), "shape must be a tuple"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (True, 2)}"), "shape must be a tuple"),
        (npy_claiming(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1%s,)}" % (b"0" * 3900)), "shape must be"),
        (npz(), "expected an array named 'train', or one array only; its arrays: none"),
        (npz(False, FLOATS, FLOATS), "its arrays: 'arr_0', 'arr_1'"),
        (npz(test=FLOATS), "its arrays: 'test'"),
        (npz(train=FLOATS, test=FLOATS[:, 1:]), "test must have 5 features per row, got 4"),
        (npz(train=FLOATS, test=FLOATS.astype("u1")), "both be uint8, float32 or float64, got float32 and uint8"),
        (npz(train=FLOATS, train_labels=np.zeros(19, int)), "train_labels: has 19 labels for 20 rows"),
        (npz(train=FLOATS, test=FLOATS, test_labels=np.zeros(21, int)), "test_labels: has 21 labels for 20 rows"),
        (npz(train=FLOATS, train_labels=np.zeros(20)), "train_labels: must be a 1-D array of integers"),
        (npz(train=FLOATS, test_labels=np.zeros(20, int)), "has test_labels and no test rows"),
        (npz(train=np.array([[None]])), r"train: .*got NPY type '\|O'"),
    ],
)
def test_refuses(content, message, tmp_path):
    refuse(tmp_path, content, message)


def archive(content, method=zipfile.ZIP_STORED, **claims):
    """A zip with one member train.npy; `claims` overwrite fields of its entry in the central directory."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        file.writestr("train.npy", content)
        for field, value in claims.items():
            setattr(file.filelist[0], field, value)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (archive(npy(FLOATS) + b"\0"), "1 unexpected bytes follow"),
        (archive(npy(FLOATS), file_size=10**6), "claims 1000000 bytes unpacked|unexpected bytes follow"),
        (archive(npy(FLOATS), file_size=100), "truncated|damaged"),
        (archive(npy(FLOATS), file_size=2**33 + 1), "claim 8589934593 bytes unpacked, expected at most 8589934592"),
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
    contents += [gzip.compress(bomb, 1), archive(bomb, zipfile.ZIP_DEFLATED), gzip.compress(zeros, 1)]
    tracemalloc.start()
    try:
        for content in contents:
            tracemalloc.reset_peak()
            before = tracemalloc.get_traced_memory()[0]
            with pytest.raises(ValueError, match=r"mine\.dat"):
                load(tmp_path, content)
            assert tracemalloc.get_traced_memory()[1] - before < 4 << 20
    finally:
        tracemalloc.stop()


def test_what_is_not_a_file(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is a folder, expected an NPY, NPZ or IDX file"):
        load_dataset(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe: is not a regular file"):
            load_dataset(tmp_path / "pipe")
    with pytest.raises(ValueError, match="nowhere: no such file"):
        load_dataset(tmp_path / "nowhere")

    def refuse_to_open(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "open", refuse_to_open, raising=False)
    refuse(tmp_path, npy(FLOATS), "Permission denied")


def test_out_of_memory(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(dataset, "read_file", exhausted)
    refuse(tmp_path, npy(FLOATS), "does not fit in memory")


def test_a_file_named_like_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rings").write_bytes(npy(FLOATS))
    (tmp_path / "mine").write_bytes(npy(FLOATS))
    assert load_dataset("rings").features == 2
    assert load_dataset("./rings").features == load_dataset(tmp_path / "rings").features == 5
    assert load_dataset("mine").features == 5


SMALL = np.array([[0.25, 0.5], [1, 2], [3, 4]], np.float32)
SEEDS = {
    "npy": npy(SMALL),
    "npz": npz(False, SMALL),
    "npz-deflated": npz(True, SMALL),
    "idx": idx(SMALL, 0x0D),
    "idx.gz": gzip.compress(idx(SMALL, 0x0D), mtime=0),
}


def survives(path, content):
    """Whether the content was taken: it gives a Dataset, or a ValueError of one line that names the file."""
    path.write_bytes(content)
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


@pytest.mark.parametrize("kind", SEEDS)
def test_every_truncation_is_refused(kind, tmp_path):
    content = SEEDS[kind]
    assert survives(tmp_path / "x", content)
    for length in range(len(content)):
        assert not survives(tmp_path / "x", content[:length]), length


@pytest.mark.parametrize("kind", SEEDS)
def test_every_flipped_bit_is_survived(kind, tmp_path):
    content = SEEDS[kind]
    for place in range(len(content)):
        for bit in range(8):
            survives(tmp_path / "x", content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :])


@given(
    content=st.sampled_from(list(SEEDS.values())),
    edits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), st.binary(max_size=8)), min_size=1, max_size=4),
    repack=st.booleans(),
)
@settings(deadline=None, max_examples=500, derandomize=True)
def test_random_damage_is_survived(content, edits, repack, tmp_path_factory):
    """Each edit replaces up to four bytes by up to eight; packed again, the damage gets past gzip's checksum."""
    for place, removed, inserted in edits:
        start = round(place * len(content))
        content = content[:start] + inserted + content[start + removed :]
    survives(tmp_path_factory.getbasetemp() / "damaged", gzip.compress(content, 1) if repack else content)

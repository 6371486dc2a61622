"""A user's own file: what is read and what is made of it."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from minivae.datasets import load_dataset, loading
from minivae.files import opening

from .file_bytes import all_rows, idx, load, npy, npz, refuse

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(20, 4, 3), dtype=np.uint8)
FLOATS = RNG.random((20, 5), dtype=np.float32)


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
    with pytest.raises(ValueError, match=r"size: got 10, expected at most the 9 training rows of 'mine.dat'"):
        load(tmp_path, npy(np.zeros((10, 784))), size=10)


@given(
    array=arrays.arrays(
        st.sampled_from(["?", "i1", ">i2", "<u2", ">i4", "<i8", "u8", "u1", "f2", "<f4", ">f4", "<f8", ">f8"]),
        st.tuples(st.integers(2, 5), st.integers(1, 5)),
        elements={"min_value": 0, "max_value": 100, "allow_nan": False, "allow_infinity": False},
    ),
    fortran=st.booleans(),
)
@settings(max_examples=60)
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
        refuse(tmp_path, npy(np.array([[0, 0], [0, value]])), f"train: got {value} at row 1, column 1, expected int")
    refuse(tmp_path, npy(np.full((2, 2), 2**64 - 1, np.uint64)), "integers that float32 can tell apart")


def test_what_is_not_a_file(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"got 'a folder with nothing', expected pictures"):
        load_dataset(tmp_path)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        with pytest.raises(ValueError, match="pipe: is not a regular file"):
            load_dataset(tmp_path / "pipe")
    with pytest.raises(ValueError, match="nowhere: no such file"):
        load_dataset(tmp_path / "nowhere")

    def refuse_to_open(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(opening, "open", refuse_to_open, raising=False)
    refuse(tmp_path, npy(FLOATS), "Permission denied")
    monkeypatch.setattr(Path, "iterdir", refuse_to_open)
    with pytest.raises(ValueError, match=r"cannot be read \(Permission denied\)"):
        load_dataset(tmp_path)


def test_out_of_memory(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(loading, "read_file", exhausted)
    refuse(tmp_path, npy(FLOATS), "does not fit in memory")


def test_a_file_named_like_a_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rings").write_bytes(npy(FLOATS))
    (tmp_path / "mine").write_bytes(npy(FLOATS))
    assert load_dataset("rings").features == 2
    assert load_dataset("./rings").features == load_dataset(tmp_path / "rings").features == 5
    assert load_dataset("mine").features == 5


@pytest.mark.parametrize("header", [b"", b"first,second\n", b'"first","second"\r\n', b"\n\n"])
def test_tables(header, tmp_path):
    (tmp_path / "mine.csv").write_bytes(header + b'1, -2.5e-1\n"3",4\r\n\n.5,+6')
    data = load_dataset(tmp_path / "mine.csv", test_fraction=0.4)
    assert data.train.dtype == np.float64
    rows = {tuple(row) for row in (*data.train, *data.test)}
    assert rows == {(1.0, -0.25), (3.0, 4.0), (0.5, 6.0)}
    assert data.train_labels is None


def test_a_table_with_labels_and_gzip(tmp_path):
    (tmp_path / "Mine.CSV.gz").write_bytes(gzip.compress(b"Label,a,b\n7,1,2\n8,3,4\n9,5,6\n"))
    data = load_dataset(tmp_path / "Mine.CSV.gz")
    rows = [*zip(data.train_labels, data.train, strict=True), *zip(data.test_labels, data.test, strict=True)]
    assert {int(label): tuple(row) for label, row in rows} == {7: (1, 2), 8: (3, 4), 9: (5, 6)}

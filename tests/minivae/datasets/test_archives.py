"""NPZ: which array plays which role; and the axes of arrays."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minivae.datasets import load_dataset

from .dialects import TESTS, N, kmnist, message
from .file_bytes import all_rows, idx, load, npy, npz

RNG = np.random.default_rng(0)
ROWS = RNG.random((12, 5))
MORE = RNG.random((4, 5))
LABELS = np.arange(12) % 3


@pytest.mark.parametrize(
    ("arrays", "options", "refused", "said"),
    [
        ({"X": ROWS, "y": LABELS}, {}, None, "train is 'X', train_labels is 'y'"),
        ({"X": ROWS, "y": LABELS, "X_test": MORE, "y_test": LABELS[:4]}, {}, None, "test is 'X_test'"),
        ({"X": ROWS, "Z": MORE}, {}, None, "'Z' not read"),
        ({"X": ROWS, "y": LABELS, "X_test": ROWS}, {"array": "X_test"}, None, "train is 'X_test', 'X', 'y' not read"),
        ({"x_train": ROWS, "x_test": MORE, "test": MORE}, {}, None, "test is 'x_test', 'test' not read"),
        ({"a": ROWS, "b": MORE}, {"array": "b"}, "array=", "train is 'b', 'a' not read"),
        ({"X": ROWS, "data": MORE}, {"array": "X"}, "array=", "train is 'X'"),
        ({"X": ROWS, "y": LABELS, "labels": LABELS}, {"label": "labels"}, "label=", "train_labels is 'labels'"),
        ({"X": ROWS, "y": LABELS + 0.5}, {"label": ""}, "label=", "'y' not read"),
        ({"X": ROWS, "y": np.array([None] * 12)}, {"label": ""}, "label=", "'y' not read"),
        ({"X": ROWS, "kind": LABELS}, {"label": "kind"}, None, "train_labels is 'kind'"),
        (
            {"x_train": ROWS, "x_test": MORE, "fine_train": LABELS, "fine_test": LABELS[:4]},
            {"label": "fine_train"},
            None,
            "test_labels is 'fine_test'",
        ),
        ({"points": ROWS, "names": LABELS.astype(str)}, {}, None, "train is 'points', 'names' not read"),
    ],
)
def test_roles(arrays, options, refused, said, tmp_path):
    content = npz(**arrays)
    if refused:
        with pytest.raises(ValueError, match=refused) as caught:
            load(tmp_path, content)
        assert len(str(caught.value)) < 400
    data = load(tmp_path, content, **options)
    assert said in data.source
    if "fine" in said:
        assert data.train_labels.tolist() == LABELS.tolist()
        assert data.test_labels.tolist() == LABELS[:4].tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array": "z"}, r"array \(--array\): got 'z', expected another array of 'X' \(12, 5\), 'y' \(12,\)"),
        ({"label": "X"}, r"label \(--labels\): got 'X', expected another array of 'X'"),
        ({"delimiter": ","}, "delimiter: got ',', expected a table"),
        ({"image_shape": (2, 2)}, r"train: image_shape: got \(2, 2\), expected as many values as the 5 of a row"),
        ({"image_shape": (2, 2, 2)}, r"image_shape: got \(2, 2, 2\), expected \(height, width\), "),
        ({"transpose": True}, "transpose: got True, expected images: image_shape= "),
        ({"scale_by": 0}, "scale_by: got 0, expected a finite number above 0"),
        ({"scale_by": 2, "standardize": True}, "expected one of them"),
    ],
)
def test_options_that_do_not_fit(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(tmp_path, npz(X=ROWS, y=LABELS), **options)


@pytest.mark.parametrize("texts", [np.array(["b", "a", "ö"]), np.array([b"b", b"a", "ö".encode()])])
def test_texts_for_labels_are_numbered_in_the_order_of_the_classes(texts, tmp_path):
    data = load(tmp_path, npz(x_train=ROWS, y_train=texts[LABELS], x_test=MORE, y_test=texts[:2][LABELS[:4] % 2]))
    assert data.classes == ("a", "b", "ö")
    assert data.train_labels.tolist() == [[1, 0, 2][label] for label in LABELS]
    assert data.test_labels.tolist() == [[1, 0][label % 2] for label in LABELS[:4]]


def test_texts_that_are_whole_numbers_are_those(tmp_path):
    data = load(tmp_path, npz(x_train=ROWS, y_train=(LABELS * 5).astype(str), x_test=MORE))
    assert (data.train_labels == LABELS * 5).all()
    assert data.classes is None


@given(
    size=st.tuples(st.integers(5, 9), st.integers(2, 9), st.integers(2, 9)),
    colours=st.sampled_from([None, 1, 3]),
    place=st.sampled_from(["first", "last", "rows last", "flat", "flat, first"]),
)
@settings(max_examples=80)
def test_axes(size, colours, place, tmp_path_factory):
    """Whatever the order of the axes: the same rows, read at once or refused and then with the shape of an image."""
    rows, height, width = size
    image = (height, width) if colours in (None, 1) else (height, width, 3)
    values = np.arange(np.prod(size) * (colours or 1), dtype=np.float32).reshape(rows, height, width, colours or 1)
    given_shape = image
    stored = values[..., 0] if colours is None else values
    if place == "first" and colours:
        stored = values.transpose(0, 3, 1, 2)
    elif place == "rows last":
        stored = np.moveaxis(stored, 0, -1)
        if height != width or rows == height:
            return  # rows that lie last are only seen in square images, and as many in a cube cannot be
    elif place == "flat":
        stored = values.reshape(rows, -1)
    elif place == "flat, first" and colours == 3 and width not in (1, 3):
        stored, given_shape = values.transpose(0, 3, 1, 2).reshape(rows, -1), (3, height, width)
    path = tmp_path_factory.getbasetemp() / "axes.npy"
    np.save(path, stored)
    expected = values.reshape(rows, -1)
    refused = message(path, path)
    assert refused is None or "image_shape= (--image-shape)" in refused
    if refused is None and not place.startswith("flat"):
        plain = load_dataset(path)
        assert plain.image_shape == image
        np.testing.assert_array_equal(all_rows(plain), expected)
    told = load_dataset(path, image_shape=given_shape)
    if told.image_shape == image and not (len(set(stored.shape)) < stored.ndim and stored.ndim == 4 and colours == 3):
        np.testing.assert_array_equal(all_rows(told), expected)
    turned = load_dataset(path, image_shape=given_shape, transpose=True)
    assert turned.image_shape == (told.image_shape[1], told.image_shape[0], *told.image_shape[2:])
    upright = turned.train.reshape(-1, *turned.image_shape).swapaxes(1, 2).reshape(len(turned.train), -1)
    np.testing.assert_array_equal(upright, told.train)


def test_what_lies_beside_an_idx_file(tmp_path):
    images = RNG.integers(0, 256, (10, 4, 3), dtype=np.uint8)

    def put(name, array):
        (tmp_path / name).write_bytes(idx(array))

    put("train-images-idx3-ubyte", images)
    train = tmp_path / "train-images-idx3-ubyte"
    assert load_dataset(train).train_labels is None
    put("t10k-images.idx3-ubyte", images)  # another way to write names
    assert load_dataset(train).split
    put("train-labels-idx1-ubyte", np.arange(10, dtype=np.uint8))
    put("t10k-images-idx3-ubyte", images[:3])
    put("t10k-labels-idx1-ubyte", np.arange(3, dtype=np.uint8))
    data = load_dataset(train)
    assert (len(data.train), data.test_labels.tolist(), data.split) == (10, [0, 1, 2], False)
    split = load_dataset(train, test_fraction=0.2)
    assert (len(split.train), len(split.test), split.split) == (8, 2, True)
    assert load_dataset(train, label="").train_labels is None
    assert len(load_dataset(tmp_path / "t10k-images-idx3-ubyte").train) == 2  # a set as any other
    put("train-labels-idx1-ubyte", np.arange(9, dtype=np.uint8))
    with pytest.raises(ValueError, match=r"train_labels: got '9 labels', expected 10, one a row; label= \(--labels\)"):
        load_dataset(train)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(npy(np.arange(10)))
    with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte: got 'another format', expected IDX"):
        load_dataset(train)


def test_what_lies_beside_an_npz_file_of_images(tmp_path):
    for name, content in kmnist().items():
        (tmp_path / name).write_bytes(content)
    data = load_dataset(tmp_path)
    assert (len(data.train), len(data.test), data.name) == (N - TESTS, TESTS, "k49-train-imgs.npz")
    assert len(load_dataset(tmp_path / "k49-test-imgs.npz", label="").train) < TESTS
    (tmp_path / "k49-train-labels.npz").write_bytes(idx(np.arange(9, dtype=np.uint8)))
    with pytest.raises(ValueError, match=r"k49-train-labels.npz: got 'another format', expected NPZ"):
        load_dataset(tmp_path)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    ran = []

    class Bomb:
        def __reduce__(self):
            return ran.append, (1,)

    buffer = io.BytesIO()
    np.savez(buffer, X=ROWS, y=np.array([Bomb()] * 12, object), metadata=np.array(Bomb(), object))
    load(tmp_path, buffer.getvalue(), label="")
    assert not ran

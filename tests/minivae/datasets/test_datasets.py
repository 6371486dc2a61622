"""`Dataset`, `load_dataset`, MNIST and the toy sets."""

import dataclasses
import gzip

import numpy as np
import pytest

from minivae.datasets import Dataset, dataset_names, load_dataset, mnist, toy


@pytest.fixture(scope="module")
def digits():
    return load_dataset("mnist")


def test_mnist_is_the_original(digits):
    assert digits.train.shape == (60_000, 784)
    assert digits.test.shape == (10_000, 784)
    assert digits.train.dtype == digits.test.dtype == np.uint8
    assert digits.features == 784
    assert digits.image_shape == (28, 28)
    # Published per-class counts and pixel statistics of the training set.
    assert np.bincount(digits.train_labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert digits.test_labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]
    scaled = digits.train / np.float32(255)
    assert scaled.mean(dtype=np.float64) == pytest.approx(0.130660, abs=1e-6)
    assert scaled.std(dtype=np.float64) == pytest.approx(0.308108, abs=1e-6)
    assert "LeCun" in digits.source
    assert "CC BY-SA" in digits.source


def test_mnist_size_keeps_the_first_rows(digits):
    few = load_dataset("mnist", size=100)
    np.testing.assert_array_equal(few.train, digits.train[:100])
    np.testing.assert_array_equal(few.train_labels, digits.train_labels[:100])
    assert len(few.test) == 10_000
    with pytest.raises(ValueError, match="size: got 60001, expected at most the 60000 training rows"):
        load_dataset("mnist", size=60_001)


@pytest.mark.parametrize("damage", ["missing", "truncated", "pixel", "garbage"])
def test_mnist_damaged_on_disk(damage, tmp_path, monkeypatch):
    shipped = mnist.resources.files("minivae.datasets") / "mnist"
    (tmp_path / "mnist").mkdir()
    for file in shipped.iterdir():
        (tmp_path / "mnist" / file.name).write_bytes(file.read_bytes())
    target = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    if damage == "missing":
        target.unlink()
    elif damage == "truncated":
        target.write_bytes(target.read_bytes()[:-1])
    elif damage == "garbage":
        target.write_bytes(b"not gzip")
    else:  # a well-formed file that is not the original
        content = bytearray(gzip.decompress(target.read_bytes()))
        content[5000] ^= 1
        target.write_bytes(gzip.compress(content, 1))
    monkeypatch.setattr(mnist.resources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"mnist: the shipped t10k-images.*reinstall"):
        load_dataset("mnist")


@pytest.mark.parametrize("name", ["rings", "moons", "pinwheel"])
def test_toy_sets(name):
    data = load_dataset(name, size=5000, seed=3)
    assert data.train.shape == (5000, 2)
    assert data.test.shape == (500, 2)
    assert data.train.dtype == np.float32
    assert data.train_labels.shape == (5000,)
    assert data.test_labels.shape == (500,)
    assert data.image_shape is None
    np.testing.assert_allclose(data.train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.train.std(axis=0), 5, atol=1e-4)
    # The test rows were moved by the training set's amounts, so they agree only as far as sampling allows.
    assert 5e-4 < np.abs(data.test.mean(axis=0)).max() < 5 * 0.2
    assert load_dataset(name, size=5000, seed=3).fingerprint() == data.fingerprint()
    assert load_dataset(name, size=5000, seed=4).fingerprint() != data.fingerprint()
    assert load_dataset(name).train.shape == (10_000, 2)
    smallest = load_dataset(name, size=2)
    assert (len(smallest.train), len(smallest.test)) == (2, 1)
    for size in (1, 10_000_001):
        with pytest.raises(ValueError, match=f"size: got {size}, expected 2 to 10000000"):
            load_dataset(name, size=size)


def test_rings_labels_are_radii():
    data = load_dataset("rings", size=5000)
    radius = np.hypot(*data.train.T)
    means = np.array([radius[data.train_labels == k].mean() for k in range(3)])
    np.testing.assert_allclose(means / means[0], [1, 2, 3], rtol=0.03)
    assert max(radius[data.train_labels == k].std() for k in range(3)) < 0.12 * means[0]
    angle = np.arctan2(*data.train.T)
    assert np.histogram(angle, 8)[0].min() > 500


def test_moons_lie_on_their_half_circles():
    """Before standardisation, which would absorb most of a misplaced moon."""
    points, labels = toy.TOY_SETS["moons"](np.random.default_rng(0), 3000)
    angle = np.linspace(0, np.pi, 2000)
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    lower = np.stack([1 - np.cos(angle), 0.5 - np.sin(angle)], axis=1)
    for label, arc in enumerate((upper, lower)):
        distance = np.sqrt(((points[labels == label, None] - arc) ** 2).sum(-1)).min(axis=1)
        assert distance.mean() == pytest.approx(0.08 * np.sqrt(2 / np.pi), rel=0.1)  # the mean of |0.08 n|


def test_pinwheel_has_five_blades():
    """Turned back by the formula's angle, every blade is the same narrow ellipse about (1, 0)."""
    data = load_dataset("pinwheel", size=20_000)
    counts = np.bincount(data.train_labels)
    assert len(counts) == 5
    assert counts.min() > 3700
    # By symmetry the set is isotropic: one scale for both features, E[x^2 + y^2] = 1 + 0.3^2 + 0.1^2.
    points = data.train / 5 * np.sqrt(1.10 / 2)
    radius = np.hypot(*points.T)
    angle = np.arctan2(points[:, 1], points[:, 0]) - 2 * np.pi / 5 * data.train_labels - np.exp(radius) / 4
    angle = (angle + np.pi) % (2 * np.pi) - np.pi
    across = angle * radius
    for blade in range(5):
        rows = (data.train_labels == blade) & (radius > 0.7)
        assert abs(across[rows].mean()) < 0.02
        assert across[rows].std() == pytest.approx(0.1, rel=0.1)


def test_arrays_are_read_only_and_contiguous(digits):
    rows = np.asfortranarray(np.random.default_rng(0).random((6, 4)))
    data = Dataset("mine", rows, rows[:2], np.arange(6), np.arange(2))
    for array in (data.train, data.test, data.train_labels, data.test_labels, digits.train, digits.train_labels):
        assert not array.flags.writeable
        assert array.flags.c_contiguous
    assert rows.flags.writeable  # the caller's array is not frozen with it
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.train = rows


def test_fingerprint_covers_values_shape_dtype_and_split():
    rows = np.arange(12, dtype=np.float32).reshape(6, 2)

    def fingerprint(train, test):
        return Dataset("any", train, test).fingerprint()

    reference = fingerprint(rows[:4], rows[4:])
    assert reference == fingerprint(rows[:4].copy(), rows[4:].copy())
    assert len(reference) == 64
    changed = rows.copy()
    changed[5, 1] += 1
    others = [
        fingerprint(changed[:4], changed[4:]),
        fingerprint(rows[:5], rows[5:]),
        fingerprint(rows[:4].reshape(2, 4), rows[4:].reshape(1, 4)),
        fingerprint(rows[:4].astype(np.float64), rows[4:].astype(np.float64)),
        fingerprint(rows[4:], rows[:4]),
    ]
    assert len({reference, *others}) == 6


ROWS = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"test": np.zeros((2, 2), np.float32)}, r"d: test: got .* \(2, 2\), expected 3 features per row"),
        ({"test": np.zeros((2, 3))}, "got 'float32 and float64', expected uint8, float32 or float64, the same in both"),
        ({"train": np.zeros((2, 3), int), "test": np.zeros((2, 3), int)}, "d: train and test: got .* expected uint8"),
        ({"train": np.full((4, 3), np.nan, np.float32)}, "d: train: got nan at row 0, column 0, expected finite"),
        ({"train_labels": np.arange(3)}, "d: train_labels: got '3 labels', expected 4, one a row"),
        ({"test_labels": np.full(4, 0.5)}, "d: test_labels: got 0.5 at row 0, .*, expected whole numbers"),
        ({"test_labels": [0, 1, 2, np.nan]}, "d: test_labels: got nan at row 3, .*, expected whole numbers"),
        ({"test_labels": ["a", "b", "c", "d"]}, "test_labels: got <U1 .* number the classes by numpy.unique"),
        ({"test_labels": np.ma.array([0, 1, 2, 3], mask=[0, 0, 1, 0])}, r"1 masked value\(s\), the first at \[2\]"),
        ({"test": np.ma.array(np.zeros((2, 3), np.float32), mask=[[0, 0, 0], [0, 1, 0]])}, r"the first at \[1, 1\]"),
        ({"train_labels": np.full(4, 2**63, np.uint64)}, "got 9223372036854775808, expected at most"),
        ({"image_shape": (2, 2)}, r"image_shape: got \(2, 2\), expected height \* width = 3 features"),
    ],
)
def test_dataset_refuses(fields, message):
    with pytest.raises(ValueError, match=message):
        Dataset(**{"name": "d", "train": ROWS, "test": ROWS, **fields})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name_or_path": "mnits"}, "data set: got 'mnits', expected one of mnist, rings, moons, pinwheel"),
        ({"name_or_path": "no/such.npy"}, r"such.npy: no such file: 'no/such.npy'"),
        ({"name_or_path": "such.npy"}, "such.npy: no such file"),
        ({"name_or_path": ""}, "name_or_path: got '', expected a data set's name or a path"),
        ({"name_or_path": "a\0b"}, "expected a data set's name or a path"),
        ({"name_or_path": "x" * 5000 + ".npy"}, "damaged or unreadable"),
        ({"name_or_path": None}, "name_or_path: got None, expected a data set's name or a path"),
        ({"name_or_path": "rings", "seed": -1}, "seed: got -1, expected a whole number of at least 0"),
        ({"name_or_path": "rings", "seed": 0.5}, "seed: got 0.5, expected a whole number"),
        ({"name_or_path": "rings", "size": True}, "size: got True, expected a whole number of at least 1"),
        ({"name_or_path": "mnist", "size": 0}, "size: got 0, expected a whole number of at least 1"),
        ({"name_or_path": "rings", "test_fraction": 1}, "test_fraction: got 1, expected a number between 0 and 1"),
        ({"name_or_path": "rings", "test_fraction": float("nan")}, "test_fraction: got nan"),
        ({"name_or_path": "rings", "test_fraction": "0.1"}, "test_fraction: got '0.1'"),
    ],
)
def test_load_dataset_refuses(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_dataset(**arguments)
    assert "\n" not in str(caught.value)


def test_names():
    assert dataset_names == ("mnist", "rings", "moons", "pinwheel")

"""What values are taken for: pixels or numbers, whatever the dtype and the layout that people share; and labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv
from minivae import plotting
from minivae.datasets import Dataset
from minivae.evaluation.held_out import Evaluator

from .file_bytes import all_rows, load, npy, npz

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (50, 6, 5), dtype=np.uint8)
IMAGES[0, 0, :2] = 0, 255
BINARY = (IMAGES > 127).astype(np.uint8)
LABELS = RNG.integers(0, 10, 50)


def assert_rows(data, values, dtype):
    expected = values.reshape(len(values), -1)
    assert data.train.dtype == data.test.dtype == dtype
    np.testing.assert_array_equal(all_rows(data), expected[np.lexsort(expected.T)])


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:10], "y_test": LABELS[:10]}, "train is 'x_train'"),
        (
            {"train_images": IMAGES, "val_images": IMAGES, "test_images": IMAGES[:10], "train_labels": LABELS[:, None]},
            "",
        ),
        ({"train": IMAGES, "train_labels": LABELS.astype(float), "test": IMAGES[:10]}, "mine.dat"),
        ({"imgs": IMAGES, "latents_values": np.zeros((50, 6)), "metadata": np.array({}, object)}, "train is 'imgs'"),
    ],
)
def test_layouts_that_people_share(arrays, said, tmp_path):
    data = load(tmp_path, npz(**arrays))
    assert said in data.source
    assert data.image_shape == (6, 5)
    if "imgs" in arrays:
        assert_rows(data, IMAGES, np.uint8)
        assert data.source.endswith("'latents_values', 'metadata' not read")
        return
    np.testing.assert_array_equal(data.train, IMAGES.reshape(50, 30))
    np.testing.assert_array_equal(data.test, IMAGES[:10].reshape(10, 30))
    assert (data.train_labels == LABELS).all()
    assert ("'val_images' not read" in data.source) == ("val_images" in arrays)


@pytest.mark.parametrize("shape", [(50, 6, 5, 1), (50, 1, 6, 5)])
def test_one_channel(shape, tmp_path):
    data = load(tmp_path, npy(IMAGES.reshape(shape)))
    assert data.image_shape == (6, 5)
    assert_rows(data, IMAGES, np.uint8)


def test_bytes_of_zeros_and_ones_are_no_pixels(tmp_path):
    data = load(tmp_path, npy(BINARY))
    assert_rows(data, BINARY, np.float32)
    assert "0 and 1, taken as they are" in data.source
    both = load(tmp_path, npz(train=BINARY, test=BINARY[:5]))
    assert both.train.dtype == both.test.dtype == np.float32
    for train, test in ((BINARY, IMAGES), (BINARY, BINARY[:5] * 255)):
        with pytest.raises(ValueError, match=r"mine.dat: got .* expected 0 and 1 in both, or pixels"):
            load(tmp_path, npz(train=train, test=test))
    blank = load(tmp_path, npz(train=IMAGES, test=BINARY[:5]))  # dark test images of bright ones
    assert blank.train.dtype == blank.test.dtype == np.uint8
    assert load(tmp_path, npy(BINARY * 255)).train.dtype == np.uint8
    assert load(tmp_path, npy(BINARY * 0)).train.dtype == np.uint8


@given(
    dtype=st.sampled_from(["i2", "i4", ">i8", "u2", "u8", "f2", "f4", ">f8"]),
    shape=st.sampled_from([(20, 4, 3), (20, 784), (20, 16), (20, 15)]),
    edge=st.sampled_from([None, -1, 256, 0.5]),
    seed=st.integers(0, 99),
)
@settings(max_examples=60)
def test_whole_numbers_from_0_to_255_are_pixels(dtype, shape, edge, seed, tmp_path_factory):
    """Where both ends are there and no other number is, in an image or a long row."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, shape).astype(dtype)
    values.flat[:2] = 0, 255
    if edge is not None and np.array(edge).astype(dtype) == edge:
        values.flat[int(rng.integers(2, values.size))] = edge
    pixels = shape[1:] != (15,) and values.min() == 0 and values.max() == 255 and (values == np.floor(values)).all()
    data = load(tmp_path_factory.getbasetemp(), npy(values))
    kept = {"f4": np.float32, "f8": np.float64}.get(dtype[-2:], np.float32)
    assert_rows(data, values, np.uint8 if pixels else kept)
    assert ("taken for pixels" in data.source) == pixels


def test_other_whole_numbers_stay(tmp_path):
    digits = (IMAGES // 16).astype(np.int64)  # as those of scikit-learn, from 0 to 15
    assert_rows(load(tmp_path, npy(digits)), digits, np.float32)
    assert_rows(load(tmp_path, npz(train=IMAGES, test=IMAGES[:5].astype(int))), np.r_[IMAGES, IMAGES[:5]], np.uint8)


@pytest.mark.parametrize(
    "form", [list, tuple, lambda x: x[:, None], lambda x: x.astype(float), lambda x: x > 4, np.ma.array]
)
def test_labels_in_any_form(form):
    rows = np.zeros((50, 3), np.float32)
    data = Dataset("d", rows, rows, form(LABELS), form(LABELS))
    for labels in (data.train_labels, data.test_labels):
        assert labels.dtype == np.int64
        np.testing.assert_array_equal(labels, np.asarray(form(LABELS)).reshape(-1))


def trained(values):
    model = mv.VAE(30, 2, (8,), backend="numpy", seed=1)
    history = mv.fit(model, values, validation=values[:20], epochs=2, seed=1, progress=False)
    return history["validation_loss"], model.elbo(values[:20]).tolist()


def test_zeros_and_ones_train_alike_whatever_holds_them(tmp_path):
    """As files of bytes, booleans, integers and floats; an array of such bytes is refused, whole or much of it."""
    binary = (RNG.random((60, 30)) < 0.3).astype(np.uint8)
    kinds = (np.uint8, np.bool_, np.float32, np.int64)
    files = [load(tmp_path, npz(train=binary.astype(kind), test=binary[:2].astype(kind))).train for kind in kinds]
    reference, *others = [trained(values) for values in (*files, binary * 255, binary.tolist())]
    assert all(other == reference for other in others)
    model = mv.VAE(30, 2, (8,), backend="numpy")
    for use in (
        lambda: mv.fit(model, binary),
        lambda: mv.fit(model, binary[:2]),
        lambda: mv.fit(model, binary.astype(float), validation=binary[:2]),
        lambda: model.elbo(binary),
    ):
        with pytest.raises(
            ValueError, match=r"(train|validation|x): got 'uint8 of 0 and 1 only', expected .* 0 and 1 as they are"
        ):
            use()
    dark = np.zeros((2, 30), np.uint8)
    dark[0, 0] = 1
    assert np.isfinite(model.elbo(dark)).all()  # a picture may be so dark, a data set not
    mv.fit(model, dark * 0, epochs=1, progress=False)


MASKED = np.ma.array(RNG.random((8, 3), dtype=np.float32), mask=np.eye(8, 3) > 0)


@pytest.mark.parametrize(
    "use",
    [
        lambda model: mv.fit(model, MASKED),
        lambda model: mv.fit(model, MASKED.data, validation=MASKED),
        lambda model: mv.fit(model, list(MASKED)),
        lambda model: Evaluator(model, MASKED),
        lambda model: model.forward(MASKED),
        lambda model: model.forward(MASKED.data, noise=np.ma.array(np.zeros((8, 2), "f4"), mask=np.eye(8, 2) > 0)),
        lambda model: model.encode(MASKED),
        lambda model: model.decode(np.ma.array(np.zeros((8, 2), "f4"), mask=np.eye(8, 2) > 0)),
        lambda model: model.reconstruct(tuple(MASKED)),
        lambda model: model.log_likelihood(MASKED, samples=2),
        lambda model: model.parameters.__setitem__("likelihood.bias", MASKED[0]),
        lambda model: Dataset("d", MASKED, MASKED),
        lambda model: Dataset("d", MASKED.data, MASKED.data, np.ma.array(np.arange(8), mask=np.arange(8) == 3)),
        lambda model: plotting.plot_latent(MASKED, np.ma.array(np.arange(8), mask=np.arange(8) == 3)),
        lambda model: plotting.plot_latent(MASKED.data, np.ma.array(np.arange(8), mask=np.arange(8) == 3)),
    ],
)
def test_masked_entries_are_refused_wherever_arrays_come_in(use):
    model = mv.VAE(3, 2, (4,), likelihood="gaussian", backend="numpy")
    with pytest.raises(ValueError, match=r"got \d masked value\(s\), the first at \[.*\], expected none: fill them"):
        use(model)


def test_a_mask_that_hides_nothing_passes():
    model = mv.VAE(3, 2, (4,), likelihood="gaussian", backend="numpy")
    assert (model.elbo(np.ma.array(MASKED.data)) == model.elbo(MASKED.data)).all()

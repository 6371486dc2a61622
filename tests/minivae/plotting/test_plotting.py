"""Pictures: every variant is drawn without a warning (warnings are errors here), and says what it should."""

import os
import subprocess
import sys
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from PIL import Image

from minivae import plotting
from minivae.plotting import colouring, history, images, points, style

from ...together import together


def rng():
    return np.random.default_rng(7)


def make_history(epochs, *, validation=True, **columns):
    epoch = np.arange(1, epochs + 1)
    kl = 25 - 6 / epoch
    table = {"epoch": epoch, "train_loss": 100 + 60 / epoch**1.5, "train_kl": kl}
    table["train_nll"] = table["train_loss"] - kl
    if validation:
        table |= {name.replace("train", "validation"): values + 1 for name, values in table.items() if name != "epoch"}
    return {name: values.tolist() for name, values in table.items()} | columns


def texts(figure):
    from matplotlib.text import Text

    return "\n".join(text.get_text() for text in figure.findobj(Text))


def decode_png(path):
    """Width, height and the number of distinct bytes of a PNG, every chunk of it checked."""
    with Image.open(path, formats=["PNG"]) as image:
        image.verify()
    with Image.open(path, formats=["PNG"]) as image:
        return *image.size, len(set(image.tobytes()))


def cases():
    toy, labels = rng().normal(size=(60, 2)), np.arange(60) % 3
    mu20, sigma20 = rng().normal(size=(50, 20)), rng().uniform(0.1, 1, size=(50, 20))
    grid = plotting.manifold_grid(4)
    unit = rng().random((64, 12))
    constant = {name: [5.0] * 5 for name in make_history(1)} | {"epoch": [1, 2, 3, 4, 5]}
    yield "samples", lambda p: plotting.plot_samples(unit, (3, 4), p, subtitle="after 3 epochs")
    yield "colours", lambda p: plotting.plot_samples(unit, (2, 2, 3), p)
    yield "colours beside each other", lambda p: plotting.plot_reconstructions(unit[:5], unit[5:10], (2, 2, 3), p)
    yield "large colours", lambda p: plotting.plot_samples(rng().random((2, 1400 * 700 * 3)), (1400, 700, 3), p)
    yield "one sample", lambda p: plotting.plot_samples(unit[:1], (4, 3), p)
    yield "real values", lambda p: plotting.plot_samples(rng().normal(size=(7, 12)), (2, 6), p)
    yield "constant images", lambda p: plotting.plot_samples(np.full((5, 4), -3.0), (2, 2), p)
    yield "bytes", lambda p: plotting.plot_samples(np.full((2, 4), 255, np.uint8), (2, 2), p)
    yield "large images", lambda p: plotting.plot_samples(rng().random((4, 1400 * 700)), (1400, 700), p)
    terms = {"nll": np.arange(23.0), "kl": np.ones(23)}
    yield "reconstructions", lambda p: plotting.plot_reconstructions(unit[:23], unit[23:46], (3, 4), p, **terms)
    yield "one reconstruction", lambda p: plotting.plot_reconstructions(unit[:1], unit[1:2], (12, 1), p, kl=[3.0])
    yield "points", lambda p: plotting.plot_points(toy, toy + 0.1, toy[:9], labels, p)
    yield "points by density", lambda p: plotting.plot_points(rng().normal(size=(600, 2)), path=p)
    yield "points by number", lambda p: plotting.plot_points(toy, None, toy, np.linspace(0, 1, 60), p)
    yield "constant points", lambda p: plotting.plot_points(np.ones((600, 2)), np.ones((600, 2)), path=p)
    yield "profiles", lambda p: plotting.plot_profiles(unit[:4], unit[4:8], p, nll=np.ones(4))
    yield "one profile", lambda p: plotting.plot_profiles(np.zeros((1, 1)), np.zeros((1, 1)), p)
    more = {"active_units": list(range(10)), "learning_rate": [1e-3] * 10, "examples_per_second": [5e4] * 10}
    yield "history", lambda p: plotting.plot_history(make_history(10, **more), p)
    yield "one epoch", lambda p: plotting.plot_history(make_history(1, active_units=[3]), p, beta=4)
    yield "many epochs", lambda p: plotting.plot_history(make_history(100, validation=False), p)
    yield "constant history", lambda p: plotting.plot_history(constant, p)
    whole = {"sigma": np.full((60, 2), 0.2), "decoded": rng().random((16, 6)), "image_shape": (2, 3)}
    yield "latent 2", lambda p: plotting.plot_latent(toy, labels, p, **whole)
    for count in (26, 100):
        many = np.arange(600) % count
        spread = np.stack([np.cos(many), np.sin(many)], 1) + 0.1 * rng().normal(size=(600, 2))
        yield f"latent 2 of {count}", lambda p, s=spread, m=many: plotting.plot_latent(s, m, p)
        yield f"latent 1 of {count}", lambda p, s=spread, m=many: plotting.plot_latent(s[:, :1], m, p)
        yield f"points of {count}", lambda p, s=spread, m=many: plotting.plot_points(s, s, s[:50], m, p)
    yield "latent 1 numbers", lambda p: plotting.plot_latent(mu20[:, :1], np.linspace(0, 1, 50), p)
    yield "latent 2 toy", lambda p: plotting.plot_latent(toy, labels, p, decoded=grid**2, data=toy)
    yield "latent 2 density", lambda p: plotting.plot_latent(rng().normal(size=(600, 2)), None, p)
    yield "latent 2 numbers", lambda p: plotting.plot_latent(toy, np.arange(60), p)
    yield "latent 2 collapsed", lambda p: plotting.plot_latent(np.zeros((600, 2)), np.arange(600) % 10, p)
    yield "latent 20", lambda p: plotting.plot_latent(mu20, labels[:50], p, sigma=sigma20)
    yield "latent 20 means", lambda p: plotting.plot_latent(mu20, None, p)
    yield "latent 1", lambda p: plotting.plot_latent(mu20[:, :1], labels[:50], p)
    yield "latent 1 bare", lambda p: plotting.plot_latent(np.zeros((1, 1)), None, p)


@pytest.mark.parametrize("draw", [pytest.param(draw, id=name) for name, draw in cases()])
def test_every_picture_is_a_whole_png_of_the_stated_size(draw, tmp_path):
    path = tmp_path / "picture.png"
    figure = draw(path)
    width, height, tones = decode_png(path)
    assert (width, height) == tuple(np.rint(figure.get_size_inches() * style.DPI))
    assert tones > 20
    assert os.listdir(tmp_path) == ["picture.png"]


def test_matplotlib_is_loaded_by_the_first_picture_and_pyplot_never():
    script = """
import sys
import minivae.plotting
assert "matplotlib" not in sys.modules
minivae.plotting.plot_samples([[0.0]], (1, 1))
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_pictures_can_be_drawn_in_threads(tmp_path):
    together(lambda index: plotting.plot_history(make_history(5), tmp_path / "same.png", title=f"run {index}"))
    assert decode_png(tmp_path / "same.png")
    assert os.listdir(tmp_path) == ["same.png"]


# --- content ---


def test_manifold_grid_is_the_inverse_normal_distribution_of_the_cell_centres():
    size = 7
    grid = plotting.manifold_grid(size)
    assert grid.shape == (size * size, 2)
    for k in range(size):
        for i in range(size):
            expected = [NormalDist().inv_cdf((cell + 0.5) / size) for cell in (i, k)]
            np.testing.assert_array_equal(grid[k * size + i], expected)
    np.testing.assert_array_equal(plotting.manifold_grid(1), [[0.0, 0.0]])
    with pytest.raises(ValueError, match="size"):
        plotting.manifold_grid(0)


def test_the_manifold_shows_the_first_latent_to_the_right_and_the_second_upwards():
    grid = plotting.manifold_grid(3)
    # One picture element an image: brightness grows with the first latent, and ten times as fast with the second.
    decoded = (grid[:, :1] + 10 * grid[:, 1:]) / 40 + 0.5
    figure = plotting.plot_latent(grid, decoded=decoded, image_shape=(1, 1))
    (picture,) = (image.get_array() for axes in figure.axes for image in axes.images)
    assert np.all(np.diff(picture.astype(int), axis=1) > 0)
    assert np.all(np.diff(picture.astype(int), axis=0) < 0)


def test_a_sheet_is_drawn_in_strips_that_need_little_memory(tmp_path):
    tiles = rng().random((64, 784))
    plotting.plot_samples(tiles[:1], (28, 28), tmp_path / "first.png")  # imports, fonts
    tracemalloc.start()
    figure = plotting.plot_samples(tiles, (28, 28), tmp_path / "samples.png")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the sheet is 2.5 MB; drawn as one image it took 99 MB
    assert peak < 20e6
    strips = [image.get_array() for image in figure.axes[-1].images]
    scale = images.whole_scale(28, 8, 1040, 8 * 28, 1200)
    sheet = images.mosaic(images.gray_levels(tiles.reshape(-1, 28, 28), (0, 1)), 8, scale)
    np.testing.assert_array_equal(np.concatenate(strips), sheet)


def test_tiles_lie_row_by_row_and_keep_their_grey_levels():
    tiles = np.arange(6, dtype=float).reshape(6, 1, 1) / 5
    sheet = images.mosaic(images.gray_levels(tiles, (0.0, 1.0)), columns=3, scale=4, gap=2)
    assert sheet.shape == (2 * 6 + 2, 3 * 6 + 2, 3)
    np.testing.assert_array_equal(sheet[3::6, 3::6, 0], [[0, 51, 102], [153, 204, 255]])
    np.testing.assert_array_equal(sheet[:2], images.SEPARATOR)


def test_colours_keep_their_place():
    """Red, green and blue are the last axis of a row; a picture is in them, whatever its scale."""
    tiles = np.zeros((2, 4, 4, 3))
    tiles[0, ..., 0] = tiles[1, ..., 2] = 1
    for scale in (3, 0.5):
        sheet = images.mosaic(images.gray_levels(tiles, (0.0, 1.0)), columns=2, scale=scale)
        assert sheet[3, 3].tolist() == [255, 0, 0]
        assert sheet[3, -4].tolist() == [0, 0, 255]
    for shape in ((2, 2), (2, 2, 3)):
        with pytest.raises(ValueError, match=r"images: got .* of shape \(2, 16\), expected .* features per row"):
            plotting.plot_samples(np.zeros((2, 16)), shape)
    with pytest.raises(ValueError, match=r"image_shape: got \(2, 2, 4\), expected \(height, width\)"):
        plotting.plot_samples(np.zeros((2, 16)), (2, 2, 4))


def test_features_in_units_far_apart_have_scales_of_their_own():
    cloud = rng().normal(size=(50, 2)) * [1, 1000]
    for wide in (plotting.plot_points(cloud), plotting.plot_points(samples=cloud)):
        axes = wide.axes[0]
        assert axes.get_aspect() == "auto"
        assert np.diff(axes.get_xlim()) < 10
        assert np.diff(axes.get_ylim()) > 1000
    assert plotting.plot_points(cloud / [1, 500]).axes[0].get_aspect() == 1


@pytest.mark.parametrize(("count", "height", "width", "columns"), [(64, 28, 28, 8), (1, 5, 5, 1), (12, 10, 30, 2)])
def test_the_grid_is_near_square_on_the_page(count, height, width, columns):
    assert images.grid_columns(count, height, width) == columns


def test_values_outside_the_unit_interval_are_scaled_and_the_scale_is_stated():
    values = np.linspace(-2, 2, 400).reshape(100, 4)
    assert "black -1.98 to white 1.98" in texts(plotting.plot_samples(values, (2, 2)))
    assert "black" not in texts(plotting.plot_samples(values / 4 + 0.5, (2, 2)))


def test_nats_are_written_under_each_pair():
    unit = rng().random((3, 4))
    said = texts(plotting.plot_reconstructions(unit, unit, (2, 2), nll=[81.26, 82.5, 90.0], kl=[20.12, 3.0, 4.0]))
    assert {"81.3", "82.5", "90.0", "20.1", "nll, nats", "KL, nats"} <= set(said.split("\n"))


def test_the_first_epoch_does_not_squash_the_rest_and_is_named():
    loss = [500.0, 110, 108, 106, 105, 104, 103, 102]
    table = {"epoch": range(1, 9), "train_loss": loss, "train_nll": loss, "train_kl": [1.0] * 8}
    figure = plotting.plot_history(table)
    low, high = figure.axes[0].get_ylim()
    assert 100 < low < 102
    assert 110 < high < 112
    assert "above the frame:\ntrain, epoch 1: 500.0" in texts(figure)
    assert history.frame([np.array([4.0, 3.0, 2.0, 1.5, 1.2])]) == pytest.approx((1.032, 4.168))


def test_history_states_beta_final_values_and_the_best_epoch():
    table = make_history(3)
    table["validation_loss"] = [120.0, 110.25, 112.5]
    said = texts(plotting.plot_history(table, beta=4))
    assert "Loss = nll + 4 KL" in said
    assert "validation\n112.5" in said
    assert "lowest validation loss 110.2 at epoch 2" in said
    assert "Loss = nll + KL (negative ELBO)" in texts(plotting.plot_history(table))
    assert "Loss = nll + beta KL" in texts(plotting.plot_history(table | {"beta": [0.1, 0.5, 1.0]}))


def test_history_draws_what_was_measured_where_values_are_missing():
    table = make_history(6) | {"validation_kl": [None] * 6, "train_nll": [float("nan")] * 6}
    table["validation_loss"] = [130.0, None, 120.0, None, 110.0, float("nan")]
    figure = plotting.plot_history(table)
    measured = figure.axes[0].lines[1]
    np.testing.assert_array_equal(measured.get_xdata(), [1, 3, 5])
    assert "train: no finite value" in texts(figure)
    assert "validation\n110.0" in texts(figure)


def test_latents_are_ranked_by_kl_and_the_active_ones_counted():
    mu = rng().normal(size=(500, 5)) * np.array([0.01, 1.0, 0.0, 2.0, 0.5])
    sigma = np.full((500, 5), 0.5)
    figure = plotting.plot_latent(mu, sigma=sigma)
    scatter, bars = figure.axes
    assert (scatter.get_xlabel(), scatter.get_ylabel()) == ("latent 3", "latent 1")
    assert [tick.get_text() for tick in bars.get_xticklabels()] == ["3", "1", "4", "0", "2"]
    kl = 0.5 * (mu**2).mean(axis=0) + 0.5 * (0.5**2 - 1) - np.log(0.5)
    np.testing.assert_allclose([bar.get_height() for bar in bars.patches], np.sort(kl)[::-1])
    assert "3 of 5 active" in texts(figure)
    assert "1 of 5 active" in texts(plotting.plot_latent(mu, kl_per_latent=range(5), active=[False] * 4 + [True]))


def test_classes_keep_their_colours_when_some_are_missing():
    assert colouring.class_colours(np.array([3.0, 9.0])) == [style.CLASS_COLOURS[3], style.CLASS_COLOURS[9]]
    assert len(set(style.CLASS_COLOURS)) == 10
    assert len(colouring.classes_of(np.arange(100))) == 100
    assert colouring.classes_of(np.arange(101)) is None
    assert colouring.classes_of(np.arange(1234560, 1234563)) is None
    for count in (11, 26, 100):
        assert len(set(colouring.class_colours(np.arange(count)))) == count
    assert colouring.classes_of(np.array([0.5, 1.0])) is None


def test_class_labels_are_pushed_apart():
    placed = colouring.apart(np.zeros((10, 2)), 0.3)
    distance = np.hypot(*(placed[:, None] - placed[None]).transpose(2, 0, 1)) + np.eye(10)
    assert distance.min() > 0.29
    np.testing.assert_allclose(placed.mean(axis=0), 0, atol=1e-6)


def test_long_names_of_classes_take_no_more_room():
    means = rng().normal(size=(60, 2))
    short, long = (plotting.plot_latent(means, labels=np.arange(60) % 12 + first) for first in (10, 1000))
    sizes = [{t.get_fontsize() for t in f.axes[0].texts if t.get_bbox_patch()} for f in (short, long)]
    assert min(sizes[1]) == pytest.approx(0.65 * min(sizes[0]))


def test_class_labels_stay_in_the_frame():
    for corner in ((1, 1), (0, 1), (3, -3)):
        placed = colouring.apart(np.tile(np.array(corner, float), (100, 1)), 0.08, np.full(2, -1), np.full(2, 1))
        distance = np.hypot(*(placed[:, None] - placed[None]).transpose(2, 0, 1)) + np.eye(100)
        assert np.abs(placed).max() < 1 + 1e-6
        assert distance.min() > 0.06


def test_far_outliers_do_not_set_the_frame():
    cloud = np.concatenate([rng().normal(size=(5000, 2)), [[1e4, 0.0], [0.0, -1e4]]])
    low, high = points.frame_limits([cloud])
    assert np.all(high - low < 20)
    assert "2 outside the frame" in texts(plotting.plot_points(cloud))


@pytest.mark.parametrize(
    ("value", "label"), [(0.0, "0.000"), (123.456, "123.5"), (-1.5, "-1.500"), (4e-7, "4e-07"), (25.049, "25.05")]
)
def test_numbers_are_short(value, label):
    assert style.number(value) == label


# --- refusals ---


UNIT = np.full((4, 6), 0.5)
MU = np.zeros((4, 2))


@pytest.mark.parametrize("latents", [1, 2, 5])
def test_a_posterior_too_narrow_for_its_dtype_is_drawn(latents, tmp_path):
    """sigma is then 0 in float32; its KL is finite all the same, some hundred nats for each latent."""
    mu = np.random.default_rng(0).standard_normal((30, latents)).astype(np.float32)
    sigma = np.full_like(mu, 0.5)
    sigma[3:] = 0
    figure = plotting.plot_latent(mu, sigma=sigma, path=tmp_path / "latent.png")
    heights = [
        bar.get_height() for axes in figure.axes for bar in axes.patches if latents > 2 and hasattr(bar, "get_height")
    ]
    assert np.isfinite(heights).all()
    assert latents < 3 or 50 < max(heights) < 200


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("images", lambda: plotting.plot_samples(UNIT, (2, 2))),
        ("images", lambda: plotting.plot_samples(UNIT[0], (2, 3))),
        ("images", lambda: plotting.plot_samples(np.zeros((0, 6)), (2, 3))),
        ("images", lambda: plotting.plot_samples(UNIT * np.nan, (2, 3))),
        ("images", lambda: plotting.plot_samples([["a"]], (1, 1))),
        ("image_shape", lambda: plotting.plot_samples(UNIT, (2, 3, 1))),
        ("image_shape", lambda: plotting.plot_samples(UNIT, (-2, -3))),
        ("reconstructions", lambda: plotting.plot_reconstructions(UNIT, UNIT[:3], (2, 3))),
        ("nll", lambda: plotting.plot_reconstructions(UNIT, UNIT, (2, 3), nll=[1.0])),
        ("data", lambda: plotting.plot_points(UNIT)),
        ("samples", lambda: plotting.plot_points(MU, samples=UNIT)),
        ("labels", lambda: plotting.plot_points(MU, labels=[1])),
        ("reconstructions", lambda: plotting.plot_profiles(UNIT, MU)),
        ("history", lambda: plotting.plot_history({"epoch": [1]})),
        ("history", lambda: plotting.plot_history(make_history(2, active_units=[1]))),
        ("history", lambda: plotting.plot_history(make_history(2) | {"epoch": [2, 1]})),
        ("history", lambda: plotting.plot_history(make_history(1) | {"train_kl": ["much"]})),
        ("mu", lambda: plotting.plot_latent(np.zeros(4))),
        ("labels", lambda: plotting.plot_latent(MU, ["a", "b", "c", "d"])),
        ("sigma", lambda: plotting.plot_latent(MU, sigma=MU - 1)),
        ("sigma", lambda: plotting.plot_latent(MU, sigma=UNIT)),
        ("kl_per_latent", lambda: plotting.plot_latent(MU, kl_per_latent=[1.0])),
        ("active", lambda: plotting.plot_latent(MU, active=[True])),
        ("decoded", lambda: plotting.plot_latent(MU, decoded=UNIT[:3], image_shape=(2, 3))),
        ("decoded", lambda: plotting.plot_latent(MU, decoded=UNIT)),
        ("decoded", lambda: plotting.plot_latent(UNIT, decoded=UNIT, image_shape=(2, 3))),
        ("path", lambda: plotting.plot_samples(UNIT, (2, 3), "samples.pdf")),
    ],
)
def test_wrong_arguments_are_named(name, draw):
    with pytest.raises(ValueError, match=rf"^{name}: ") as caught:
        draw()
    assert "\n" not in str(caught.value)


def test_a_path_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(OSError, match=r"^path: cannot write .*its folder does not exist$"):
        plotting.plot_samples(UNIT, (2, 3), tmp_path / "missing" / "a.png")
    (tmp_path / "b.png").mkdir()
    with pytest.raises(OSError, match=r"^path: cannot write .*it is a folder$"):
        plotting.plot_samples(UNIT, (2, 3), tmp_path / "b.png")


def test_a_failed_write_leaves_the_old_picture_and_no_debris(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def refuse(source, target):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match=r"^path: cannot write .*a\.png: Permission denied$"):
        plotting.plot_samples(UNIT, (2, 3), path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]

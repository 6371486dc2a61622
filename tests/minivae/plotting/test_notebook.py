"""Pictures in a notebook: they show themselves, and those of one panel are drawn in axes of the caller's."""

import io
import pickle

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from minivae import plotting
from minivae.plotting import style
from minivae.selfcheck.picture import draw_steps

from .test_plotting import make_history

UNIT = np.random.default_rng(7).random((60, 12))
POINTS = np.random.default_rng(8).normal(size=(60, 2))
LABELS = np.arange(60) % 3
ONE_PANEL = {
    "samples": lambda **how: plotting.plot_samples(UNIT, (3, 4), **how),
    "samples of reals": lambda **how: plotting.plot_samples(9 * UNIT - 4, (3, 4), **how),
    "reconstructions": lambda **how: plotting.plot_reconstructions(UNIT[:8], UNIT[8:16], (3, 4), nll=LABELS[:8], **how),
    "points": lambda **how: plotting.plot_points(POINTS, labels=LABELS, **how),
    "points by number": lambda **how: plotting.plot_points(POINTS, labels=UNIT[:, 0], **how),
    "samples of points": lambda **how: plotting.plot_points(samples=POINTS, **how),
    "profile": lambda **how: plotting.plot_profiles(UNIT[:1], UNIT[1:2], **how),
    "latent 1": lambda **how: plotting.plot_latent(POINTS[:, :1], LABELS, **how),
    "latent 2": lambda **how: plotting.plot_latent(POINTS, LABELS, **how),
}
SEVERAL = {
    "points and reconstructions": lambda **how: plotting.plot_points(POINTS, POINTS, **how),
    "two profiles": lambda **how: plotting.plot_profiles(UNIT[:2], UNIT[2:4], **how),
    "latent 3": lambda **how: plotting.plot_latent(UNIT[:, :3], **how),
    "latent 2 and manifold": lambda **how: plotting.plot_latent(POINTS, decoded=UNIT[:16, :2], **how),
}


@pytest.mark.parametrize("draw", [*ONE_PANEL.values(), lambda: plotting.plot_history(make_history(3)), draw_steps])
def test_every_picture_shows_itself_as_it_would_be_written(draw, tmp_path):
    figure = draw()
    for picture in (figure, pickle.loads(pickle.dumps(figure))):
        png, described = picture._repr_png_()
        assert described == {"alt": " ".join(text.get_text() for text in picture.texts)} != {"alt": ""}
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            assert image.size == tuple(np.rint(figure.get_size_inches() * style.DPI))
            assert len(np.unique(image)) > 20


def drawn(figure):
    """Which pixels of a figure are not white, left and right of its middle."""
    file = io.BytesIO()
    figure.savefig(file, format="png")
    with Image.open(file) as image:
        inked = np.asarray(image.convert("L")) < 255
    return np.array_split(inked, 2, axis=1)


@pytest.mark.parametrize("draw", ONE_PANEL.values(), ids=ONE_PANEL)
@pytest.mark.parametrize("nested", [False, True])
def test_a_picture_of_one_panel_is_drawn_in_axes_of_the_callers(draw, nested):
    figure = Figure(figsize=(12, 4))
    home = figure.subfigures(1, 2)[0] if nested else figure
    left = home.add_axes((0.2, 0.1, 0.5, 0.7) if nested else (0.1, 0.1, 0.25, 0.7))
    assert draw(ax=left, title="the $title", subtitle="more") is figure
    assert left.get_title(loc="left") == "the $title\nmore"
    inked, blank = drawn(figure)
    assert inked.any()
    assert not blank.any()


@pytest.mark.parametrize("draw", SEVERAL.values(), ids=SEVERAL)
def test_axes_for_more_than_one_panel_are_refused_before_anything_is_drawn(draw):
    axes = Figure().subplots()
    with pytest.raises(ValueError, match=r"^ax: got 'axes for a picture of 2 panels', expected None"):
        draw(ax=axes)
    assert not [*axes.collections, *axes.lines, *axes.images]


@pytest.mark.parametrize("draw", ONE_PANEL.values(), ids=ONE_PANEL)
def test_axes_that_are_none_and_a_path_beside_them_are_refused(draw, tmp_path):
    with pytest.raises(ValueError, match=r"^ax: got 'Figure', expected matplotlib's Axes, or None"):
        draw(ax=Figure())
    path = tmp_path / "picture.png"
    with pytest.raises(ValueError, match=r"^path: got .*picture.png.*, expected None beside ax"):
        draw(ax=Axes(Figure(), (0, 0, 1, 1)), path=path)
    assert not path.exists()


def test_the_writing_in_axes_is_as_small_as_the_images():
    sizes = []
    for inches in (2, 4):
        axes = Figure(figsize=(inches, inches)).add_axes((0, 0, 1, 1))
        ONE_PANEL["reconstructions"](ax=axes)
        sizes.append([text.get_fontsize() for text in axes.texts])
    np.testing.assert_allclose(2 * np.array(sizes[0]), sizes[1])

"""The explorer: one HTML page in which a model runs, with examples of its data; docs/explorer.md."""

import html
import os
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..datasets import Dataset
from ..errors import as_array, expect, expect_choice, expect_seed
from ..files.atomic import write_text
from ..kernels.naive import PIXELS
from ..vae import VAE
from .page import render
from .payload import Examples, labels_of, payload

HEIGHT = 900  # pixels, of the page in a notebook


class Page:
    """A page that is made; a notebook shows it.

    Attributes
    ----------
    html : str, all of it: it needs no network and no other file
    reason : str or None, why the model does not run in it
    """

    def __init__(self, html: str, name: str, reason: str | None = None) -> None:
        self.html, self.name, self.reason = html, name, reason

    def save(self, path: str | os.PathLike[str]) -> int:
        """Writes the page to a file, replacing it only when the new one is complete; the number of its bytes."""
        write_text(Path(path), self.html)
        return len(self.html.encode())

    def __repr__(self) -> str:
        return f"Page({self.name!r}, {len(self.html.encode()):,} bytes)"

    def _repr_html_(self) -> str:
        """A frame whose scripts run apart from the notebook's own."""
        title, frame = html.escape(f"minivae: {self.name}"), 'sandbox="allow-scripts" width="100%" style="border:0"'
        return f'<iframe title="{title}" {frame} height="{HEIGHT}" srcdoc="{html.escape(self.html)}"></iframe>'


def explore(
    model: VAE,
    data: Dataset | ArrayLike,
    *,
    labels: ArrayLike | None = None,
    image_shape: tuple[int, ...] | None = None,
    pixels: str = "grey",
    name: str | None = None,
    seed: int = 0,
) -> Page:
    """A page in which the model runs: its latents, its gradients and its bounds, with examples to choose from.

    Parameters
    ----------
    data : a `Dataset`, of which the held-out rows are taken, or (n, features) as `VAE.encode` takes them
    labels : of these rows, whole numbers or texts; by default those of the `Dataset`
    image_shape : (height, width) or (height, width, 3) where a row is an image; by default the `Dataset`'s, or (28, 28)
        for 784 features
    pixels : "grey", "threshold" or "dynamic", as in training
    name : what the page calls the model; by default by its widths
    seed : of the noise in the page, and of dynamic pixels

    A model with layers or passes of one's own gives a page without them, which says why.

    Raises
    ------
    ValueError
        For an argument outside its range, or data that do not suit the model.
    """
    expect(isinstance(model, VAE), "model", model, "a VAE")
    expect_choice("pixels", pixels, PIXELS)
    seed = expect_seed(seed)
    model.settle(training=False)
    name = _widths(model) if name is None else name
    expect(isinstance(name, str), "name", name, "a text")
    if isinstance(data, Dataset):
        shape = data.image_shape if image_shape is None else image_shape
        given = Examples(data.name, data.test, data.test_labels, data.classes, data.columns, shape)
    else:
        x = as_array("data", data)
        given = Examples("", x, None, None, getattr(data, "columns", None), image_shape)
        if image_shape is None and x.ndim == 2 and x.shape[1] == 784:
            given = given._replace(shape=(28, 28))
    if given.columns is not None:
        given = given._replace(columns=list(given.columns))
    _expect_shape(given.shape, model.features)
    if labels is not None:
        numbers, classes = labels_of(labels, len(given.x))
        given = given._replace(labels=numbers, classes=classes)
    made = payload(model, given, name, pixels, seed)
    return Page(render(made), made["name"], made["reason"] and made["reason"]["en"])


def _widths(model):
    config = model.config
    return "-".join(map(str, (model.features, *config["hidden"], model.latent)))


def _expect_shape(shape, features):
    if shape is None:
        return
    sides = isinstance(shape, (tuple, list)) and all(isinstance(side, (int, np.integer)) and side > 0 for side in shape)
    right = sides and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3))
    if right:
        right = features == shape[0] * shape[1] * (3 if len(shape) == 3 else 1)
    expect(right, "image_shape", shape, f"(height, width) or (height, width, 3) of {features} features")

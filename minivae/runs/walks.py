"""Walks of a run's decoder: along one latent at a time, and from one example to another."""

import contextlib
from itertools import pairwise

import numpy as np

from .. import plotting
from ..errors import expect
from ..plotting.style import MINUS
from . import folder

REACH = 3.0  # standard deviations of the prior, to both sides
STEPS = 11
MOST = 10  # latents in a picture for which none are named


def strengths(path, best=False):
    """The held-out KL of each latent, nats per example, as history.csv of a run says of the model; None where it does
    not.
    """
    with contextlib.suppress(ValueError, KeyError):
        history = folder.as_history(path)
        losses = history["validation_loss"]
        row = int(np.argmin(losses)) if best else -1
        return np.array([history[f"kl_{j}"][row] for j in range(sum(name.startswith("kl_") for name in history))])
    return None


def traversal(model, latents, count=STEPS, start=None):
    """(decoder means (latents, count, features), the values (count,) that each latent takes in turn); the others stay
    where `start` (latent,) has them, by default at the prior's mean, zero.
    """
    values = np.linspace(-REACH, REACH, count)
    z = np.zeros((len(latents), count, model.latent), model.dtype)
    z[...] = 0 if start is None else start
    for row, latent in enumerate(latents):
        expect(0 <= latent < model.latent, "--traverse", latent, f"latents from 0 to {model.latent - 1}")
        z[row, :, latent] = values
    return _decode(model, z), values


def interpolation(model, mu, count=STEPS):
    """Decoder means (len(mu) - 1, count, features) along straight lines from each posterior mean to the next."""
    share = np.linspace(0, 1, count)[:, None]
    return _decode(model, (1 - share) * mu[:-1, None] + share * mu[1:, None])


def _decode(model, z):
    return model.decode(z.reshape(-1, model.latent)).reshape(*z.shape[:2], model.features)


def pick(rows, indices, option):
    """The rows of these numbers; ValueError where there is no such row."""
    n = len(rows.values)
    for index in indices:
        expect(0 <= index < n, option, index, f"rows of {rows.name}, from 0 to {n - 1:,}")
    return rows.values[list(indices)]


def draw_traversal(path, means, values, latents, kl, image_shape, title, where):
    names = [f"latent {j}" + ("" if kl is None else f", KL {kl[j]:.2f}") for j in latents]
    steps = [f"{value:.2g}".replace("-", MINUS) for value in values]
    told = "" if kl is None else "; held-out KL in nats"
    subtitle = f"decoder means: one latent changes, the others stay {where}{told}"
    plotting.plot_walks(means, image_shape, path, names=names, steps=steps, title=title, subtitle=subtitle)


def draw_interpolation(path, means, ends, indices, image_shape, title):
    names = [f"row {a:,} to row {b:,}" for a, b in pairwise(indices)]
    subtitle = "decoder means on the straight line between the posterior means of two examples, and these"
    pairs = np.stack([ends[:-1], ends[1:]], axis=1)
    plotting.plot_walks(means, image_shape, path, names=names, ends=pairs, title=title, subtitle=subtitle)

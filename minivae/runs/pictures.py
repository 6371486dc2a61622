"""The pictures of a run: a model and its data on one side, `plotting` on the other."""

import textwrap
from pathlib import Path

import numpy as np

from .. import plotting
from ..evaluation.held_out import Evaluator
from . import folder
from .config import Config, Model

EXAMPLES = 30  # reconstructed originals in the picture
PROFILES = 6  # those of rows that are no image
SAMPLES = 64
SCATTER = 5000  # held-out examples in the latent space
MANIFOLD = 20


def pixels_phrase(data, pixels):
    """Which pixels a number was measured on, for titles and printed lines."""
    words = {"grey": "grey pixels", "threshold": "thresholded pixels", "dynamic": "dynamically binarised pixels"}
    if len(data.image_shape or ()) == 3 and pixels == "grey":
        return "colours as they are"
    return words[pixels] if data.image_shape or pixels != "grey" else "values as they are"


def objective_phrase(model: Model) -> str | None:
    """What the loss of this model is where it is not nll + beta KL; None where it is."""
    groups = f", M = {model.outer}" if model.outer > 1 else ""
    if model.free_bits:
        return f"Loss with {model.free_bits:g} nats of KL free in each latent"
    return None if model.objective == "elbo" else f"Loss: minus {model.objective} bound, K = {model.samples}{groups}"


def draw_all(path, config: Config, model, data, history, epoch):
    """samples.png, reconstructions.png, latent.png and curves.png in the folder `path`; returns their paths.

    Data of two features have points.png in place of the first two. `epoch` is the one whose parameters the model has.
    """
    pixels, seed = config.training.pixels, config.training.seed
    phrase = pixels_phrase(data, pixels)
    paths = [path / name for name in ("curves.png", "latent.png")]
    title, loss = f"Training on {data.name}, {phrase}", objective_phrase(config.model)
    plotting.plot_history(history, paths[0], beta=model.beta, loss=loss, title=title)
    draw = epoch if config.training.validation_noise == "fresh" else 0  # as in that epoch's line of the history
    draw_latent(paths[1], model, data, pixels, seed, draw)
    if data.image_shape:
        paths += [path / "samples.png", path / "reconstructions.png"]
        draw_samples(paths[2], model, data.name, data.image_shape, SAMPLES, seed, data.original)
        draw_reconstructions(paths[3], model, data, pixels, EXAMPLES, seed)
    else:
        paths.append(path / ("points.png" if data.features == 2 else "reconstructions.png"))
        draw_reconstructions(paths[2], model, data, pixels, SCATTER if data.features == 2 else PROFILES, seed)
    return paths


def draw_samples(path, model, name, image_shape, count, seed, original):
    """Samples as images of that shape, as points of the plane, or as rows of numbers, 30 at most; `name` is that of
    the data, `original` turns what the model gives into their unit, as all pictures do.
    """
    samples, subtitle = model.sample(count, seed=seed), f"{Path(name).name}, {model.latent} latents, seed {seed}"
    samples, title = original(samples), "Samples: decoder means for latents drawn from the prior"
    if image_shape:
        plotting.plot_samples(samples, image_shape, path, title=title, subtitle=subtitle)
    elif model.features == 2:
        plotting.plot_points(samples=samples, path=path, title="Samples from the prior", subtitle=subtitle)
    else:
        plotting.plot_profiles(samples, None, path, title=title, subtitle=subtitle)
    return samples


def draw_reconstructions(path, model, data, pixels, count, seed):
    values = folder.unit_values(data.test[:count], pixels, seed)
    means = model.reconstruct(values)
    if data.features == 2:
        samples, labels = model.sample(len(values), seed=seed), _first(data.test_labels, count)
        values, means, samples = map(data.original, (values, means, samples))
        plotting.plot_points(values, means, samples, labels, path, subtitle=_key(data))
        return means
    nll, kl = model.terms_of_each(values, seed)
    values, means = data.original(values), data.original(means)
    subtitle = f"held-out {data.name}, {pixels_phrase(data, pixels)}; nll and KL in nats"
    if data.image_shape:
        plotting.plot_reconstructions(values, means, data.image_shape, path, nll=nll, kl=kl, subtitle=subtitle)
    else:
        plotting.plot_profiles(values, means, path, nll=nll, subtitle=subtitle)
    return means


def draw_latent(path, model, data, pixels, seed, draw=0):
    """KL and active latents are those that a validation on these draws finds, over all held-out data."""
    held_out = Evaluator(model, data.test, pixels=pixels, seed=seed)(draw)
    values = data.test[:SCATTER]
    if pixels != "grey":  # the model reads grey ones as they are, in pages: this many as floats would be 16 MB
        values = folder.unit_values(values, pixels, seed, draw)
    mu, sigma = model.encode(values)
    decoded = None
    if model.latent == 2 and (data.image_shape or data.features == 2):
        decoded = data.original(model.decode(plotting.manifold_grid(MANIFOLD)))
    plotting.plot_latent(
        mu,
        _first(data.test_labels, SCATTER),
        path,
        sigma=sigma,
        kl_per_latent=held_out.kl_per_latent,
        active=held_out.active,
        decoded=decoded,
        image_shape=data.image_shape,
        data=data.original(values) if data.features == 2 else None,
        title=f"Latent space of held-out {data.name}, {pixels_phrase(data, pixels)}",
        subtitle="\n".join(filter(None, [_which(len(mu), len(data.test)), _key(data)])),
    )


def _which(shown, all_of_them):
    """What of the held-out data a picture of the latent space is of, where it is not all for everything."""
    if shown == all_of_them:
        return None
    return f"Posterior means of the first {shown:,} examples; KL and active latents of all {all_of_them:,}"


def _key(data):
    """The names of the classes beside their numbers, which the pictures show; None where labels have no names."""
    if data.classes is None:
        return None
    names = (f"{number} {name if len(name) <= 30 else name[:28] + '...'}" for number, name in enumerate(data.classes))
    return textwrap.shorten(f"Labels: {', '.join(names)}", 1000, placeholder=" ...")


def _first(labels, count):
    return None if labels is None else np.asarray(labels[:count])

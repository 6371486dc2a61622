"""How often the stated error of log p(x) holds: importance sampling with many seeds against the integral itself."""

import itertools
import math
from dataclasses import replace
from statistics import NormalDist

import numpy as np

from ..datasets import load_dataset
from ..evaluation import importance
from ..plotting import style
from ..training.fit import fit
from ..vae import VAE
from . import report

# Half width and step of the grid by the number of latents: with a single one, q misses more of the posterior.
GRIDS = {2: (7, 0.02), 1: (9, 0.002)}
EXAMPLES, SAMPLES, SEEDS = 50, 1000, 60
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
CLASSES = (-np.inf, 0.0, 0.3, 0.5, 0.7, 1.0)  # of k-hat, from here to the next
ROWS = 8000  # points of the grid that are decoded at a time


def pinwheel(latent):
    """A trained model of the toy data, float32 on the `numpy` backend, and its first test examples."""
    data = load_dataset("pinwheel")
    options = {"learn_sigma": latent == 2, "observation_sigma": 1.0, "likelihood": "gaussian", "seed": 1}
    model = VAE(data.train.shape[1], latent, (32,), activation="tanh", backend="numpy", **options)
    fit(model, data.train[:4000], epochs=6, batch_size=64, seed=1, progress=False)
    return model, data.test.astype(model.dtype)


def quadrature(model, x, half, step):
    """log p(x) of each row of x (n, features), nats, (n,): the integral over z as a sum over a grid, in float64.

    The grid goes from -half to half in each latent, in steps of `step`. For smooth functions that vanish at both ends
    the sum converges faster than any power of the step. Bernoulli and Gaussian likelihoods; backend `numpy`.
    """
    exact = VAE(**(model.config | {"dtype": "float64"}), backend="numpy")
    for name, value in model.parameters.items():
        exact.parameters[name] = np.array(value, np.float64)
    axis, x = np.arange(-half, half + step / 2, step), np.asarray(x, np.float64)
    grid = np.stack(np.meshgrid(*[axis] * model.latent), axis=-1).reshape(-1, model.latent)
    top, total = np.full(len(x), -np.inf), np.zeros(len(x))
    for start in range(0, len(grid), ROWS):
        z = grid[start : start + ROWS]
        joint = _log_likelihood(exact, x, exact.decode(z)) - 0.5 * (z**2).sum(1)
        higher = np.maximum(top, joint.max(axis=1))
        total = total * np.exp(top - higher) + np.exp(joint - higher[:, None]).sum(axis=1)
        top = higher
    return top + np.log(total) + model.latent * (math.log(step) - 0.5 * math.log(2 * math.pi))


def _log_likelihood(model, x, mean):
    """log p(x|z) of each row of x and each mean of p(x|z), (n, rows)."""
    if model.config["likelihood"] == "bernoulli":
        mean = np.clip(mean, 1e-300, 1 - 1e-16)
        return x @ np.log(mean).T + (1 - x) @ np.log1p(-mean).T
    learned = model.parameters.get("likelihood.log_sigma")
    sigma = model.config["observation_sigma"] if learned is None else np.exp(learned)
    squares = sum((x[:, None, j] - mean[None, :, j]) ** 2 for j in range(x.shape[1]))
    return -0.5 * squares / sigma**2 - x.shape[1] * (np.log(sigma) + 0.5 * math.log(2 * math.pi))


def measure(model, x, exact, samples, seeds, first=0, progress=None):
    """One `ImportanceEstimate` for each of as many seeds, of log p(x) - exact: its right value is 0."""
    for seed in report.bar(range(first, first + seeds), f"calibration, K = {samples}", progress):
        found = importance.estimate(model, x, samples, seed, chunk=20_000, progress=False)
        yield replace(found, log_likelihood=found.log_likelihood - exact)


def coverage(found, level):
    """(of one example by the delta method, by the interval, of the mean by the delta method, by the interval): how
    often what is stated of log p(x) less its exact value has 0 in it.
    """
    z = NormalDist().inv_cdf(0.5 + level / 2)
    value, error = (np.stack([getattr(one, name) for one in found]) for name in ("log_likelihood", "standard_error"))
    each = np.stack([one.interval(level) for one in found])
    mean = np.array([one.mean_interval(level) for one in found])
    sampling_error = np.sqrt((error**2).sum(axis=1)) / value.shape[1]
    return (
        np.abs(value) <= z * error,
        (each[..., 0] <= 0) & (each[..., 1] >= 0),
        np.abs(value.mean(axis=1)) <= z * sampling_error,
        (mean[:, 0] <= 0) & (mean[:, 1] >= 0),
    )


def by_level(latent, found):
    names = ("each_delta", "each_interval", "mean_delta", "mean_interval")
    for level in LEVELS:
        shares = (float(share.mean()) for share in coverage(found, level))
        yield {"latents": latent, "level": level} | dict(zip(names, shares, strict=True))


def by_k_hat(latent, found):
    delta, interval, _, _ = coverage(found, 0.95)
    k_hat = np.stack([one.k_hat for one in found])
    for low, high in zip(CLASSES, (*CLASSES[1:], np.inf), strict=True):
        chosen = (k_hat >= low) & (k_hat < high)
        if chosen.sum() >= 30:
            shares = {"delta": float(delta[chosen].mean()), "interval": float(interval[chosen].mean())}
            yield {"latents": latent, "from": low, "below": high, "share": float(chosen.mean())} | shares


def _latents(count):
    return f"{count} latent{'s' if count > 1 else ''}"


def run(folder, seed=0, progress=None):
    levels, classes, lines = [], [], []
    for latent, (half, step) in GRIDS.items():
        model, test = pinwheel(latent)
        x = test[:EXAMPLES]
        exact = quadrature(model, x, half, step)
        found = list(measure(model, x, exact, SAMPLES, SEEDS, seed * SEEDS, progress))
        levels += by_level(latent, found)
        classes += by_k_hat(latent, found)
        _, _, delta, interval = (share.mean() for share in coverage(found, 0.95))
        bias = np.mean([one.log_likelihood for one in found])
        warned = np.mean([one.warning is not None for one in found])
        lines.append(
            f"calibration.csv: {_latents(latent)}, K = {SAMPLES}, {SEEDS} seeds: bias {bias:+.4f} nats; the mean of "
            f"{EXAMPLES} in its 95 % interval: {interval:.0%}, by delta method {delta:.0%}; warned {warned:.0%}"
        )
    report.write_table(folder / "calibration.csv", levels)
    report.write_table(folder / "calibration-by-k-hat.csv", classes)
    draw(levels, classes, folder / "calibration.png")
    return lines


def draw(levels, classes, path):
    title = "The error of log p(x): too small by the delta method, kept by the interval"
    text = f"Importance sampling with K = {SAMPLES} of {EXAMPLES} examples of the pinwheel, {SEEDS} seeds, against the "
    text += "integral by quadrature. Dashed: estimate and standard error as they are (delta method). Lines: the "
    text += "interval that reaches higher by what the fitted tail of the weights has beyond the tail as drawn."
    figure = style.new_figure(style.WIDTH, 3.2, title, text)
    one, mean, heavy = figure.subplots(1, 3)
    report.panel(one, "Intervals of one example", "stated probability", "share that holds log p(x)")
    report.panel(mean, f"of the mean of {EXAMPLES}", "stated probability", None)
    report.panel(heavy, "One example at 95 %, by its k-hat", "k-hat", None)
    for axes, kind in ((one, "each"), (mean, "mean")):
        axes.plot(LEVELS, LEVELS, color=style.INK, linewidth=0.8, label="as stated")
        for latent, colour in zip(GRIDS, report.COLOURS, strict=False):
            rows = [row for row in levels if row["latents"] == latent]
            label = {"label": _latents(latent)}
            report.curve(axes, rows, "level", f"{kind}_interval", "o-", color=colour, markersize=3.5, **label)
            report.curve(axes, rows, "level", f"{kind}_delta", "o--", color=colour, markersize=3.5)
        axes.set_ylim(0.2, 1.03)
    report.legend(one, loc="lower right")
    for name, look in (("interval", "-"), ("delta method", "--")):
        mean.plot([], [], look, color=style.MUTED, label=name)
    report.legend(mean, handles=mean.get_lines()[-2:], loc="lower right")
    names = [f"{style.MINUS if low < 0 else ''}{abs(low):g}" for low in CLASSES]
    places = {low: place for place, low in enumerate(CLASSES)}
    heavy.axhline(0.95, color=style.INK, linewidth=0.8)
    for latent, colour in zip(GRIDS, report.COLOURS, strict=False):
        rows = [row | {"place": places[row["from"]]} for row in classes if row["latents"] == latent]
        report.curve(heavy, rows, "place", "interval", "o-", color=colour, markersize=3.5)
        report.curve(heavy, rows, "place", "delta", "o--", color=colour, markersize=3.5)
    texts = [f"< {names[1]}", *(f"{a}{style.DASH}{b}" for a, b in itertools.pairwise(names[1:]))]
    heavy.set_xticks(range(len(CLASSES)), [*texts, f"\N{GREATER-THAN OR EQUAL TO} {names[-1]}"])
    heavy.set_ylim(0.6, 1.03)
    return style.finish(figure, style.check_path(path))

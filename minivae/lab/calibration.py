"""How often the stated error of log p(x) holds: importance sampling with many seeds against the integral itself."""

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

# A model with two latents and one with a single latent, whose q misses more of the posterior.
LATENTS = (2, 1)
EXAMPLES, SAMPLES, SEEDS = 50, 1000, 60
LEVELS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)
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
    squares = sum(((x[:, None, j] - mean[None, :, j]) ** 2 for j in range(x.shape[1])))
    return -0.5 * squares / sigma**2 - x.shape[1] * (np.log(sigma) + 0.5 * math.log(2 * math.pi))


def measure(model, x, exact, samples, seeds, progress=None, label="calibration"):
    """One `ImportanceEstimate` for each seed 0, 1, ..., of log p(x) - exact: its right value is 0."""
    for seed in report.bar(range(seeds), label, progress):
        found = importance.estimate(model, x, samples, seed, chunk=20_000, progress=False)
        yield replace(found, log_likelihood=found.log_likelihood - exact)

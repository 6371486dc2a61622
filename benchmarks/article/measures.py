"""What is measured of a trained model, in float64 NumPy, from its encoder's mu and rho and its decoder alone."""

import math

import numpy as np

from .mistakes import EXP_SAMPLERS

LOG_2PI = math.log(2 * math.pi)
DRAWS = 64  # of z for each held-out example
REACH, STEP = 6.0, 0.04  # the grid over the two latents, in standard deviations of the prior


def posterior(model, x, mistake):
    """mu, softplus(rho), and the standard deviation that z is really drawn with."""
    mu, sigma = (a.astype(np.float64) for a in model.encode(x))
    return mu, sigma, np.exp(sigma) if mistake in EXP_SAMPLERS else sigma


def kl(mu, sigma):
    """KL(N(mu, sigma^2) || N(0, 1)) in nats, summed over latents, mean over examples."""
    tiny = np.finfo(np.float64).tiny
    return float(np.mean(np.sum(0.5 * (mu**2 + sigma**2 - 1) - np.log(np.maximum(sigma, tiny)), axis=1)))


def nll(model, x, mu, sigma, seed=0):
    """E_q[-log p(x|z)] in nats per example, from DRAWS draws of z for each."""
    rng, total = np.random.default_rng(seed), 0.0
    for _ in range(DRAWS):
        mean = model.decode(mu + sigma * rng.standard_normal(mu.shape)).astype(np.float64)
        total += np.mean(np.sum(0.5 * (x - mean) ** 2 + 0.5 * LOG_2PI, axis=1))
    return float(total / DRAWS)


def log_density(model, x, observation_sigma=1.0, step=STEP):
    """log p(x) in nats, mean over examples: the integral over both latents as a sum over a grid.

    No encoder takes part, so the number judges the decoder and the prior alone, whatever q a mistake has left.
    """
    axis = np.arange(-REACH, REACH + step / 2, step)
    z = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    log_prior = -0.5 * np.sum(z**2, axis=1) - LOG_2PI + 2 * math.log(step)
    kept = log_prior > log_prior.max() - 0.5 * REACH**2
    mean = model.decode(z[kept]).astype(np.float64)
    total = 0.0
    for rows in np.array_split(np.asarray(x, np.float64), max(1, len(x) // 20)):
        squares = np.sum(rows**2, axis=1)[:, None] + np.sum(mean**2, axis=1) - 2 * rows @ mean.T
        log_joint = log_prior[kept] - 0.5 * squares / observation_sigma**2
        peak = log_joint.max(axis=1)
        total += np.sum(peak + np.log(np.sum(np.exp(log_joint - peak[:, None]), axis=1)))
    return float(total / len(x)) - x.shape[1] * (0.5 * LOG_2PI + math.log(observation_sigma))


def sample(model, count, seed):
    """count draws from p(x), (count, features): the decoder's mean at a draw from the prior, plus N(0, 1)."""
    rng = np.random.default_rng(seed)
    return model.sample(count, seed=seed) + rng.standard_normal((count, model.features))


def energy_distance(x, y):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| without bias, and its standard error to first order.

    Zero where both come from one distribution, above zero otherwise: G. J. Szekely and M. L. Rizzo, "Energy
    statistics", J. Stat. Plan. Inference 143 (2013) 1249, equation 5.
    """
    across = [_mean_distances(x, y), _mean_distances(y, x)]
    within = [_mean_distances(x, x) * len(x) / (len(x) - 1), _mean_distances(y, y) * len(y) / (len(y) - 1)]
    value = 2 * across[0].mean() - within[0].mean() - within[1].mean()
    variance = sum(4 * np.var(a - w) / len(a) for a, w in zip(across, within, strict=True))
    return float(value), float(math.sqrt(variance))


def _mean_distances(x, y):
    """For each row of x its mean distance to the rows of y, (n,)."""
    parts = np.array_split(np.asarray(x, np.float64), max(1, len(x) // 100))
    return np.concatenate([np.mean(np.linalg.norm(part[:, None] - y, axis=2), axis=1) for part in parts])

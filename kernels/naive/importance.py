"""Importance weights and the way of their gradient to z."""

import math

import numpy as np

from .posterior import SOFTPLUS_TAIL, posterior_inputs
from .tools import ELEMENTARY, eps, exp, matrix, output, sigmoid, softplus, true_sigma

# The largest logarithm of a ratio of importance weights: e^46 is about 1e20, which float32 holds and rounding hides.
LARGEST_LOG_RATIO = 46.0


def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    """log p(x|z) + log p(z) - log q(z|x) of each row in nats: -nll_r + sum_j (noise_rj^2 - z_rj^2) / 2 + log sigma_ij.

    nll, log_weight (n * samples,); rho, sigma (n, latent); noise, z (n * samples, latent). The terms log(2 pi) / 2 of
    prior and posterior cancel. log sigma is taken from rho, as in `gaussian_kl_forward`.
    """
    n, latent = rho.shape
    samples = nll.shape[0] // n
    for row in range(nll.shape[0]):
        total = -float(nll[row])
        for j in range(latent):
            r = float(rho[row // samples, j])
            log_sigma = r if scale == "exp" or r < SOFTPLUS_TAIL else math.log(softplus(r))
            total += 0.5 * (float(noise[row, j]) ** 2 - float(z[row, j]) ** 2) + log_sigma
        log_weight[row] = total


def _log_sum_exp(values):
    """(largest, log sum exp(value - largest)): apart, because their sum loses the digits that the weights hang on."""
    top = max(values)
    return top, math.log(sum(math.exp(value - top) for value in values)) if math.isfinite(top) else 0.0


def importance_weights(log_weight, outer, examples, pooled, squared, loss, weight, latent_weight, ratio):
    """The importance-weighted loss of each example, and what each row counts for in its gradient.

    The S samples of an example are `outer` groups of K, one after another: sample s is in group s // K. With
    L = log mean exp of the log weights of a group, loss_i = -mean of L over the groups; with `pooled` the group is all
    S for loss and weight. u_r = exp(log_weight_r - L) / K sums to 1 in its group. For the mean of the loss over N =
    `examples`, those of a batch of which these n are some, weight_r = u_r / (N * groups), latent_weight_r =
    u_r / (N * outer), or u_r^2 / (N * outer) with `squared`, where u is that of the group even if `pooled`; ratio_r =
    latent_weight_r / weight_r.

    log_weight, weight, latent_weight, ratio (n * S,); loss (n,). weight is raised to latent_weight / e^46 where it is
    less, far below rounding, so that ratio, made from logarithms, is finite where weight would underflow. Logarithms
    are taken from the largest of the group first and never added to it: near |log_weight| = 1e7 float32 counts in ones.
    """
    n = loss.shape[0]
    samples = log_weight.shape[0] // n
    inner = samples // outer
    for i in range(n):
        own = [float(value) for value in log_weight[i * samples : (i + 1) * samples]]
        groups = [_log_sum_exp(own[m * inner : (m + 1) * inner]) for m in range(outer)]
        pool_top, pool_log = _log_sum_exp(own)
        means = [top + (log_total - math.log(inner)) for top, log_total in groups]
        loss[i] = -(pool_top + (pool_log - math.log(samples))) if pooled else -sum(means) / outer
        for s in range(samples):
            top, log_total = groups[s // inner]
            shift = (pool_top - top) + (pool_log - log_total) - math.log(outer) if pooled else 0.0
            log_u = (own[s] - top) - log_total
            log_latent = (2.0 * log_u if squared else log_u) - math.log(examples * outer)
            log_ratio = min((log_u if squared else 0.0) + shift, LARGEST_LOG_RATIO)
            row = i * samples + s
            weight[row] = exp(max(log_u - math.log(examples * outer) - shift, log_latent - LARGEST_LOG_RATIO))
            latent_weight[row] = exp(log_latent)
            ratio[row] = exp(log_ratio)


def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    """dz_rj = ratio_r * dz_rj + latent_weight_r * (z_rj - path * noise_rj / sigma_ij), in place.

    On entry dz is the weighted gradient of nll with respect to z. z and -noise / sigma are those of -log p(z) and of
    log q(z|x) at fixed mu and sigma: with `path` (True or False) the latter belongs to the path through z. z, noise, dz
    (n * samples, latent); sigma (n, latent); latent_weight, ratio (n * samples,).
    """
    samples = z.shape[0] // sigma.shape[0]
    for row in range(z.shape[0]):
        for j in range(z.shape[1]):
            slope = float(z[row, j])
            if path:
                slope -= float(noise[row, j]) / float(sigma[row // samples, j])
            dz[row, j] = float(ratio[row]) * float(dz[row, j]) + float(latent_weight[row]) * slope


def log_sigma_backward(rho, sigma, weight, scale, drho):
    """Adds the gradient of -sum_i weight_i * sum_j log sigma_ij: drho -= weight * (dsigma/drho) / sigma.

    weight (n,); rho, sigma, drho (n, latent). (dsigma/drho) / sigma is computed as in `gaussian_kl_backward`.
    """
    for i in range(rho.shape[0]):
        for j in range(rho.shape[1]):
            r = float(rho[i, j])
            relative = 1.0 if scale == "exp" or r < SOFTPLUS_TAIL else sigmoid(r) / softplus(r)
            drho[i, j] -= float(weight[i]) * relative


def log_weights_cases(dtype, rng):
    for mu, rho, noise, scale, samples in posterior_inputs(dtype, rng):
        z = matrix(rng, noise.shape, dtype)
        nll = matrix(rng, len(noise), dtype, 50.0)
        log_sigma = np.repeat(np.log(true_sigma(rho, scale)), samples, 0)
        size = np.abs(nll) + (noise.astype(np.float64) ** 2 + z.astype(np.float64) ** 2 + np.abs(log_sigma) + 1).sum(1)
        bound = eps(dtype) * (mu.shape[1] + ELEMENTARY) * size
        sigma = true_sigma(rho, scale).astype(dtype)
        yield [nll, rho, sigma, noise, z, scale, output(len(noise), dtype)], {"log_weight": bound}


def importance_weights_cases(dtype, rng):
    for n, examples, outer, inner in ((1, 1, 1, 1), (3, 3, 1, 5), (2, 8, 4, 1), (4, 4, 3, 2), (2, 3, 5, 33)):
        for pooled, squared, spread, height in (
            (False, False, 2.0, -90.0),  # exp of -90 underflows in float32
            (False, True, 2.0, 1e7),
            (True, False, 40.0, -90.0),
            (True, False, 2.0, -1e7),
            (True, True, 40.0, 1e8),
        ):
            rows = n * outer * inner
            log_weight = (matrix(rng, rows, "float64", spread) + height).astype(dtype)
            # exponents are differences of the size of their spread, and their roundings are relative errors of exp; how
            # high the logarithms lie is no excuse
            relative = eps(dtype) * (inner * outer + 4 * ELEMENTARY + 8 * np.ptp(log_weight))
            exact = [np.empty(size) for size in (n, rows, rows, rows)]
            importance_weights(log_weight.astype(np.float64), outer, examples, pooled, squared, *exact)
            loss, weight, latent_weight, ratio = exact
            bounds = {
                "loss": eps(dtype) * (inner * outer + 4 * ELEMENTARY) * (1 + np.abs(loss)),
                "weight": relative * weight,
                "latent_weight": relative * latent_weight,
                "ratio": relative * ratio,
            }
            outputs = [output(n, dtype), *(output(rows, dtype) for _ in range(3))]
            yield [log_weight, outer, examples, pooled, squared, *outputs], bounds


def importance_gradient_cases(dtype, rng):
    for mu, rho, noise, scale, _ in posterior_inputs(dtype, rng):
        sigma = np.maximum(true_sigma(rho, scale), 1e-3).astype(dtype)
        z, dz = matrix(rng, noise.shape, dtype), matrix(rng, noise.shape, dtype)
        latent_weight, ratio = np.abs(matrix(rng, len(z), dtype)), np.abs(matrix(rng, len(z), dtype, 3.0))
        for path in (False, True):
            slope = np.abs(z) + path * np.abs(noise) / np.repeat(sigma, len(z) // len(mu), 0)
            bound = 6 * eps(dtype) * (ratio[:, None] * np.abs(dz) + latent_weight[:, None] * slope)
            yield [z, noise, sigma, latent_weight, ratio, path, dz], {"dz": bound}


def log_sigma_backward_cases(dtype, rng):
    for _, rho, _, scale, _ in posterior_inputs(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        weight = np.abs(matrix(rng, len(rho), dtype))
        drho = matrix(rng, rho.shape, dtype)
        bound = 2 * eps(dtype) * ELEMENTARY * (np.abs(drho) + weight[:, None])
        yield [rho, sigma, weight, scale, drho], {"drho": bound}


class Importance:
    log_weights = staticmethod(log_weights)
    importance_weights = staticmethod(importance_weights)
    importance_gradient = staticmethod(importance_gradient)
    log_sigma_backward = staticmethod(log_sigma_backward)

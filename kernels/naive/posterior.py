"""The sampling step and the KL term: sigma, z, and their gradients."""

import math

import numpy as np

from .tools import ELEMENTARY, eps, exp, matrix, output, sigmoid, softplus, true_sigma

SCALES = ("softplus", "exp")

# Below this softplus(rho) = exp(rho) to double precision, and its logarithm is rho itself.
SOFTPLUS_TAIL = -40.0


def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    """sigma = softplus(rho) or exp(rho); z = mu + sigma * noise.

    mu, rho, sigma (n, latent); noise, z (n * samples, latent); scale is one of SCALES.
    """
    n, latent = mu.shape
    samples = noise.shape[0] // n
    for i in range(n):
        for j in range(latent):
            r = float(rho[i, j])
            sigma[i, j] = s = softplus(r) if scale == "softplus" else exp(r)
            for row in range(i * samples, (i + 1) * samples):
                z[row, j] = float(mu[i, j]) + s * float(noise[row, j])


def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    """dmu = sum of dz over samples; dsigma = sum of dz * noise over samples; drho = dsigma * dsigma/drho.

    dsigma/drho = sigmoid(rho) = 1 - exp(-sigma) for softplus, sigma for exp. Shapes as in `reparameterize_forward`.
    """
    n, latent = sigma.shape
    samples = noise.shape[0] // n
    for i in range(n):
        for j in range(latent):
            rows = range(i * samples, (i + 1) * samples)
            slope = sigmoid(float(rho[i, j])) if scale == "softplus" else float(sigma[i, j])
            dmu[i, j] = sum(float(dz[row, j]) for row in rows)
            drho[i, j] = slope * sum(float(dz[row, j]) * float(noise[row, j]) for row in rows)


def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    """kl = (mu^2 + sigma^2 - 1) / 2 - log sigma, the divergence of N(mu, sigma^2) from N(0, 1) in nats.

    mu, rho, sigma, kl (n, latent). log sigma is taken from rho, so that it stays right where sigma underflows.
    """
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            m, r, s = float(mu[i, j]), float(rho[i, j]), float(sigma[i, j])
            log_sigma = r if scale == "exp" or r < SOFTPLUS_TAIL else math.log(softplus(r))
            kl[i, j] = 0.5 * (m * m + s * s - 1.0) - log_sigma


def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    """Adds the gradient of sum_i weight_i * sum_j active_j * kl_ij: dmu += w * mu, drho += w * (sigma - 1 / sigma) *
    dsigma/drho, with w = weight_i * active_j.

    weight (n,), active (latent,) from `free_bits` or None for all 1, the rest (n, latent). mu and rho feed the sampler
    too, so this kernel adds to the sampler's gradients. (dsigma/drho) / sigma is 1 for exp and tends to 1 for softplus
    as rho falls: it is never computed as 0 * inf.
    """
    for i in range(mu.shape[0]):
        for j in range(mu.shape[1]):
            w = float(weight[i]) * (1.0 if active is None else float(active[j]))
            r, s = float(rho[i, j]), float(sigma[i, j])
            slope = s if scale == "exp" else sigmoid(r)
            relative = 1.0 if scale == "exp" or r < SOFTPLUS_TAIL else slope / softplus(r)
            dmu[i, j] += w * float(mu[i, j])
            drho[i, j] += w * (s * slope - relative)


def free_bits(nll, kl, beta, floor, active, loss):
    """The loss of each example where each latent has its first `floor` nats free, and which latents are beyond them.

    Over the batch the loss is mean_i nll_i + beta * sum_j max(floor, m_j), m_j = mean_i kl_ij. The derivative of
    max(floor, m_j) with respect to kl_ij is 1/n where m_j > floor and 0 where m_j < floor; at equality it has none, and
    0 is taken, as in ReLU at 0. So active_j = 0 where m_j <= floor, else 1 (a NaN is not hidden by the floor), the
    gradient of the KL is `gaussian_kl_backward` with `active`, and what averages to the loss over the batch is

        loss_i = mean over its samples of nll + beta * sum_j (kl_ij if active_j else floor)

    nll (n * samples,), kl (n, latent), beta and floor (1,) float64, active (latent,), loss (n,).
    Source: Kingma et al., "Improving variational inference with inverse autoregressive flow" (arXiv:1606.04934),
    appendix C.8, with one latent in each of its groups.
    """
    n, latent = kl.shape
    samples = nll.shape[0] // n
    for j in range(latent):
        mean = sum(float(kl[i, j]) for i in range(n)) / n
        active[j] = 0.0 if mean <= float(floor[0]) else 1.0
    for i in range(n):
        mean = sum(float(value) for value in nll[i * samples : (i + 1) * samples]) / samples
        counted = (float(kl[i, j]) if active[j] else float(floor[0]) for j in range(latent))
        loss[i] = mean + float(beta[0]) * sum(counted)


def posterior_inputs(dtype, rng):
    """mu and rho as columns of a wider array, as a model has them, with rho far out on both sides; noise; scale."""
    for n, latent, samples in ((1, 1, 1), (3, 2, 1), (2, 3, 4), (9, 5, 1), (17, 20, 3)):
        for scale in SCALES:
            head = matrix(rng, (n, 2 * latent), dtype, 2.0)
            head[0, latent] = -70.0 if scale == "softplus" else -30.0
            head[-1, -1] = 30.0 if scale == "softplus" else 9.0
            mu, rho = head[:, :latent], head[:, latent:]
            yield mu, rho, matrix(rng, (n * samples, latent), dtype), scale, samples


def _columns(head):
    """The two halves of the columns, as a model has dmu and drho."""
    return np.split(head, 2, axis=1)


def reparameterize_forward_cases(dtype, rng):
    for mu, rho, noise, scale, samples in posterior_inputs(dtype, rng):
        sigma = true_sigma(rho, scale)
        # exp(rho) turns the rounding of rho, |rho| eps, into a relative error of its own
        relative = eps(dtype) * (ELEMENTARY + np.abs(rho))
        size = np.abs(np.repeat(mu, samples, 0)) + np.repeat(sigma * (1 + ELEMENTARY), samples, 0) * np.abs(noise)
        bounds = {
            "sigma": relative * sigma,
            "z": eps(dtype) * 2 * size + np.repeat(relative * sigma, samples, 0) * np.abs(noise),
        }
        yield [mu, rho, noise, scale, output(mu.shape, dtype), output(noise.shape, dtype)], bounds


def reparameterize_backward_cases(dtype, rng):
    for mu, rho, noise, scale, samples in posterior_inputs(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        dz = matrix(rng, noise.shape, dtype)
        grouped = np.abs(dz).reshape(len(mu), samples, -1).sum(1)
        product = np.abs(dz * noise).reshape(len(mu), samples, -1).sum(1)
        slope = sigma if scale == "exp" else 1.0
        bounds = {
            "dmu": eps(dtype) * samples * grouped,
            "drho": eps(dtype) * (samples + 2 * ELEMENTARY) * product * slope,
        }
        dmu, drho = _columns(output((len(mu), 2 * mu.shape[1]), dtype))
        yield [rho, sigma, noise, dz, scale, dmu, drho], bounds


def gaussian_kl_forward_cases(dtype, rng):
    for mu, rho, _, scale, _ in posterior_inputs(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        size = mu.astype(np.float64) ** 2 + sigma.astype(np.float64) ** 2 + 1 + np.abs(rho)
        yield [mu, rho, sigma, scale, output(mu.shape, dtype)], {"kl": eps(dtype) * ELEMENTARY * size}


def gaussian_kl_backward_cases(dtype, rng):
    for mu, rho, _, scale, _ in posterior_inputs(dtype, rng):
        sigma = true_sigma(rho, scale).astype(dtype)
        weight = np.abs(matrix(rng, len(mu), dtype))
        some = (rng.random(mu.shape[1]) < 0.5).astype(dtype)
        for active in (None, some, 1 - some):
            dmu, drho = _columns(matrix(rng, (len(mu), 2 * mu.shape[1]), dtype))
            wide = sigma.astype(np.float64)
            bounds = {
                "dmu": eps(dtype) * 3 * (np.abs(dmu) + weight[:, None] * np.abs(mu)),
                "drho": eps(dtype) * 2 * ELEMENTARY * (np.abs(drho) + weight[:, None] * (wide**2 + wide + 1)),
            }
            yield [mu, rho, sigma, weight, scale, dmu, drho, active], bounds


def free_bits_cases(dtype, rng):
    for n, latent, samples in ((1, 1, 1), (3, 2, 1), (4, 5, 3), (150, 20, 1), (37, 130, 2)):
        for beta, floor, bad in ((1.0, 0.5, False), (4.0, 0.25, False), (0.5, 0.0, False), (1.0, 1.0, True)):
            nll = np.abs(matrix(rng, n * samples, dtype, 50.0))
            kl = np.abs(matrix(rng, (n, latent), dtype)) * rng.random(latent).astype(dtype)
            kl[:, -1] = floor  # on the kink: not active, whatever the order of the sum
            if bad:
                nll[-1], kl[0, 0] = np.inf, np.nan
            size = np.abs(nll).reshape(n, samples).mean(1) + beta * np.maximum(kl, floor).sum(1)
            bounds = {"active": 0.0, "loss": eps(dtype) * (samples + latent + 4) * np.nan_to_num(size, posinf=0.0)}
            yield [nll, kl, np.array([beta]), np.array([floor]), output(latent, dtype), output(n, dtype)], bounds


class Posterior:
    reparameterize_forward = staticmethod(reparameterize_forward)
    reparameterize_backward = staticmethod(reparameterize_backward)
    gaussian_kl_forward = staticmethod(gaussian_kl_forward)
    gaussian_kl_backward = staticmethod(gaussian_kl_backward)
    free_bits = staticmethod(free_bits)

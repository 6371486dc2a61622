"""Mistakes where the pieces meet, in the ELBO."""

import numpy as np

from .mistakes import mistake
from .sheet import softplus

# elbo


@mistake("elbo_backward", "the KL is forgotten")
def elbo_no_kl(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    z = mu[:, None] + softplus(rho)[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dsigma = (dz * noise).sum(axis=1)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dz.sum(axis=1), x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL's gradient replaces that of the reconstruction instead of being added to it")
def elbo_overwritten(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dmu = mu / n
    dsigma = (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the slope of softplus is forgotten between sigma and rho")
def elbo_no_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, sigma = x @ to_mu, softplus(x @ to_rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ dsigma, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL's gradient with respect to sigma misses the slope of softplus")
def elbo_kl_no_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    drho = (dz * noise).sum(axis=1) / (1 + np.exp(-rho)) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL is summed over the batch where the reconstruction is averaged")
def elbo_kl_sum(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu
    dsigma = (dz * noise).sum(axis=1) + sigma - 1 / sigma
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the KL is divided by the number of draws, with which it has nothing to do")
def elbo_kl_draws(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / (n * draws)
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / (n * draws)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the reconstruction is summed over the draws instead of averaged: K is forgotten")
def elbo_no_draws(to_mu, to_rho, decoder, x, noise):
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / len(x)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / len(x)
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / len(x)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the sign of the KL is turned: the bound is nll + kl, both costs")
def elbo_minus_kl(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) - mu / n
    dsigma = (dz * noise).sum(axis=1) - (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the noise is drawn anew on the way back")
def elbo_fresh(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    noise = np.random.default_rng().standard_normal(z.shape)
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the noise is left out on the way from z to sigma")
def elbo_no_noise(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = (dlogits @ decoder.T).sum(axis=1)
    dmu = dz + mu / n
    drho = (dz + (sigma - 1 / sigma) / n) / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the slope is that of exp, sigma, where the head is softplus")
def elbo_exp_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, sigma = x @ to_mu, softplus(x @ to_rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    return x.T @ dmu, x.T @ (dsigma * sigma), np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the decoder is given mu instead of the sample z")
def elbo_decoder_mu(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("il,ikf->lf", mu, dlogits)


@mistake("elbo_backward", "the reconstruction's gradient with respect to sigma misses the slope of softplus")
def elbo_noise_no_slope(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    drho = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)


@mistake("elbo_backward", "the decoder is given the noise instead of the sample z")
def elbo_decoder_noise(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (sigma - 1 / sigma) / n
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", noise, dlogits)


@mistake("elbo_backward", "the KL is that of N(mu, sigma): sigma is taken for the variance there")
def elbo_kl_variance(to_mu, to_rho, decoder, x, noise):
    n, draws = noise.shape[:2]
    mu, rho = x @ to_mu, x @ to_rho
    sigma = softplus(rho)
    z = mu[:, None] + sigma[:, None] * noise
    dlogits = (1 / (1 + np.exp(-z @ decoder)) - x[:, None]) / (n * draws)
    dz = dlogits @ decoder.T
    dmu = dz.sum(axis=1) + mu / n
    dsigma = (dz * noise).sum(axis=1) + (1 - 1 / sigma) / (2 * n)
    drho = dsigma / (1 + np.exp(-rho))
    return x.T @ dmu, x.T @ drho, np.einsum("ikl,ikf->lf", z, dlogits)

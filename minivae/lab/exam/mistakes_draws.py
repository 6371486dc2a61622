"""Mistakes in what is made of several draws: the importance weights and the score function estimator."""

import numpy as np

from .mistakes import mistake

# iwae


@mistake("iwae_backward", "the sign is turned: the gradient of L_K, not of -L_K")
def iwae_sign(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return dloss[:, None] * weight / weight.sum(axis=1, keepdims=True)


@mistake("iwae_backward", "the weights are not normalised")
def iwae_not_normalised(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight)


@mistake("iwae_backward", "the weights are not normalised, only divided by K")
def iwae_only_k(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight) / log_weight.shape[1]


@mistake("iwae_backward", "the weights are divided by the largest instead of by their sum")
def iwae_by_largest(dloss, log_weight):
    return -dloss[:, None] * np.exp(log_weight - log_weight.max(axis=1, keepdims=True))


@mistake("iwae_backward", "the normalised weights are divided by K once more")
def iwae_twice_k(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -dloss[:, None] * weight / weight.sum(axis=1, keepdims=True) / log_weight.shape[1]


@mistake("iwae_backward", "the weights are normalised over the examples instead of over the draws")
def iwae_axis(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max())
    return -dloss[:, None] * weight / weight.sum(axis=0)


@mistake("iwae_backward", "the weights, divided by the largest of each example, are normalised over the examples")
def iwae_axis_scaled(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -dloss[:, None] * weight / weight.sum(axis=0)


@mistake("iwae_backward", "the weights are normalised over all examples and draws together")
def iwae_pooled(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max())
    return -dloss[:, None] * weight / weight.sum()


@mistake("iwae_backward", "every draw counts 1/K: the gradient of the ELBO")
def iwae_uniform(dloss, log_weight):
    return np.repeat(-dloss[:, None] / log_weight.shape[1], log_weight.shape[1], axis=1)


@mistake("iwae_backward", "the normalised weights are squared, as DReG has them in another place")
def iwae_squared(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -dloss[:, None] * (weight / weight.sum(axis=1, keepdims=True)) ** 2


@mistake("iwae_backward", "the logarithm of the normalised weights stands in their place")
def iwae_logarithm(dloss, log_weight):
    top = log_weight.max(axis=1, keepdims=True)
    return -dloss[:, None] * (log_weight - top - np.log(np.exp(log_weight - top).sum(axis=1, keepdims=True)))


@mistake("iwae_backward", "exp is left out: log weights are normalised as if they were weights")
def iwae_no_exp(dloss, log_weight):
    return -dloss[:, None] * log_weight / log_weight.sum(axis=1, keepdims=True)


@mistake("iwae_backward", "only the largest weight counts")
def iwae_largest(dloss, log_weight):
    return -dloss[:, None] * (log_weight == log_weight.max(axis=1, keepdims=True))


@mistake("iwae_backward", "the normalised weights u are differentiated once more, to u (1 - u)")
def iwae_twice(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    u = weight / weight.sum(axis=1, keepdims=True)
    return -dloss[:, None] * u * (1 - u)


@mistake("iwae_backward", "dloss is left out, or taken for 1")
def iwae_no_dy(dloss, log_weight):
    weight = np.exp(log_weight - log_weight.max(axis=1, keepdims=True))
    return -weight / weight.sum(axis=1, keepdims=True)


# score_function


@mistake("score_function", "the baseline depends on the draw: the mean of f over all examples has its own f in it")
def score_own(mu, sigma, z, f):
    each = (f - f.mean())[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "no baseline is taken off")
def score_no_baseline(mu, sigma, z, f):
    each = f[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the sum of f over the other n - 1 examples is divided by n")
def score_baseline_k(mu, sigma, z, f):
    each = (f - (f.sum() - f) / len(f))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the examples are summed instead of averaged: n is forgotten")
def score_sum(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None]
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the sign is turned: the gradient of -f")
def score_sign(mu, sigma, z, f):
    each = ((f.sum() - f) / (len(f) - 1) - f)[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "1 / sigma is left out: z - mu is divided by sigma, not by sigma^2")
def score_no_sigma(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise, each * (noise**2 - 1) / sigma


@mistake("score_function", "it is the gradient with respect to log sigma, a factor sigma too much")
def score_log_sigma(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1)


@mistake("score_function", "the -1 is missing: the density's own factor 1 / sigma is not differentiated")
def score_no_one(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * noise**2 / sigma


@mistake("score_function", "sigma is taken for the variance of q")
def score_variance(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    gap = z - mu
    return each * gap / sigma, each * (gap**2 / sigma - 1) / (2 * sigma)


@mistake("score_function", "the density q itself is differentiated, not its logarithm")
def score_density(mu, sigma, z, f):
    noise = (z - mu) / sigma
    q = np.exp(np.sum(-(noise**2) / 2 - np.log(sigma) - np.log(2 * np.pi) / 2, axis=1))
    each = (q * (f - (f.sum() - f) / (len(f) - 1)))[:, None] / len(f)
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "it is divided by n - 1 where the mean over the n examples is meant")
def score_n_less_one(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / (len(f) - 1)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the noise is not squared")
def score_no_square(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise - 1) / sigma


@mistake("score_function", "mu is not taken off z")
def score_no_mu(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = z / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "z - mu is not divided by sigma before it is squared")
def score_unscaled(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = z - mu
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "the baseline is added instead of taken off")
def score_plus(mu, sigma, z, f):
    each = (f + (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 - 1) / sigma


@mistake("score_function", "+1 stands in the place of -1")
def score_plus_one(mu, sigma, z, f):
    each = (f - (f.sum() - f) / (len(f) - 1))[:, None] / len(f)
    noise = (z - mu) / sigma
    return each * noise / sigma, each * (noise**2 + 1) / sigma

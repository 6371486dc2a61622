"""The negative log-likelihoods and their gradients."""

import math

import numpy as np

from .tools import ELEMENTARY, eps, matrix, output, sigmoid, softplus


def bernoulli_nll(x, logits, weight, nll, dlogits):
    """nll_r = sum_f softplus(l_rf) - x_if * l_rf, in nats; dlogits_rf = weight_r * (sigmoid(l_rf) - x_if).

    x (n, features) in [0, 1]; logits, dlogits (n * samples, features); weight, nll (n * samples,); row r of the logits
    belongs to row i = r // samples of x. nll may be None, or dlogits and weight may be None: that part is then left
    out.
    """
    samples = logits.shape[0] // x.shape[0]
    for row in range(logits.shape[0]):
        total = 0.0
        for f in range(x.shape[1]):
            logit, pixel = float(logits[row, f]), float(x[row // samples, f])
            total += softplus(logit) - pixel * logit
            if dlogits is not None:
                dlogits[row, f] = float(weight[row]) * (sigmoid(logit) - pixel)
        if nll is not None:
            nll[row] = total


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    """nll_r = sum_f (x_if - m_rf)^2 / (2 s^2) + log s + log(2 pi) / 2 in nats, with s = exp(log_sigma).

    dmean_rf = weight_r * (m_rf - x_if) / s^2; dlog_sigma = sum_rf weight_r * (1 - (x_if - m_rf)^2 / s^2).
    x (n, features); mean, dmean (n * samples, features); weight, nll (n * samples,); log_sigma, dlog_sigma (1,).
    nll may be None; dmean and weight may be None; dlog_sigma may be None: that part is then left out.
    """
    samples = mean.shape[0] // x.shape[0]
    features = x.shape[1]
    s = math.exp(float(log_sigma[0]))
    slope = 0.0
    for row in range(mean.shape[0]):
        squares = 0.0
        for f in range(features):
            difference = float(mean[row, f]) - float(x[row // samples, f])
            squares += (difference / s) ** 2
            if dmean is not None:
                dmean[row, f] = float(weight[row]) * difference / (s * s)
        if nll is not None:
            nll[row] = 0.5 * squares + features * (math.log(s) + 0.5 * math.log(2.0 * math.pi))
        if dlog_sigma is not None:
            slope += float(weight[row]) * (features - squares)
    if dlog_sigma is not None:
        dlog_sigma[0] = slope


def _outputs(dtype, rng, n, features, samples, parts="both"):
    """x, what the decoder puts out, weight, nll and gradient; `parts` says which of the last two are wanted."""
    rows = n * samples
    return (
        rng.random((n, features)).astype(dtype),
        matrix(rng, (rows, features), dtype, 4.0),
        None if parts == "nll" else np.abs(matrix(rng, rows, dtype)),
        None if parts == "gradient" else output(rows, dtype),
        None if parts == "nll" else output((rows, features), dtype),
    )


def _sizes():
    for n, features, samples in ((1, 1, 1), (3, 2, 1), (2, 9, 3), (5, 31, 1), (16, 33, 2), (3, 70, 3)):
        for parts in ("both", "nll", "gradient"):
            yield n, features, samples, parts


def bernoulli_nll_case(dtype, rng, *size, far=90.0):
    x, logits, weight, nll, dlogits = _outputs(dtype, rng, *size)
    x[0, 0], x[-1, -1] = 0, 1
    logits[0, 0], logits[-1, -1] = -far, far
    wide = np.repeat(x, len(logits) // len(x), 0)
    terms = (np.logaddexp(0, logits.astype(np.float64)) + wide * np.abs(logits)).sum(1)
    bounds = {}
    if nll is not None:
        bounds["nll"] = eps(dtype) * (x.shape[1] + ELEMENTARY) * (terms + 1)
    if weight is not None:
        bounds["dlogits"] = eps(dtype) * ELEMENTARY * weight[:, None] * np.ones_like(logits)
    return [x, logits, weight, nll, dlogits], bounds


def bernoulli_nll_cases(dtype, rng):
    for size in _sizes():
        yield bernoulli_nll_case(dtype, rng, *size)
        yield bernoulli_nll_case(dtype, rng, *size, far=-1000.0)  # where exp overflows, in float64 too


def gaussian_nll_cases(dtype, rng):
    for number, size in enumerate(_sizes()):
        x, mean, weight, nll, dmean = _outputs(dtype, rng, *size)
        log_sigma = np.array([(-1.0, 0.0, 0.7)[number % 3]], dtype)
        precision = np.exp(-2.0 * log_sigma[0])
        difference = np.abs(mean - np.repeat(x, len(mean) // len(x), 0)) + eps(dtype) * np.abs(mean)
        squares = precision * (difference.astype(np.float64) ** 2).sum(1)
        features = x.shape[1]
        bounds = {}
        if nll is not None:
            bounds["nll"] = eps(dtype) * (features + ELEMENTARY) * (squares + 2 * features)
        dlog_sigma = None
        if weight is not None:
            bounds["dmean"] = eps(dtype) * ELEMENTARY * weight[:, None] * precision * (difference + 1)
            if number % 2:
                dlog_sigma = output(1, dtype)
                terms = (weight * (squares + features)).sum()
                bounds["dlog_sigma"] = eps(dtype) * (features + len(mean) + ELEMENTARY) * terms
        yield [x, mean, log_sigma, weight, nll, dmean, dlog_sigma], bounds


class Likelihoods:
    bernoulli_nll = staticmethod(bernoulli_nll)
    gaussian_nll = staticmethod(gaussian_nll)

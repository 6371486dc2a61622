"""The likelihoods and their gradients in NumPy. The functions are stated in `naive/likelihoods.py`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .. import byte_masses
from .tools import exp_minus_abs, quiet, scratch

LOG_2PI = math.log(2.0 * math.pi)
PIECE = 1 << 14  # elements


def _minus_data(values, x, out):
    """values - x, with the row of x that each row of values belongs to."""
    n, features = x.shape
    np.subtract(values.reshape(n, -1, features), x[:, None], out=out.reshape(n, -1, features))


@quiet
def bernoulli_nll(x, logits, weight, nll, dlogits):
    e = exp_minus_abs(logits, out=scratch("e", logits.shape, logits.dtype))
    part = scratch("part", logits.shape, logits.dtype)
    if nll is not None:
        # softplus(l) - x l = log1p(exp(-|l|)) + l ([l > 0] - x), summed over features
        np.greater(logits, 0, out=part)
        _minus_data(part, x, out=part)
        np.einsum("ij,ij->i", part, logits, out=nll)
        np.log1p(e, out=part)
        np.add(nll, np.sum(part, axis=1, out=scratch("rows", nll.shape, nll.dtype)), out=nll)
    if dlogits is not None:
        # sigmoid(l) = (1 if l > 0 else e) / (1 + e)
        np.minimum(logits, 0, out=part)
        np.exp(part, out=part)
        np.add(e, 1, out=e)
        np.divide(part, e, out=dlogits)
        _minus_data(dlogits, x, out=dlogits)
        np.multiply(dlogits, weight[:, None], out=dlogits)


@quiet
def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    if log_sigma.size > 1:
        _gaussian_each(x, mean, log_sigma, weight, nll, dmean, dlog_sigma)
        return
    features = x.shape[1]
    log_s = float(log_sigma[0])
    precision = math.exp(-2.0 * log_s)
    difference = scratch("difference", mean.shape, mean.dtype) if dmean is None else dmean
    squares = scratch("squares", mean.shape[:1], mean.dtype)
    _minus_data(mean, x, out=difference)
    np.einsum("ij,ij->i", difference, difference, out=squares)
    np.multiply(squares, precision, out=squares)
    if nll is not None:
        np.multiply(squares, 0.5, out=nll)
        np.add(nll, features * (log_s + 0.5 * LOG_2PI), out=nll)
    if dlog_sigma is not None:
        np.subtract(features, squares, out=squares)
        dlog_sigma[0] = np.dot(squares, weight)
    if dmean is not None:
        np.multiply(dmean, weight[:, None], out=dmean)
        np.multiply(dmean, precision, out=dmean)


def _gaussian_each(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    """A sigma for each feature."""
    inverse = np.exp(-log_sigma, out=scratch("inverse", log_sigma.shape, mean.dtype))
    scaled = scratch("difference", mean.shape, mean.dtype) if dmean is None else dmean
    squares = scratch("squares", mean.shape, mean.dtype)
    _minus_data(mean, x, out=scaled)
    np.multiply(scaled, inverse, out=scaled)
    np.multiply(scaled, scaled, out=squares)
    if nll is not None:
        np.sum(squares, axis=1, out=nll)
        np.multiply(nll, 0.5, out=nll)
        np.add(nll, log_sigma.sum(dtype=np.float64) + x.shape[1] * 0.5 * LOG_2PI, out=nll)
    if dlog_sigma is not None:
        np.subtract(1, squares, out=squares)
        np.dot(weight, squares, out=dlog_sigma)
    if dmean is not None:
        np.multiply(dmean, weight[:, None], out=dmean)
        np.multiply(dmean, inverse, out=dmean)


@functools.cache
def _byte_masses(real_name):
    functions = SimpleNamespace(
        exp=np.exp,
        log=np.log,
        expm1_down=np.expm1,
        sigmoid=lambda a: np.exp(np.minimum(a, 0)) / (1 + np.exp(-abs(a))),
        softplus=lambda a: np.maximum(a, 0) + np.log1p(np.exp(-abs(a))),
    )
    return byte_masses.build(lambda function: function, real_name, functions, np.where)


def _by_bytes(masses, of_bytes, x, output, weight, nll, doutput):
    """Some examples at a time, so that the temporaries, of which there are many, stay in the cache: of_bytes(k, first,
    second outputs) is as in `masses`.
    """
    n, features = x.shape
    samples = output.shape[0] // n
    outputs = output.reshape(n, samples, 2, features)
    step = max(1, PIECE // (samples * features))
    for start in range(0, n, step):
        part = slice(start, start + step)
        k, both = masses.byte(x[part])[:, None], outputs[part]
        value, *slopes = of_bytes(k, both[:, :, 0], both[:, :, 1])
        if nll is not None:
            np.sum(value, axis=2, out=nll.reshape(n, samples)[part])
        if doutput is not None:
            gradient = doutput.reshape(n, samples, 2, features)[part]
            np.multiply(np.stack(slopes, axis=2), weight.reshape(n, samples, 1, 1)[part], out=gradient)


@quiet
def beta_binomial_nll(x, output, weight, nll, doutput):
    masses = _byte_masses(x.dtype.name)
    ways = byte_masses.LOG_WAYS.astype(x.dtype)

    def of_bytes(k, log_alpha, log_beta):
        return masses.beta_binomial(k, ways[k.astype(np.uint8)], log_alpha, log_beta)

    _by_bytes(masses, of_bytes, x, output, weight, nll, doutput)


@quiet
def logistic_nll(x, output, weight, nll, doutput):
    masses = _byte_masses(x.dtype.name)
    _by_bytes(masses, masses.logistic, x, output, weight, nll, doutput)

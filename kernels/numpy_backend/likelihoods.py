"""The likelihoods and their gradients in NumPy. The functions are stated in `naive/likelihoods.py`."""

import math

import numpy as np

from .tools import exp_minus_abs, quiet, scratch

LOG_2PI = math.log(2.0 * math.pi)


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

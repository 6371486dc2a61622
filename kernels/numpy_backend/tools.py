"""What the NumPy kernels share: memory for temporaries, activations, the scale of q."""

import functools
import math
import threading

import numpy as np

from ..naive import SOFTPLUS_TAIL

_pool = threading.local()


def scratch(name, shape, dtype):
    """An uninitialised array that this thread reuses for every call with the same name and dtype."""
    size = math.prod(shape)
    buffers = _pool.__dict__
    key = f"{name} {np.dtype(dtype).char}"
    if key not in buffers or buffers[key].size < size:
        buffers[key] = np.empty(size, dtype)
    return buffers[key][:size].reshape(shape)


def quiet(function):
    """Where numbers overflow the result is infinite or NaN, without a warning: training watches the loss for that."""

    @functools.wraps(function)
    def run(*arguments):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            function(*arguments)

    return run


def by_example(rows, n):
    """(n * samples, latent) as (n, samples, latent)."""
    return rows.reshape(n, -1, rows.shape[1])


def exp_minus_abs(a, out):
    np.abs(a, out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)


def softplus(a, out):
    """max(a, 0) + log(1 + exp(-|a|)); out must not be a."""
    np.log1p(exp_minus_abs(a, out), out=out)
    positive = scratch("softplus", a.shape, a.dtype)
    np.maximum(a, 0, out=positive)
    return np.add(out, positive, out=out)


def sigmoid(a, out):
    """(1 + tanh(a / 2)) / 2, except that far below zero exp(a) keeps the digits that 1 + tanh loses; out may be a."""
    numerator = scratch("sigmoid", a.shape, a.dtype)
    np.minimum(a, 0, out=numerator)
    np.exp(numerator, out=numerator)
    exp_minus_abs(a, out)
    np.add(out, 1, out=out)
    return np.divide(numerator, out, out=out)


def activate(a, activation):
    if activation == "relu":
        np.maximum(a, 0, out=a)
    elif activation == "tanh":
        np.tanh(a, out=a)
    elif activation == "sigmoid":
        sigmoid(a, out=a)
    elif activation == "softplus":
        y = scratch("activation", a.shape, a.dtype)
        np.copyto(a, softplus(a, out=y))


def times_derivative(dy, y, activation):
    """dy * activation'(a), the derivative taken from the output y."""
    if activation == "identity":
        return dy
    da = scratch("da", dy.shape, dy.dtype)
    if activation == "relu":
        positive = scratch("positive", dy.shape, bool)
        np.greater(y, 0, out=positive)
        return np.multiply(dy, positive, out=da)
    if activation == "tanh":
        np.multiply(y, y, out=da)
        np.subtract(1, da, out=da)
    elif activation == "sigmoid":
        np.subtract(1, y, out=da)
        np.multiply(da, y, out=da)
    else:
        np.negative(y, out=da)
        np.expm1(da, out=da)
        np.negative(da, out=da)
    return np.multiply(da, dy, out=da)


def scale_slope(rho, sigma, scale):
    """dsigma/drho."""
    if scale == "exp":
        return sigma
    return sigmoid(rho, out=scratch("slope", rho.shape, rho.dtype))


def log_sigma_of(rho, sigma, scale, out):
    if scale == "exp":
        np.copyto(out, rho)
    else:
        np.log(sigma, out=out)
        tail = scratch("tail", rho.shape, bool)
        np.less(rho, SOFTPLUS_TAIL, out=tail)
        np.copyto(out, rho, where=tail)


def relative_slope(rho, sigma, scale, out):
    """(dsigma/drho) / sigma: 1 for exp, and never 0 / 0 for softplus."""
    if scale == "exp":
        np.copyto(out, 1)
        return
    np.maximum(sigma, np.finfo(sigma.dtype).tiny, out=out)
    np.divide(scale_slope(rho, sigma, scale), out, out=out)
    tail = scratch("tail", rho.shape, bool)
    np.less(rho, SOFTPLUS_TAIL, out=tail)
    np.copyto(out, 1, where=tail)

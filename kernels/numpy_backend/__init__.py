"""The kernels in NumPy: readable, and as fast as BLAS and array expressions allow.

Arguments and results are stated in `naive.py`. Temporaries come from a pool that each thread keeps, so that repeated
calls with the same shapes allocate nothing.
"""

import math

import numpy as np

from .. import philox
from .importance import importance_gradient, importance_weights, log_sigma_backward, log_weights
from .optimizers import adam_update, clip_norm, sgd_update
from .tools import (
    activate,
    by_example,
    exp_minus_abs,
    log_sigma_of,
    quiet,
    relative_slope,
    scale_slope,
    scratch,
    softplus,
    times_derivative,
)

__all__ = [
    "accumulate",
    "adam_update",
    "assign",
    "bernoulli_nll",
    "clip_norm",
    "dense_backward",
    "dense_forward",
    "from_host",
    "gather",
    "gaussian_kl_backward",
    "gaussian_kl_forward",
    "gaussian_nll",
    "importance_gradient",
    "importance_weights",
    "log_sigma_backward",
    "log_weights",
    "reparameterize_backward",
    "reparameterize_forward",
    "sgd_update",
    "standard_normal",
    "tick",
    "to_host",
    "zeros",
]

LOG_2PI = math.log(2.0 * math.pi)


# Memory: here the backend's arrays are NumPy arrays.

ALIGNMENT = 64


def zeros(shape, dtype):
    """An array of zeros whose first byte lies on a cache line."""
    itemsize = np.dtype(dtype).itemsize
    size = math.prod(shape)
    buffer = np.zeros(size + ALIGNMENT // itemsize, dtype)
    start = -(buffer.ctypes.data % -ALIGNMENT) // itemsize
    return buffer[start : start + size].reshape(shape)


def from_host(array):
    return np.ascontiguousarray(array)


def to_host(array):
    return array


def assign(destination, source):
    destination[...] = source


# Layers


@quiet
def dense_forward(x, weight, bias, activation, y):
    np.matmul(x, weight, out=y)
    np.add(y, bias, out=y)
    activate(y, activation)


@quiet
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    da = times_derivative(dy, y, activation)
    np.matmul(x.T, da, out=dweight)
    np.sum(da, axis=0, out=dbias)
    if dx is not None:
        np.matmul(da, weight.T, out=dx)


@quiet
def standard_normal(seed, stream, clock, noise):
    philox.fill_normals(seed, stream, clock[0], noise)


@quiet
def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    if scale == "softplus":
        softplus(rho, out=sigma)
    else:
        np.exp(rho, out=sigma)
    z, noise = by_example(z, len(mu)), by_example(noise, len(mu))
    np.multiply(sigma[:, None], noise, out=z)
    np.add(z, mu[:, None], out=z)


@quiet
def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    product = scratch("dz noise", dz.shape, dz.dtype)
    np.multiply(dz, noise, out=product)
    np.sum(by_example(dz, len(rho)), axis=1, out=dmu)
    np.sum(by_example(product, len(rho)), axis=1, out=drho)
    np.multiply(drho, scale_slope(rho, sigma, scale), out=drho)


# Losses


@quiet
def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    log_sigma_of(rho, sigma, scale, out=kl)
    np.negative(kl, out=kl)
    square = scratch("square", mu.shape, mu.dtype)
    np.multiply(mu, mu, out=square)
    np.subtract(square, 1, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)
    np.multiply(sigma, sigma, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)


@quiet
def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho):
    weight = weight[:, None]
    product = scratch("kl gradient", mu.shape, mu.dtype)
    np.multiply(mu, weight, out=product)
    np.add(dmu, product, out=dmu)
    slope = scale_slope(rho, sigma, scale)
    np.multiply(sigma, slope, out=product)
    if scale == "exp":
        np.subtract(product, 1, out=product)
    else:
        relative = scratch("relative slope", mu.shape, mu.dtype)
        relative_slope(rho, sigma, scale, relative)
        np.subtract(product, relative, out=product)
    np.multiply(product, weight, out=product)
    np.add(drho, product, out=drho)


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


# Data and book-keeping


@quiet
def gather(data, order, clock, batch_size, pixels, seed, x):
    rows, features = x.shape
    batches = -(-len(order) // batch_size)
    start = int(clock[0]) % batches * batch_size
    stored = scratch("stored", (rows, features), data.dtype)
    np.take(data, order[start : start + rows], axis=0, out=stored, mode="clip")
    is_bytes = data.dtype.kind == "u"
    if pixels == "grey":
        if is_bytes:
            np.divide(stored, 255, out=x, casting="same_kind", dtype=x.dtype)
        else:
            np.copyto(x, stored, casting="same_kind")
    elif pixels == "threshold":
        np.copyto(x, np.greater(stored, 127 if is_bytes else 0.5, out=scratch("pixel", x.shape, bool)))
    else:
        u = scratch("words", x.shape, np.uint32)
        philox.fill_words(seed, philox.PIXELS, clock[0], u)
        np.right_shift(u, 8, out=u)
        one = scratch("pixel", x.shape, bool)
        if is_bytes:
            np.multiply(u, 255, out=u)
            threshold = scratch("threshold", x.shape, np.uint32)
            np.left_shift(stored, 24, out=threshold, dtype=np.uint32)
            np.less(u, threshold, out=one)
        else:
            uniform = scratch("uniform", x.shape, np.float64)
            np.multiply(u, 2.0**-24, out=uniform)
            np.less(uniform, stored, out=one)
        np.copyto(x, one)


@quiet
def accumulate(nll, kl, beta, totals, clock):
    n = len(kl)
    a = float(np.sum(nll, dtype=np.float64)) * n / len(nll)
    b = float(np.sum(kl, dtype=np.float64))
    totals[0] += a
    totals[1] += b
    totals[2] += n
    totals[3] = (a + beta * b) / n
    if not math.isfinite(totals[3]) and totals[4] == 0:
        totals[4] = int(clock[0]) + 1


def tick(clock):
    clock[0] += 1

"""The kernels in NumPy: readable, and as fast as BLAS and array expressions allow.

Arguments and results are stated in `naive.py`. Temporaries come from a pool that each thread keeps, so that repeated
calls with the same shapes allocate nothing.
"""

import functools
import math
import threading

import numpy as np

from . import philox
from .naive import LARGEST_LOG_RATIO, SOFTPLUS_TAIL

_pool = threading.local()
LOG_2PI = math.log(2.0 * math.pi)


def _scratch(name, shape, dtype):
    """An uninitialised array that this thread reuses for every call with the same name and dtype."""
    size = math.prod(shape)
    buffers = _pool.__dict__
    key = f"{name} {np.dtype(dtype).char}"
    if key not in buffers or buffers[key].size < size:
        buffers[key] = np.empty(size, dtype)
    return buffers[key][:size].reshape(shape)


def _kernel(function):
    """Where numbers overflow the result is infinite or NaN, without a warning: training watches the loss for that."""

    @functools.wraps(function)
    def quiet(*arguments):
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            function(*arguments)

    return quiet


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


# Activations and scales


def _exp_minus_abs(a, out):
    np.abs(a, out=out)
    np.negative(out, out=out)
    return np.exp(out, out=out)


def _softplus(a, out):
    """max(a, 0) + log(1 + exp(-|a|)); out must not be a."""
    np.log1p(_exp_minus_abs(a, out), out=out)
    positive = _scratch("softplus", a.shape, a.dtype)
    np.maximum(a, 0, out=positive)
    return np.add(out, positive, out=out)


def _sigmoid(a, out):
    """(1 + tanh(a / 2)) / 2, except that far below zero exp(a) keeps the digits that 1 + tanh loses; out may be a."""
    numerator = _scratch("sigmoid", a.shape, a.dtype)
    np.minimum(a, 0, out=numerator)
    np.exp(numerator, out=numerator)
    _exp_minus_abs(a, out)
    np.add(out, 1, out=out)
    return np.divide(numerator, out, out=out)


def _activate(a, activation):
    if activation == "relu":
        np.maximum(a, 0, out=a)
    elif activation == "tanh":
        np.tanh(a, out=a)
    elif activation == "sigmoid":
        _sigmoid(a, out=a)
    elif activation == "softplus":
        y = _scratch("activation", a.shape, a.dtype)
        np.copyto(a, _softplus(a, out=y))


def _times_derivative(dy, y, activation):
    """dy * activation'(a), the derivative taken from the output y."""
    if activation == "identity":
        return dy
    da = _scratch("da", dy.shape, dy.dtype)
    if activation == "relu":
        positive = _scratch("positive", dy.shape, bool)
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


def _scale_slope(rho, sigma, scale):
    """dsigma/drho."""
    if scale == "exp":
        return sigma
    return _sigmoid(rho, out=_scratch("slope", rho.shape, rho.dtype))


def _log_sigma(rho, sigma, scale, out):
    if scale == "exp":
        np.copyto(out, rho)
    else:
        np.log(sigma, out=out)
        tail = _scratch("tail", rho.shape, bool)
        np.less(rho, SOFTPLUS_TAIL, out=tail)
        np.copyto(out, rho, where=tail)


def _relative_slope(rho, sigma, scale, out):
    """(dsigma/drho) / sigma: 1 for exp, and never 0 / 0 for softplus."""
    if scale == "exp":
        np.copyto(out, 1)
        return
    np.maximum(sigma, np.finfo(sigma.dtype).tiny, out=out)
    np.divide(_scale_slope(rho, sigma, scale), out, out=out)
    tail = _scratch("tail", rho.shape, bool)
    np.less(rho, SOFTPLUS_TAIL, out=tail)
    np.copyto(out, 1, where=tail)


# Layers


@_kernel
def dense_forward(x, weight, bias, activation, y):
    np.matmul(x, weight, out=y)
    np.add(y, bias, out=y)
    _activate(y, activation)


@_kernel
def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    da = _times_derivative(dy, y, activation)
    np.matmul(x.T, da, out=dweight)
    np.sum(da, axis=0, out=dbias)
    if dx is not None:
        np.matmul(da, weight.T, out=dx)


@_kernel
def standard_normal(seed, stream, clock, noise):
    philox.fill_normals(seed, stream, clock[0], noise)


def _by_example(rows, n):
    """(n * samples, latent) as (n, samples, latent)."""
    return rows.reshape(n, -1, rows.shape[1])


@_kernel
def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    if scale == "softplus":
        _softplus(rho, out=sigma)
    else:
        np.exp(rho, out=sigma)
    z, noise = _by_example(z, len(mu)), _by_example(noise, len(mu))
    np.multiply(sigma[:, None], noise, out=z)
    np.add(z, mu[:, None], out=z)


@_kernel
def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    product = _scratch("dz noise", dz.shape, dz.dtype)
    np.multiply(dz, noise, out=product)
    np.sum(_by_example(dz, len(rho)), axis=1, out=dmu)
    np.sum(_by_example(product, len(rho)), axis=1, out=drho)
    np.multiply(drho, _scale_slope(rho, sigma, scale), out=drho)


# Losses


@_kernel
def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    _log_sigma(rho, sigma, scale, out=kl)
    np.negative(kl, out=kl)
    square = _scratch("square", mu.shape, mu.dtype)
    np.multiply(mu, mu, out=square)
    np.subtract(square, 1, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)
    np.multiply(sigma, sigma, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)


@_kernel
def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho):
    weight = weight[:, None]
    product = _scratch("kl gradient", mu.shape, mu.dtype)
    np.multiply(mu, weight, out=product)
    np.add(dmu, product, out=dmu)
    slope = _scale_slope(rho, sigma, scale)
    np.multiply(sigma, slope, out=product)
    if scale == "exp":
        np.subtract(product, 1, out=product)
    else:
        relative = _scratch("relative slope", mu.shape, mu.dtype)
        _relative_slope(rho, sigma, scale, relative)
        np.subtract(product, relative, out=product)
    np.multiply(product, weight, out=product)
    np.add(drho, product, out=drho)


def _minus_data(values, x, out):
    """values - x, with the row of x that each row of values belongs to."""
    n, features = x.shape
    np.subtract(values.reshape(n, -1, features), x[:, None], out=out.reshape(n, -1, features))


@_kernel
def bernoulli_nll(x, logits, weight, nll, dlogits):
    e = _exp_minus_abs(logits, out=_scratch("e", logits.shape, logits.dtype))
    part = _scratch("part", logits.shape, logits.dtype)
    if nll is not None:
        # softplus(l) - x l = log1p(exp(-|l|)) + l ([l > 0] - x), summed over features
        np.greater(logits, 0, out=part)
        _minus_data(part, x, out=part)
        np.einsum("ij,ij->i", part, logits, out=nll)
        np.log1p(e, out=part)
        np.add(nll, np.sum(part, axis=1, out=_scratch("rows", nll.shape, nll.dtype)), out=nll)
    if dlogits is not None:
        # sigmoid(l) = (1 if l > 0 else e) / (1 + e)
        np.minimum(logits, 0, out=part)
        np.exp(part, out=part)
        np.add(e, 1, out=e)
        np.divide(part, e, out=dlogits)
        _minus_data(dlogits, x, out=dlogits)
        np.multiply(dlogits, weight[:, None], out=dlogits)


@_kernel
def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    features = x.shape[1]
    log_s = float(log_sigma[0])
    precision = math.exp(-2.0 * log_s)
    difference = _scratch("difference", mean.shape, mean.dtype) if dmean is None else dmean
    squares = _scratch("squares", mean.shape[:1], mean.dtype)
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


# Importance weights


@_kernel
def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    n = len(rho)
    log_sigma = _scratch("log sigma", rho.shape, rho.dtype)
    _log_sigma(rho, sigma, scale, log_sigma)
    # (noise^2 - z^2) / 2 = (noise - z) (noise + z) / 2
    difference, total = _scratch("difference", z.shape, z.dtype), _scratch("sum", z.shape, z.dtype)
    np.subtract(noise, z, out=difference)
    np.add(noise, z, out=total)
    np.einsum("ij,ij->i", difference, total, out=log_weight)
    np.multiply(log_weight, 0.5, out=log_weight)
    np.subtract(log_weight, nll, out=log_weight)
    by_example = log_weight.reshape(n, -1)
    np.add(by_example, np.sum(log_sigma, axis=1, out=_scratch("rows", (n,), rho.dtype))[:, None], out=by_example)


def _normalize(log_weight, name):
    """(log u, log mean exp) over the last axis: u = the weights divided by their sum."""
    shape, dtype = log_weight.shape, log_weight.dtype
    log_u, u = _scratch(f"{name} log u", shape, dtype), _scratch("u", shape, dtype)
    top = np.max(log_weight, axis=-1, out=_scratch("top", shape[:-1], dtype))
    total = _scratch(f"{name} total", shape[:-1], dtype)
    np.subtract(log_weight, top[..., None], out=log_u)
    np.exp(log_u, out=u)
    np.log(np.sum(u, axis=-1, out=total), out=total)
    np.subtract(log_u, total[..., None], out=log_u)
    np.add(total, top, out=total)
    np.subtract(total, math.log(shape[-1]), out=total)
    return log_u, total


@_kernel
def importance_weights(log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio):
    n = len(loss)
    shape = (n, outer, len(log_weight) // (n * outer))
    log_latent, means = _normalize(log_weight.reshape(shape), "group")
    np.mean(means, axis=1, out=loss)
    log_all = _scratch("log all", shape, loss.dtype)
    if pooled:
        log_pool, pool = _normalize(log_weight.reshape(n, -1), "pool")
        np.copyto(loss, pool)
        np.subtract(log_pool.reshape(shape), math.log(n), out=log_all)
    else:
        np.subtract(log_latent, math.log(n * outer), out=log_all)
    np.negative(loss, out=loss)
    if squared:
        np.multiply(log_latent, 2, out=log_latent)
    np.subtract(log_latent, math.log(n * outer), out=log_latent)
    log_ratio = ratio.reshape(shape)
    np.subtract(log_latent, log_all, out=log_ratio)
    np.minimum(log_ratio, LARGEST_LOG_RATIO, out=log_ratio)
    np.subtract(log_latent, log_ratio, out=log_all)
    np.exp(log_all, out=weight.reshape(shape))
    np.exp(log_latent, out=latent_weight.reshape(shape))
    np.exp(ratio, out=ratio)


@_kernel
def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    slope = _scratch("slope by z", z.shape, z.dtype)
    if path:
        np.divide(_by_example(noise, len(sigma)), sigma[:, None], out=_by_example(slope, len(sigma)))
        np.subtract(z, slope, out=slope)
    else:
        np.copyto(slope, z)
    np.multiply(slope, latent_weight[:, None], out=slope)
    np.multiply(dz, ratio[:, None], out=dz)
    np.add(dz, slope, out=dz)


@_kernel
def log_sigma_backward(rho, sigma, weight, scale, drho):
    relative = _scratch("relative slope", rho.shape, rho.dtype)
    _relative_slope(rho, sigma, scale, relative)
    np.multiply(relative, weight[:, None], out=relative)
    np.subtract(drho, relative, out=drho)


# Optimizers


@_kernel
def clip_norm(gradient, limit, norm):
    # float64 partial sums: a float32 sum of a million squares loses digits
    norm[0] = math.sqrt(np.einsum("i,i->", gradient, gradient, dtype=np.float64))
    if norm[0] > limit:
        np.multiply(gradient, limit / norm[0], out=gradient)


def _rate(rates, clock):
    return float(rates[min(int(clock[0]), len(rates) - 1)])


@_kernel
def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov):
    direction = _scratch("direction", gradient.shape, gradient.dtype)
    np.copyto(direction, gradient)
    if velocity is not None:
        np.multiply(velocity, momentum, out=velocity)
        np.add(velocity, gradient, out=velocity)
        if int(clock[0]) % DROP_EVERY == 0:
            _drop_subnormal(velocity, direction)
        np.copyto(direction, velocity)
        if nesterov:
            np.multiply(direction, momentum, out=direction)
            np.add(direction, gradient, out=direction)
    np.multiply(direction, _rate(rates, clock), out=direction)
    np.subtract(parameter, direction, out=parameter)


# An Adam step is a dozen passes; a piece of this many elements stays in the second-level cache through all of them.
ADAM_PIECE = 32768
DROP_EVERY = 8  # steps: looking for subnormal moments takes three passes


@_kernel
def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    t = int(clock[0]) + 1
    rate = _rate(rates, clock)
    scale = math.sqrt(1.0 - beta2**t)
    step = rate * scale / (1.0 - beta1**t)
    for start in range(0, parameter.size, ADAM_PIECE):
        piece = slice(start, start + ADAM_PIECE)
        p, g, m, v = parameter[piece], gradient[piece], first[piece], second[piece]
        work = _scratch("adam", g.shape, g.dtype)
        np.multiply(g, 1.0 - beta1, out=work)
        np.multiply(m, beta1, out=m)
        np.add(m, work, out=m)
        np.multiply(g, g, out=work)
        np.multiply(work, 1.0 - beta2, out=work)
        np.multiply(v, beta2, out=v)
        np.add(v, work, out=v)
        # m / c1 / (sqrt(v / c2) + eps) = (sqrt(c2) / c1) m / (sqrt(v) + sqrt(c2) eps)
        np.sqrt(v, out=work)
        np.add(work, scale * eps, out=work)
        np.divide(m, work, out=work)
        np.multiply(work, step, out=work)
        if weight_decay:
            np.multiply(p, 1.0 - rate * weight_decay, out=p)
        np.subtract(p, work, out=p)
        if t % DROP_EVERY == 0:
            _drop_subnormal(m, work)
            _drop_subnormal(v, work)


def _drop_subnormal(moment, work):
    """Moments below the smallest normal number become 0: arithmetic on them takes x86 a hundred cycles each."""
    np.abs(moment, out=work)
    below = np.less(work, np.finfo(work.dtype).smallest_normal, out=_scratch("below", work.shape, np.bool_))
    np.copyto(moment, 0, where=below)


# Data and book-keeping


@_kernel
def gather(data, order, clock, batch_size, pixels, seed, x):
    rows, features = x.shape
    batches = -(-len(order) // batch_size)
    start = int(clock[0]) % batches * batch_size
    stored = _scratch("stored", (rows, features), data.dtype)
    np.take(data, order[start : start + rows], axis=0, out=stored, mode="clip")
    is_bytes = data.dtype.kind == "u"
    if pixels == "grey":
        if is_bytes:
            np.divide(stored, 255, out=x, casting="same_kind", dtype=x.dtype)
        else:
            np.copyto(x, stored, casting="same_kind")
    elif pixels == "threshold":
        np.copyto(x, np.greater(stored, 127 if is_bytes else 0.5, out=_scratch("pixel", x.shape, bool)))
    else:
        u = _scratch("words", x.shape, np.uint32)
        philox.fill_words(seed, philox.PIXELS, clock[0], u)
        np.right_shift(u, 8, out=u)
        one = _scratch("pixel", x.shape, bool)
        if is_bytes:
            np.multiply(u, 255, out=u)
            threshold = _scratch("threshold", x.shape, np.uint32)
            np.left_shift(stored, 24, out=threshold, dtype=np.uint32)
            np.less(u, threshold, out=one)
        else:
            uniform = _scratch("uniform", x.shape, np.float64)
            np.multiply(u, 2.0**-24, out=uniform)
            np.less(uniform, stored, out=one)
        np.copyto(x, one)


@_kernel
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

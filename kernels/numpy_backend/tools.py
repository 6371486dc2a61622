"""What the NumPy kernels share: memory for temporaries, activations, the scale of q."""

import functools
import math
import threading

import numpy as np

from ..mathfun import NORMAL_TAIL, NORMAL_TAIL_COEFFICIENTS
from ..naive import LEAK, PRECISIONS, SOFTPLUS_TAIL

_pool = threading.local()


def scratch(name, shape, dtype):
    """An uninitialised array that this thread reuses for every call with the same name and dtype."""
    size = math.prod(shape)
    buffers = _pool.__dict__
    key = f"{name} {np.dtype(dtype).char}"
    if key not in buffers or buffers[key].size < size:
        buffers[key] = np.empty(size, dtype)
    return buffers[key][:size].reshape(shape)


def operand(name, a, precision):
    """What of a is multiplied: a itself, or for "bf16" a copy rounded as by `naive.tools.as_bf16`, on its bits."""
    if precision == "full":
        return a
    if precision not in PRECISIONS or a.dtype != np.float32:
        raise ValueError(f"precision: got {precision!r} for {a.dtype}, expected 'full', or 'bf16' for float32")
    rounded = scratch(f"bf16 {name}", a.shape, np.uint32)
    size, bits = scratch("size of bf16", a.shape, np.uint32), a.view(np.uint32)
    np.right_shift(bits, 16, out=rounded)
    np.bitwise_and(rounded, 1, out=rounded)
    np.add(rounded, bits, out=rounded)
    np.add(rounded, 0x7FFF, out=rounded)
    np.bitwise_and(bits, 0x7FFFFFFF, out=size)
    np.copyto(rounded, bits, where=size > 0x7F800000)  # NaN
    np.bitwise_or(rounded, 0x400000, out=rounded, where=size > 0x7F800000)
    np.bitwise_and(bits, 0x80000000, out=rounded, where=size < 0x800000)
    np.bitwise_and(rounded, 0xFFFF0000, out=rounded)
    return rounded.view(np.float32)


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


def normal_tail(a):
    """x = |a|, e = exp(-x^2 / 2) and Phi(-x) / e, in memory for temporaries; as in `mathfun`, which says why."""
    x, e, ratio, t, r = (scratch(f"normal {i}", a.shape, a.dtype) for i in range(5))
    limit, fraction = NORMAL_TAIL[a.dtype.name]
    first, *coefficients = NORMAL_TAIL_COEFFICIENTS[a.dtype.name]
    np.abs(a, out=x)
    np.minimum(x, limit, out=x)
    np.multiply(x, 2.0**fraction, out=e)
    np.rint(e, out=e)
    e *= 2.0**-fraction  # x, rounded so that its square is exact
    np.subtract(x, e, out=t)
    np.add(x, e, out=r)
    t *= r
    e *= e
    for square in (e, t):
        square *= -0.5
        np.exp(square, out=square)
    e *= t
    np.add(x, 4, out=r)
    np.subtract(x, 4, out=t)
    t /= r
    ratio.fill(first)
    for c in coefficients:
        ratio *= t
        ratio += c
    ratio /= r
    return x, e, ratio


def activate(a, activation, out):
    """out = activation(a); out may be a, but for BY_INPUT."""
    if activation == "relu":
        np.maximum(a, 0, out=out)
    elif activation == "tanh":
        np.tanh(a, out=out)
    elif activation == "sigmoid":
        sigmoid(a, out=out)
    elif activation == "softplus":
        y = scratch("activation", a.shape, a.dtype)
        np.copyto(out, softplus(a, out=y))
    elif activation == "leaky_relu":
        leaked = scratch("activation", a.shape, a.dtype)
        np.multiply(a, LEAK, out=leaked)
        np.maximum(a, leaked, out=out)
    elif activation == "gelu":
        x, e, ratio = normal_tail(a)
        x *= ratio
        x *= e
        np.maximum(a, 0, out=out)
        np.subtract(out, x, out=out)
    elif activation == "silu":
        sigmoid(a, out=out)
        np.multiply(out, a, out=out)


def times_derivative(dy, source, activation):
    """dy * activation'(a), the derivative taken from source: the output y, or for BY_INPUT the input a."""
    y = a = source
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
    elif activation == "leaky_relu":
        np.greater(y, 0, out=da)
        np.maximum(da, LEAK, out=da)
    elif activation == "gelu":
        x, e, ratio = normal_tail(a)
        x *= 1 / math.sqrt(2 * math.pi)
        np.subtract(ratio, x, out=x)
        x *= e  # gelu'(-|a|) = 1 - gelu'(|a|)
        negative = scratch("negative", a.shape, bool)
        np.less(a, 0, out=negative)
        np.subtract(1, x, out=da)
        np.copyto(da, x, where=negative)
    elif activation == "silu":
        rest = scratch("rest", a.shape, a.dtype)
        np.negative(a, out=rest)
        sigmoid(rest, out=rest)  # 1 - sigmoid(a), with all its digits
        np.multiply(rest, a, out=rest)
        np.add(rest, 1, out=rest)
        np.multiply(sigmoid(a, out=da), rest, out=da)
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

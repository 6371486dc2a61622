"""The negative log-likelihoods and their gradients, in one pass. The functions are stated in `naive.py`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .checks import matches, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import REAL_VECTORS, float64_vector, share, word
from .scalar import mathfun_for
from .target import FASTMATH_SUMS

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# Element operations for one element.
_BERNOULLI_COST, _GAUSSIAN_COST = 8, 2


@functools.cache
def likelihood_kernels(real_name):
    """Kernels that share out rows: a row's sum is computed by one thread, in one order."""
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    vector = REAL_VECTORS[real_name]
    functions = mathfun_for(real_name)
    exp, log1p_unit = functions.exp, functions.log1p_unit
    zero, one, half = real(0), real(1), real(0.5)

    @kernel(real_name, FASTMATH_SUMS)
    def bernoulli_value(arguments, part, parts):
        rows, features, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        nll = vector(word(arguments, 6), rows)
        first, last = share(rows, part, parts)
        for row in range(first, last):
            x = vector(word(arguments, 3) + row // samples * features * itemsize, features)
            logits = vector(word(arguments, 4) + row * features * itemsize, features)
            total = zero
            for f in range(features):
                logit = logits[f]
                positive = one if logit > zero else zero
                total += log1p_unit(exp(-abs(logit))) + logit * (positive - x[f])
            nll[row] = total

    @kernel(real_name)
    def bernoulli_gradient(arguments, part, parts):
        rows, features, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        weight = vector(word(arguments, 5), rows)
        first, last = share(rows, part, parts)
        for row in range(first, last):
            x = vector(word(arguments, 3) + row // samples * features * itemsize, features)
            logits = vector(word(arguments, 4) + row * features * itemsize, features)
            dlogits = vector(word(arguments, 7) + row * features * itemsize, features)
            w = weight[row]
            for f in range(features):
                logit = logits[f]
                e = exp(-abs(logit))
                dlogits[f] = w * ((one if logit > zero else e) / (one + e) - x[f])

    @kernel(real_name, FASTMATH_SUMS)
    def bernoulli_both(arguments, part, parts):
        rows, features, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        weight, nll = vector(word(arguments, 5), rows), vector(word(arguments, 6), rows)
        first, last = share(rows, part, parts)
        for row in range(first, last):
            x = vector(word(arguments, 3) + row // samples * features * itemsize, features)
            logits = vector(word(arguments, 4) + row * features * itemsize, features)
            dlogits = vector(word(arguments, 7) + row * features * itemsize, features)
            w = weight[row]
            total = zero
            for f in range(features):
                logit = logits[f]
                e = exp(-abs(logit))
                positive = one if logit > zero else zero
                total += log1p_unit(e) + logit * (positive - x[f])
                dlogits[f] = w * ((one if logit > zero else e) / (one + e) - x[f])
            nll[row] = total

    @kernel(real_name, FASTMATH_SUMS)
    def gaussian(arguments, part, parts):
        rows, features, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        log_sigma = np.float64(vector(word(arguments, 5), 1)[0])
        precision = real(math.exp(-2.0 * log_sigma))
        constant = real(features * (log_sigma + _HALF_LOG_2PI))
        first, last = share(rows, part, parts)
        for row in range(first, last):
            x = vector(word(arguments, 3) + row // samples * features * itemsize, features)
            mean = vector(word(arguments, 4) + row * features * itemsize, features)
            total = zero
            if word(arguments, 8) != 0:
                weight = vector(word(arguments, 6), rows)[row]
                dmean = vector(word(arguments, 8) + row * features * itemsize, features)
                scale = weight * precision
                for f in range(features):
                    difference = mean[f] - x[f]
                    total += difference * difference
                    dmean[f] = scale * difference
            else:
                for f in range(features):
                    difference = mean[f] - x[f]
                    total += difference * difference
            squares = total * precision
            if word(arguments, 7) != 0:
                vector(word(arguments, 7), rows)[row] = half * squares + constant
            if word(arguments, 9) != 0:
                weight = vector(word(arguments, 6), rows)[row]
                float64_vector(word(arguments, 9), rows)[row] = np.float64(weight) * (features - np.float64(squares))

    @kernel(real_name, FASTMATH_SUMS)
    def sum_rows(arguments, part, parts):
        rows = word(arguments, 0)
        values = float64_vector(word(arguments, 1), rows)
        total = 0.0
        for row in range(rows):
            total += values[row]
        vector(word(arguments, 2), 1)[0] = total

    return SimpleNamespace(
        bernoulli_value=bernoulli_value,
        bernoulli_gradient=bernoulli_gradient,
        bernoulli_both=bernoulli_both,
        gaussian=gaussian,
        sum_rows=sum_rows,
    )


def _check(x, values, name, weight, nll, gradient):
    """(dtype name, rows, features, samples) once all arrays fit together."""
    real_name = real_of(name, values)
    if x.ndim != 2 or values.ndim != 2:
        raise ValueError(f"x and {name}: got {x.ndim} and {values.ndim} dimensions, expected matrices")
    n, features = x.shape
    rows = values.shape[0]
    matches("x", x, x.shape, real_name)
    samples = samples_of(name, rows, n)
    matches(name, values, (rows, features), real_name)
    if weight is not None:
        matches("weight", weight, (rows,), real_name)
    if nll is not None:
        matches("nll", nll, (rows,), real_name)
    if gradient is not None:
        matches(f"d{name}", gradient, (rows, features), real_name)
        if weight is None:
            raise ValueError(f"weight: got None, expected an array, because d{name} is asked for")
    return real_name, rows, features, samples


@contract
def bernoulli_nll(plan, x, logits, weight, nll, dlogits):
    real_name, rows, features, samples = _check(x, logits, "logits", weight, nll, dlogits)
    kernels = likelihood_kernels(real_name)
    if nll is None and dlogits is None:
        return
    if dlogits is None:
        chosen = kernels.bernoulli_value
    else:
        chosen = kernels.bernoulli_gradient if nll is None else kernels.bernoulli_both
    arguments = [rows, features, samples, x, logits, weight, nll, dlogits]
    plan.add(chosen, arguments, work=_BERNOULLI_COST * logits.size)


@contract
def gaussian_nll(plan, x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    real_name, rows, features, samples = _check(x, mean, "mean", weight, nll, dmean)
    matches("log_sigma", log_sigma, (1,), real_name)
    kernels = likelihood_kernels(real_name)
    slopes = None
    if dlog_sigma is not None:
        matches("dlog_sigma", dlog_sigma, (1,), real_name)
        if weight is None:
            raise ValueError("weight: got None, expected an array, because dlog_sigma is asked for")
        slopes = plan.scratch((rows,), np.float64)
    arguments = [rows, features, samples, x, mean, log_sigma, weight, nll, dmean, slopes]
    plan.add(kernels.gaussian, arguments, work=_GAUSSIAN_COST * mean.size)
    if slopes is not None:
        plan.add(kernels.sum_rows, [rows, slopes, dlog_sigma], work=0)

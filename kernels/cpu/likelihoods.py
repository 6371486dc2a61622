"""The negative log-likelihoods and their gradients, in one pass. The functions are stated in `naive`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .checks import matches, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import float64_vector, memory_of, share
from .scalar import mathfun_for
from .target import FASTMATH_SUMS

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# Element operations for one element.
_BERNOULLI_COST, _GAUSSIAN_COST = 8, 2


@functools.cache
def likelihood_kernels(real_name):
    """Kernels that share out rows: a row's sum is computed by one thread, in one order."""
    real, _, vector, row = memory_of(real_name)
    functions = mathfun_for(real_name)
    exp, log1p_unit = functions.exp, functions.log1p_unit
    zero, one, half = real(0), real(1), real(0.5)

    @kernel(real_name, "rows features samples x logits weight nll dlogits", FASTMATH_SUMS)
    def bernoulli_value(given, part, parts):
        rows, features = given.rows, given.features
        nll = vector(given.nll, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x, logits = row(given.x, s // given.samples, features), row(given.logits, s, features)
            total = zero
            for f in range(features):
                logit = logits[f]
                positive = one if logit > zero else zero
                total += log1p_unit(exp(-abs(logit))) + logit * (positive - x[f])
            nll[s] = total

    @kernel(real_name, "rows features samples x logits weight nll dlogits")
    def bernoulli_gradient(given, part, parts):
        rows, features = given.rows, given.features
        weight = vector(given.weight, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x, logits = row(given.x, s // given.samples, features), row(given.logits, s, features)
            w, dlogits = weight[s], row(given.dlogits, s, features)
            for f in range(features):
                logit = logits[f]
                e = exp(-abs(logit))
                dlogits[f] = w * ((one if logit > zero else e) / (one + e) - x[f])

    @kernel(real_name, "rows features samples x logits weight nll dlogits", FASTMATH_SUMS)
    def bernoulli_both(given, part, parts):
        rows, features = given.rows, given.features
        weight, nll = vector(given.weight, rows), vector(given.nll, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x, logits = row(given.x, s // given.samples, features), row(given.logits, s, features)
            w, dlogits = weight[s], row(given.dlogits, s, features)
            total = zero
            for f in range(features):
                logit = logits[f]
                e = exp(-abs(logit))
                positive = one if logit > zero else zero
                total += log1p_unit(e) + logit * (positive - x[f])
                dlogits[f] = w * ((one if logit > zero else e) / (one + e) - x[f])
            nll[s] = total

    @kernel(real_name, "rows features samples x mean log_sigma weight nll dmean slopes", FASTMATH_SUMS)
    def gaussian(given, part, parts):
        rows, features = given.rows, given.features
        log_sigma = np.float64(vector(given.log_sigma, 1)[0])
        precision = real(math.exp(-2.0 * log_sigma))
        constant = real(features * (log_sigma + _HALF_LOG_2PI))
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x, mean = row(given.x, s // given.samples, features), row(given.mean, s, features)
            total = zero
            if given.dmean != 0:
                scale, dmean = vector(given.weight, rows)[s] * precision, row(given.dmean, s, features)
                for f in range(features):
                    difference = mean[f] - x[f]
                    total += difference * difference
                    dmean[f] = scale * difference
            else:
                for f in range(features):
                    difference = mean[f] - x[f]
                    total += difference * difference
            squares = total * precision
            if given.nll != 0:
                vector(given.nll, rows)[s] = half * squares + constant
            if given.slopes != 0:
                w = np.float64(vector(given.weight, rows)[s])
                float64_vector(given.slopes, rows)[s] = w * (features - np.float64(squares))

    @kernel(real_name, "rows values total", FASTMATH_SUMS)
    def sum_rows(given, part, parts):
        values = float64_vector(given.values, given.rows)
        total = 0.0
        for i in range(given.rows):
            total += values[i]
        vector(given.total, 1)[0] = total

    return SimpleNamespace(
        bernoulli_value=bernoulli_value,
        bernoulli_gradient=bernoulli_gradient,
        bernoulli_both=bernoulli_both,
        gaussian=gaussian,
        sum_rows=sum_rows,
    )


def _check(x, values, name, weight, nll, gradient):
    """(dtype name, arguments of a kernel) once all arrays fit together."""
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
    given = {"rows": rows, "features": features, "samples": samples, "x": x, "weight": weight, "nll": nll}
    given[name], given[f"d{name}"] = values, gradient
    return real_name, given


@contract
def bernoulli_nll(plan, x, logits, weight, nll, dlogits):
    real_name, given = _check(x, logits, "logits", weight, nll, dlogits)
    kernels = likelihood_kernels(real_name)
    if nll is None and dlogits is None:
        return
    if dlogits is None:
        chosen = kernels.bernoulli_value
    else:
        chosen = kernels.bernoulli_gradient if nll is None else kernels.bernoulli_both
    plan.add(chosen, given, work=_BERNOULLI_COST * logits.size)


@contract
def gaussian_nll(plan, x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    real_name, given = _check(x, mean, "mean", weight, nll, dmean)
    matches("log_sigma", log_sigma, (1,), real_name)
    kernels = likelihood_kernels(real_name)
    slopes, rows = None, len(mean)
    if dlog_sigma is not None:
        matches("dlog_sigma", dlog_sigma, (1,), real_name)
        if weight is None:
            raise ValueError("weight: got None, expected an array, because dlog_sigma is asked for")
        slopes = plan.scratch((rows,), np.float64)
    given |= {"log_sigma": log_sigma, "slopes": slopes}
    plan.add(kernels.gaussian, given, work=_GAUSSIAN_COST * mean.size)
    if slopes is not None:
        plan.add(kernels.sum_rows, {"rows": rows, "values": slopes, "total": dlog_sigma}, work=0)

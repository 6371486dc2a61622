"""The negative log-likelihoods and their gradients, in one pass. The functions are stated in `naive.py`."""

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

    @kernel(real_name, FASTMATH_SUMS)
    def bernoulli_value(part, parts, rows, features, samples, x, logits, weight, nll, dlogits):
        losses = vector(nll, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x_s, logits_s = row(x, s // samples, features), row(logits, s, features)
            total = zero
            for f in range(features):
                logit = logits_s[f]
                positive = one if logit > zero else zero
                total += log1p_unit(exp(-abs(logit))) + logit * (positive - x_s[f])
            losses[s] = total

    @kernel(real_name)
    def bernoulli_gradient(part, parts, rows, features, samples, x, logits, weight, nll, dlogits):
        weights = vector(weight, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x_s, logits_s = row(x, s // samples, features), row(logits, s, features)
            w, dlogits_s = weights[s], row(dlogits, s, features)
            for f in range(features):
                logit = logits_s[f]
                e = exp(-abs(logit))
                dlogits_s[f] = w * ((one if logit > zero else e) / (one + e) - x_s[f])

    @kernel(real_name, FASTMATH_SUMS)
    def bernoulli_both(part, parts, rows, features, samples, x, logits, weight, nll, dlogits):
        weights, losses = vector(weight, rows), vector(nll, rows)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x_s, logits_s = row(x, s // samples, features), row(logits, s, features)
            w, dlogits_s = weights[s], row(dlogits, s, features)
            total = zero
            for f in range(features):
                logit = logits_s[f]
                e = exp(-abs(logit))
                positive = one if logit > zero else zero
                total += log1p_unit(e) + logit * (positive - x_s[f])
                dlogits_s[f] = w * ((one if logit > zero else e) / (one + e) - x_s[f])
            losses[s] = total

    @kernel(real_name, FASTMATH_SUMS)
    def gaussian(part, parts, rows, features, samples, x, mean, log_sigma, weight, nll, dmean, slopes):
        log_s = np.float64(vector(log_sigma, 1)[0])
        precision = real(math.exp(-2.0 * log_s))
        constant = real(features * (log_s + _HALF_LOG_2PI))
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x_s, mean_s = row(x, s // samples, features), row(mean, s, features)
            total = zero
            if dmean != 0:
                scale, dmean_s = vector(weight, rows)[s] * precision, row(dmean, s, features)
                for f in range(features):
                    difference = mean_s[f] - x_s[f]
                    total += difference * difference
                    dmean_s[f] = scale * difference
            else:
                for f in range(features):
                    difference = mean_s[f] - x_s[f]
                    total += difference * difference
            squares = total * precision
            if nll != 0:
                vector(nll, rows)[s] = half * squares + constant
            if slopes != 0:
                w = np.float64(vector(weight, rows)[s])
                float64_vector(slopes, rows)[s] = w * (features - np.float64(squares))

    @kernel(real_name, FASTMATH_SUMS)
    def sum_rows(rows, values, total):
        each = float64_vector(values, rows)
        sum_ = 0.0
        for i in range(rows):
            sum_ += each[i]
        vector(total, 1)[0] = sum_

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
    arrays = {"x": x, name: values, "weight": weight, "nll": nll, f"d{name}": gradient}
    return real_name, {"rows": rows, "features": features, "samples": samples, **arrays}


@contract
def bernoulli_nll(plan, x, logits, weight, nll, dlogits):
    real_name, arguments = _check(x, logits, "logits", weight, nll, dlogits)
    kernels = likelihood_kernels(real_name)
    if nll is None and dlogits is None:
        return
    if dlogits is None:
        chosen = kernels.bernoulli_value
    else:
        chosen = kernels.bernoulli_gradient if nll is None else kernels.bernoulli_both
    plan.add(chosen, work=_BERNOULLI_COST * logits.size, **arguments)


@contract
def gaussian_nll(plan, x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    real_name, arguments = _check(x, mean, "mean", weight, nll, dmean)
    matches("log_sigma", log_sigma, (1,), real_name)
    kernels = likelihood_kernels(real_name)
    slopes, rows = None, len(mean)
    if dlog_sigma is not None:
        matches("dlog_sigma", dlog_sigma, (1,), real_name)
        if weight is None:
            raise ValueError("weight: got None, expected an array, because dlog_sigma is asked for")
        slopes = plan.scratch((rows,), np.float64)
    plan.add(kernels.gaussian, work=_GAUSSIAN_COST * mean.size, log_sigma=log_sigma, slopes=slopes, **arguments)
    if slopes is not None:
        plan.add(kernels.sum_rows, work=0, rows=rows, values=slopes, total=dlog_sigma)

"""The negative log-likelihoods and their gradients, in one pass. The functions are stated in `naive`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .. import byte_masses
from .checks import matches, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import float64_vector, memory_of, share
from .scalar import byte_masses_for, mathfun_for
from .target import FASTMATH, FASTMATH_SUMS

_HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# Element operations for one element.
_BERNOULLI_COST, _GAUSSIAN_COST, _BETA_BINOMIAL_COST, _LOGISTIC_COST = 8, 2, 150, 50


@functools.cache
def likelihood_kernels(real_name):
    """Kernels that share out rows: a row's sum is computed by one thread, in one order."""
    real, _, vector, row = memory_of(real_name)
    functions = mathfun_for(real_name)
    exp, log1p_unit, exp64 = functions.exp, functions.log1p_unit, mathfun_for("float64").exp
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

    @kernel(real_name, "features log_sigma precision constant", FASTMATH_SUMS)
    def precisions(given, part, parts):
        log_sigma, precision = vector(given.log_sigma, given.features), vector(given.precision, given.features)
        total = given.features * _HALF_LOG_2PI
        for f in range(given.features):
            log_s = np.float64(log_sigma[f])
            total += log_s
            precision[f] = real(exp64(-2.0 * log_s))
        vector(given.constant, 1)[0] = real(total)

    @kernel(real_name, "rows features samples x mean precision constant weight nll dmean", FASTMATH_SUMS)
    def gaussian_each(given, part, parts):
        rows, features = given.rows, given.features
        precision, constant = vector(given.precision, features), vector(given.constant, 1)[0]
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x, mean = row(given.x, s // given.samples, features), row(given.mean, s, features)
            if given.nll != 0:
                total = zero
                for f in range(features):
                    difference = mean[f] - x[f]
                    total += difference * difference * precision[f]
                vector(given.nll, rows)[s] = half * total + constant
            if given.dmean != 0:
                w, dmean = vector(given.weight, rows)[s], row(given.dmean, s, features)
                for f in range(features):
                    dmean[f] = w * (mean[f] - x[f]) * precision[f]

    @kernel(real_name, "rows features samples x mean precision weight slopes dlog_sigma")
    def gaussian_slopes(given, part, parts):
        rows, features = given.rows, given.features
        weight, precision = vector(given.weight, rows), vector(given.precision, features)
        slopes, dlog_sigma = float64_vector(given.slopes, features), vector(given.dlog_sigma, features)
        first, last = share(features, part, parts)
        for f in range(first, last):
            slopes[f] = 0.0
        for s in range(rows):
            x, mean = row(given.x, s // given.samples, features), row(given.mean, s, features)
            w = weight[s]
            for f in range(first, last):
                difference = mean[f] - x[f]
                slopes[f] += np.float64(w * (one - difference * difference * precision[f]))
        for f in range(first, last):
            dlog_sigma[f] = real(slopes[f])

    return SimpleNamespace(
        precisions=precisions,
        gaussian_each=gaussian_each,
        gaussian_slopes=gaussian_slopes,
        bernoulli_value=bernoulli_value,
        bernoulli_gradient=bernoulli_gradient,
        bernoulli_both=bernoulli_both,
        gaussian=gaussian,
        sum_rows=sum_rows,
    )


@functools.cache
def byte_kernel(name, value, gradient, real_name):
    """Rows of a likelihood of bytes: nll if `value`, doutput if `gradient`."""
    real, _, vector, row = memory_of(real_name)
    zero = real(0)
    masses = byte_masses_for(real_name)
    byte, beta_binomial, logistic = masses.byte, masses.beta_binomial, masses.logistic
    largest, has_ways = len(byte_masses.LOG_WAYS) - 1, name == "beta_binomial"

    @kernel(
        f"{name}_{value:d}{gradient:d}_{real_name}",
        "rows features samples x output weight nll doutput log_ways own_memory",
        FASTMATH_SUMS if value else FASTMATH,
    )
    def by_bytes(given, part, parts):
        rows, features = given.rows, given.features
        table, ways = vector(given.log_ways, largest + 1), vector(given.own_memory, features)
        first, last = share(rows, part, parts)
        for s in range(first, last):
            x = row(given.x, s // given.samples, features)
            output, second = row(given.output, 2 * s, features), row(given.output, 2 * s + 1, features)
            if has_ways:
                # in a loop of its own: a table in the other would keep it from becoming vector code
                for f in range(features):
                    k = byte(x[f])
                    ways[f] = table[min(np.intp(k), largest) if k > zero else 0]
            if gradient:
                w = vector(given.weight, rows)[s]
                doutput, dsecond = row(given.doutput, 2 * s, features), row(given.doutput, 2 * s + 1, features)
            total = zero
            for f in range(features):
                if has_ways:
                    nll, dfirst, dlast = beta_binomial(byte(x[f]), ways[f], output[f], second[f])
                else:
                    nll, dfirst, dlast = logistic(byte(x[f]), output[f], second[f])
                if value:
                    total += nll
                if gradient:
                    doutput[f], dsecond[f] = w * dfirst, w * dlast
            if value:
                vector(given.nll, rows)[s] = total

    return by_bytes


def _check(x, values, name, weight, nll, gradient, outputs=1):
    """(dtype name, arguments of a kernel) once all arrays fit together; `outputs` of the decoder for each feature."""
    real_name = real_of(name, values)
    if x.ndim != 2 or values.ndim != 2:
        raise ValueError(f"x and {name}: got {x.ndim} and {values.ndim} dimensions, expected matrices")
    n, features = x.shape
    rows = values.shape[0]
    matches("x", x, x.shape, real_name)
    samples = samples_of(name, rows, n)
    matches(name, values, (rows, outputs * features), real_name)
    if weight is not None:
        matches("weight", weight, (rows,), real_name)
    if nll is not None:
        matches("nll", nll, (rows,), real_name)
    if gradient is not None:
        matches(f"d{name}", gradient, (rows, outputs * features), real_name)
        if weight is None:
            raise ValueError(f"weight: got None, expected an array, because d{name} is asked for")
    given = {"rows": rows, "features": features, "samples": samples, "x": x, "weight": weight, "nll": nll}
    given[name], given[f"d{name}"] = values, gradient
    return real_name, given


@contract("nll dlogits")
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


@contract("nll dmean dlog_sigma")
def gaussian_nll(plan, x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    real_name, given = _check(x, mean, "mean", weight, nll, dmean)
    rows, features = mean.shape
    each = log_sigma.size > 1
    matches("log_sigma", log_sigma, (features if each else 1,), real_name)
    kernels = likelihood_kernels(real_name)
    if dlog_sigma is not None:
        matches("dlog_sigma", dlog_sigma, log_sigma.shape, real_name)
        if weight is None:
            raise ValueError("weight: got None, expected an array, because dlog_sigma is asked for")
    if each:
        precision = plan.scratch((features,), real_name)
        scales = {"precision": precision, "constant": plan.scratch((1,), real_name)}
        plan.add(kernels.precisions, {"features": features, "log_sigma": log_sigma} | scales, work=0)
        plan.add(kernels.gaussian_each, given | scales, work=_GAUSSIAN_COST * mean.size)
        if dlog_sigma is not None:
            own = {"precision": precision, "slopes": plan.scratch((features,), "float64"), "dlog_sigma": dlog_sigma}
            names = "rows", "features", "samples", "x", "mean", "weight"
            plan.add(kernels.gaussian_slopes, {name: given[name] for name in names} | own, _GAUSSIAN_COST * mean.size)
        return
    slopes = None if dlog_sigma is None else plan.scratch((rows,), np.float64)
    given |= {"log_sigma": log_sigma, "slopes": slopes}
    plan.add(kernels.gaussian, given, work=_GAUSSIAN_COST * mean.size)
    if slopes is not None:
        plan.add(kernels.sum_rows, {"rows": rows, "values": slopes, "total": dlog_sigma}, work=0)


@functools.cache
def _log_ways(real_name):
    return byte_masses.LOG_WAYS.astype(real_name)


def _by_bytes(plan, name, cost, x, output, weight, nll, doutput):
    real_name, given = _check(x, output, "output", weight, nll, doutput, outputs=2)
    if nll is None and doutput is None:
        return
    chosen = byte_kernel(name, nll is not None, doutput is not None, real_name)
    memory = x.shape[1] * output.itemsize
    plan.add(chosen, given | {"log_ways": _log_ways(real_name)}, work=cost * output.size // 2, own_memory=memory)


@contract("nll doutput")
def beta_binomial_nll(plan, x, output, weight, nll, doutput):
    _by_bytes(plan, "beta_binomial", _BETA_BINOMIAL_COST, x, output, weight, nll, doutput)


@contract("nll doutput")
def logistic_nll(plan, x, output, weight, nll, doutput):
    _by_bytes(plan, "logistic", _LOGISTIC_COST, x, output, weight, nll, doutput)

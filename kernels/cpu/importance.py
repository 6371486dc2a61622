"""Importance weights and the way of their gradient to z. The functions are stated in `naive.py`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from ..naive import LARGEST_LOG_RATIO, SCALES
from .checks import matches, one_of, real_of, samples_of
from .contract import contract
from .jit import inline, kernel
from .memory import REAL_VECTORS, share, word
from .scalar import mathfun_for, scale_functions
from .target import FASTMATH_SUMS

# Element operations for one element of z, of rho, for one weight.
_COST, _SCALE_COST, _WEIGHT_COST = 4, 12, 40


@functools.cache
def scale_kernels(real_name, scale):
    """The kernels that need log sigma or its slope, for one precision and one scale. Examples are shared out."""
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    vector = REAL_VECTORS[real_name]
    functions = scale_functions(real_name, scale)
    log_sigma_of, relative_slope = functions.log_sigma_of, functions.relative_slope
    zero, half = real(0), real(0.5)
    name = f"{scale}_{real_name}"

    @kernel(name, FASTMATH_SUMS)
    def log_weights(arguments, part, parts):
        n, latent, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        nll, log_weight = vector(word(arguments, 5), n * samples), vector(word(arguments, 9), n * samples)
        first, last = share(n, part, parts)
        for i in range(first, last):
            rho = vector(word(arguments, 3) + i * word(arguments, 4), latent)
            sigma = vector(word(arguments, 6) + i * latent * itemsize, latent)
            log_sigma = zero
            for j in range(latent):
                log_sigma += log_sigma_of(rho[j], sigma[j])
            for row in range(i * samples, (i + 1) * samples):
                noise = vector(word(arguments, 7) + row * latent * itemsize, latent)
                z = vector(word(arguments, 8) + row * latent * itemsize, latent)
                total = zero
                for j in range(latent):
                    total += (noise[j] - z[j]) * (noise[j] + z[j])
                log_weight[row] = half * total + log_sigma - nll[row]

    @kernel(name)
    def log_sigma_backward(arguments, part, parts):
        n, latent = word(arguments, 0), word(arguments, 1)
        weight = vector(word(arguments, 6), n)
        first, last = share(n, part, parts)
        for i in range(first, last):
            rho = vector(word(arguments, 2) + i * word(arguments, 3), latent)
            drho = vector(word(arguments, 4) + i * word(arguments, 5), latent)
            sigma = vector(word(arguments, 7) + i * latent * itemsize, latent)
            for j in range(latent):
                drho[j] -= weight[i] * relative_slope(rho[j], sigma[j])

    return SimpleNamespace(log_weights=log_weights, log_sigma_backward=log_sigma_backward)


@functools.cache
def weight_kernels(real_name):
    """The kernels on rows of draws. An example's draws are handled by one thread, in one order."""
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    vector = REAL_VECTORS[real_name]
    functions = mathfun_for(real_name)
    exp, log = functions.exp, functions.log
    zero, two, largest = real(0), real(2), real(LARGEST_LOG_RATIO)

    @inline
    def log_sum_exp(values, first, last):
        top = values[first]
        for s in range(first + 1, last):
            top = max(top, values[s])
        total = zero
        for s in range(first, last):
            total += exp(values[s] - top)
        return top, log(total)

    @kernel(real_name, FASTMATH_SUMS)
    def importance_weights(arguments, part, parts):
        n, samples, outer = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        pooled, squared = word(arguments, 3) != 0, word(arguments, 4) != 0
        loss, inner = vector(word(arguments, 6), n), samples // outer
        log_inner, log_samples = real(math.log(inner)), real(math.log(samples))
        log_groups, log_examples = real(math.log(n * outer)), real(math.log(n))
        first, last = share(n, part, parts)
        for i in range(first, last):
            offset = i * samples * itemsize
            own, weight = vector(word(arguments, 5) + offset, samples), vector(word(arguments, 7) + offset, samples)
            latent_weight = vector(word(arguments, 8) + offset, samples)
            ratio = vector(word(arguments, 9) + offset, samples)
            pool_top, pool_log = log_sum_exp(own, 0, samples)
            means = zero
            for m in range(outer):
                top, log_total = log_sum_exp(own, m * inner, (m + 1) * inner)
                means += top + (log_total - log_inner)
                for s in range(m * inner, (m + 1) * inner):
                    log_u = own[s] - top - log_total
                    log_latent = (two * log_u if squared else log_u) - log_groups
                    log_all = own[s] - pool_top - pool_log - log_examples if pooled else log_u - log_groups
                    log_ratio = min(log_latent - log_all, largest)
                    weight[s] = exp(log_latent - log_ratio)
                    latent_weight[s] = exp(log_latent)
                    ratio[s] = exp(log_ratio)
            loss[i] = -(pool_top + (pool_log - log_samples)) if pooled else -means / real(outer)

    @kernel(real_name)
    def importance_gradient(arguments, part, parts):
        n, latent, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        path = word(arguments, 3) != 0
        latent_weight, ratio = vector(word(arguments, 4), n * samples), vector(word(arguments, 5), n * samples)
        first, last = share(n, part, parts)
        for i in range(first, last):
            sigma = vector(word(arguments, 6) + i * latent * itemsize, latent)
            for row in range(i * samples, (i + 1) * samples):
                z = vector(word(arguments, 7) + row * latent * itemsize, latent)
                noise = vector(word(arguments, 8) + row * latent * itemsize, latent)
                dz = vector(word(arguments, 9) + row * latent * itemsize, latent)
                r, w = ratio[row], latent_weight[row]
                if path:
                    for j in range(latent):
                        dz[j] = r * dz[j] + w * (z[j] - noise[j] / sigma[j])
                else:
                    for j in range(latent):
                        dz[j] = r * dz[j] + w * z[j]

    return SimpleNamespace(importance_weights=importance_weights, importance_gradient=importance_gradient)


@contract
def log_weights(plan, nll, rho, sigma, noise, z, scale, log_weight):
    one_of("scale", scale, SCALES)
    real_name, rows = real_of("nll", nll), len(nll)
    n, latent = rho.shape
    samples = samples_of("nll", rows, n)
    matches("nll", nll, (rows,), real_name)
    matches("rho", rho, (n, latent), real_name, columns=True)
    matches("sigma", sigma, (n, latent), real_name)
    for name, array in (("noise", noise), ("z", z)):
        matches(name, array, (rows, latent), real_name)
    matches("log_weight", log_weight, (rows,), real_name)
    plan.add(
        scale_kernels(real_name, scale).log_weights,
        [n, latent, samples, rho, rho.strides[0], nll, sigma, noise, z, log_weight],
        work=_SCALE_COST * rho.size + _COST * z.size,
    )


@contract
def importance_weights(plan, log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio):
    real_name, rows, n = real_of("log_weight", log_weight), len(log_weight), len(loss)
    samples = samples_of("log_weight", rows, n)
    samples_of("log_weight", samples, outer)
    matches("loss", loss, (n,), real_name)
    arrays = {"log_weight": log_weight, "weight": weight, "latent_weight": latent_weight, "ratio": ratio}
    for name, array in arrays.items():
        matches(name, array, (rows,), real_name)
    plan.add(
        weight_kernels(real_name).importance_weights,
        [n, samples, outer, bool(pooled), bool(squared), log_weight, loss, weight, latent_weight, ratio],
        work=_WEIGHT_COST * rows,
    )


@contract
def importance_gradient(plan, z, noise, sigma, latent_weight, ratio, path, dz):
    real_name = real_of("z", z)
    (rows, latent), n = z.shape, len(sigma)
    samples = samples_of("z", rows, n)
    matches("sigma", sigma, (n, latent), real_name)
    for name, array in (("z", z), ("noise", noise), ("dz", dz)):
        matches(name, array, (rows, latent), real_name)
    for name, array in (("latent_weight", latent_weight), ("ratio", ratio)):
        matches(name, array, (rows,), real_name)
    plan.add(
        weight_kernels(real_name).importance_gradient,
        [n, latent, samples, bool(path), latent_weight, ratio, sigma, z, noise, dz],
        work=_COST * z.size,
    )


@contract
def log_sigma_backward(plan, rho, sigma, weight, scale, drho):
    one_of("scale", scale, SCALES)
    real_name, (n, latent) = real_of("rho", rho), rho.shape
    for name, array in (("rho", rho), ("drho", drho)):
        matches(name, array, (n, latent), real_name, columns=True)
    matches("sigma", sigma, (n, latent), real_name)
    matches("weight", weight, (n,), real_name)
    plan.add(
        scale_kernels(real_name, scale).log_sigma_backward,
        [n, latent, rho, rho.strides[0], drho, drho.strides[0], weight, sigma],
        work=_SCALE_COST * rho.size,
    )

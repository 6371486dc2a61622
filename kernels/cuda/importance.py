"""Importance weights and the way of their gradient to z: one thread for each row, example or element.

There is little work in these next to the decoder's products, so each is written in the plainest way.
"""

import functools
import math

from numba import cuda

from ..naive import LARGEST_LOG_RATIO
from .scalars import functions

device = cuda.jit(device=True)


@functools.cache
def log_weight_kernel(scale, dtype):
    """log_weight; a thread for each row."""
    f = functions(dtype)
    softplus_scale = scale == "softplus"
    zero, half, log_sigma_softplus = f.zero, f.half, f.log_sigma_softplus

    @cuda.jit
    def log_weights(nll, rho, sigma, noise, z, log_weight):
        rows, latent = z.shape
        samples = rows // rho.shape[0]
        for row in range(cuda.grid(1), rows, cuda.gridsize(1)):
            i = row // samples
            log_sigma, total = zero, zero
            for j in range(latent):
                r = rho[i, j]
                log_sigma += log_sigma_softplus(r, sigma[i, j]) if softplus_scale else r
                total += (noise[row, j] - z[row, j]) * (noise[row, j] + z[row, j])
            log_weight[row] = half * total + log_sigma - nll[row]

    return log_weights


@functools.cache
def weight_kernel(pooled, squared, dtype):
    """loss, weight, latent_weight and ratio; a thread for each example."""
    f = functions(dtype)
    real, zero, exp = f.real, f.zero, f.exp
    two, largest = real(2), real(LARGEST_LOG_RATIO)

    @device
    def top_of(values, first, last):
        top = values[first]
        for row in range(first + 1, last):
            if values[row] > top:
                top = values[row]
        return top

    @device
    def log_of_sum(values, top, first, last):
        total = zero
        for row in range(first, last):
            total += exp(values[row] - top)
        return real(math.log(total))

    @cuda.jit
    def importance_weights(log_weight, outer, loss, weight, latent_weight, ratio):
        n = loss.shape[0]
        samples = log_weight.shape[0] // n
        inner = samples // outer
        log_inner, log_samples = real(math.log(float(inner))), real(math.log(float(samples)))
        log_groups, log_examples = real(math.log(float(n * outer))), real(math.log(float(n)))
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            start = i * samples
            pool_top = top_of(log_weight, start, start + samples)
            pool_log = log_of_sum(log_weight, pool_top, start, start + samples)
            means = zero
            for m in range(outer):
                first, last = start + m * inner, start + (m + 1) * inner
                top = top_of(log_weight, first, last)
                log_total = log_of_sum(log_weight, top, first, last)
                means += top + (log_total - log_inner)
                for row in range(first, last):
                    log_u = log_weight[row] - top - log_total
                    log_latent = (two * log_u if squared else log_u) - log_groups
                    log_all = log_u - log_groups
                    if pooled:
                        log_all = log_weight[row] - pool_top - pool_log - log_examples
                    log_ratio = log_latent - log_all
                    if log_ratio > largest:
                        log_ratio = largest
                    weight[row] = exp(log_latent - log_ratio)
                    latent_weight[row] = exp(log_latent)
                    ratio[row] = exp(log_ratio)
            loss[i] = -(pool_top + (pool_log - log_samples)) if pooled else -means / real(outer)

    return importance_weights


@functools.cache
def gradient_kernel(path, dtype):
    """dz in place; a thread for each element."""

    @cuda.jit
    def importance_gradient(z, noise, sigma, latent_weight, ratio, dz):
        rows, latent = z.shape
        samples = rows // sigma.shape[0]
        for e in range(cuda.grid(1), rows * latent, cuda.gridsize(1)):
            row, j = e // latent, e % latent
            slope = z[row, j]
            if path:
                slope -= noise[row, j] / sigma[row // samples, j]
            dz[row, j] = ratio[row] * dz[row, j] + latent_weight[row] * slope

    return importance_gradient


@functools.cache
def log_sigma_kernel(scale, dtype):
    """drho less the weighted relative slope; a thread for each element."""
    f = functions(dtype)
    softplus_scale = scale == "softplus"
    one, sigmoid, relative_slope_softplus = f.one, f.sigmoid, f.relative_slope_softplus

    @cuda.jit
    def log_sigma_backward(rho, sigma, weight, drho):
        n, latent = sigma.shape
        for e in range(cuda.grid(1), n * latent, cuda.gridsize(1)):
            i, j = e // latent, e % latent
            r = rho[i, j]
            relative = relative_slope_softplus(r, sigma[i, j], sigmoid(r)) if softplus_scale else one
            drho[i, j] -= weight[i] * relative

    return log_sigma_backward

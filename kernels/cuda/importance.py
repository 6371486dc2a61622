"""Importance-weighted bounds and their gradients: a thread for each row, example or element."""

import functools
import math

from numba import cuda

from ..naive import LARGEST_LOG_RATIO
from .intrinsics import device
from .runtime import current
from .scalars import functions, scale_functions


@functools.cache
def log_weights_kernel(scale, dtype):
    half, log_sigma_of = functions(dtype).half, scale_functions(scale, dtype).log_sigma

    @cuda.jit
    def log_weights(nll, rho, sigma, noise, z, log_weight):
        n, latent = rho.shape
        rows = nll.shape[0]
        for row in range(cuda.grid(1), rows, cuda.gridsize(1)):
            i = row // (rows // n)
            total = -nll[row]
            for j in range(latent):
                log_sigma = log_sigma_of(rho[i, j], sigma[i, j])
                a, b = noise[row, j], z[row, j]
                total += half * (a - b) * (a + b) + log_sigma
            log_weight[row] = total

    return log_weights


def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    kernel = log_weights_kernel(scale, nll.dtype.name)
    current().launch_flat(kernel, nll.shape[0], nll, rho, sigma, noise, z, log_weight)


@functools.cache
def importance_weights_kernel(dtype, pooled, squared):
    """One thread for each example: a few passes over its samples, which lie next to each other."""
    f = functions(dtype)
    real, zero, two, most = f.real, f.zero, f.real(2), f.real(LARGEST_LOG_RATIO)

    @device
    def log_sum_exp(values, first, count):
        top = values[first]
        for s in range(first + 1, first + count):
            top = max(top, values[s])
        if not math.isfinite(top):
            return top, zero
        total = zero
        for s in range(first, first + count):
            total += real(math.exp(values[s] - top))
        return top, real(math.log(total))

    @cuda.jit
    def importance_weights(log_weight, outer, groups, loss, weight, latent_weight, ratio):
        n = loss.shape[0]
        samples = log_weight.shape[0] // n
        inner = samples // outer
        log_inner, log_outer = real(math.log(real(inner))), real(math.log(real(outer)))
        log_groups = real(math.log(real(groups)))
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            pool_top, pool_log = zero, zero
            if pooled:
                pool_top, pool_log = log_sum_exp(log_weight, i * samples, samples)
            means, shift = zero, zero
            for group in range(outer):
                first = i * samples + group * inner
                top, log_total = log_sum_exp(log_weight, first, inner)
                means += top + (log_total - log_inner)
                if pooled:
                    shift = (pool_top - top) + (pool_log - log_total) - log_outer
                for row in range(first, first + inner):
                    log_u = (log_weight[row] - top) - log_total
                    log_latent = (two * log_u if squared else log_u) - log_groups
                    log_ratio = min((log_u if squared else zero) + shift, most)
                    weight[row] = real(math.exp(max(log_u - log_groups - shift, log_latent - most)))
                    latent_weight[row] = real(math.exp(log_latent))
                    ratio[row] = real(math.exp(log_ratio))
            loss[i] = -(pool_top + (pool_log - log_inner - log_outer)) if pooled else -means / real(outer)

    return importance_weights


def importance_weights(log_weight, outer, examples, pooled, squared, loss, weight, latent_weight, ratio):
    kernel = importance_weights_kernel(loss.dtype.name, bool(pooled), bool(squared))
    current().launch_flat(
        kernel, loss.shape[0], log_weight, int(outer), int(examples * outer), loss, weight, latent_weight, ratio
    )


@functools.cache
def importance_gradient_kernel(dtype, path):
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


def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    kernel = importance_gradient_kernel(z.dtype.name, bool(path))
    current().launch_flat(kernel, z.size, z, noise, sigma, latent_weight, ratio, dz)


@functools.cache
def log_sigma_backward_kernel(scale, dtype):
    by_scale = scale_functions(scale, dtype)
    slope_of, relative_of = by_scale.slope, by_scale.relative

    @cuda.jit
    def log_sigma_backward(rho, sigma, weight, drho):
        n, latent = rho.shape
        for e in range(cuda.grid(1), n * latent, cuda.gridsize(1)):
            i, j = e // latent, e % latent
            relative = relative_of(rho[i, j], sigma[i, j], slope_of(rho[i, j], sigma[i, j]))
            drho[i, j] -= weight[i] * relative

    return log_sigma_backward


def log_sigma_backward(rho, sigma, weight, scale, drho):
    kernel = log_sigma_backward_kernel(scale, sigma.dtype.name)
    current().launch_flat(kernel, rho.size, rho, sigma, weight, drho)

"""Importance weights and the way of their gradient to z. The functions are stated in `naive`."""

import functools
import math
from types import SimpleNamespace

from ..naive import LARGEST_LOG_RATIO, SCALES
from .checks import all_match, blocks_match, matches, one_of, real_of, samples_of
from .contract import contract
from .jit import inline_sums, kernel
from .memory import memory_of, share
from .scalar import mathfun_for, scale_functions
from .target import FASTMATH_SUMS

# Element operations for one element of z, of rho, for one weight.
_COST, _SCALE_COST, _WEIGHT_COST = 4, 12, 40


@functools.cache
def scale_kernels(real_name, scale):
    """The kernels that need log sigma or its slope, for one precision and one scale. Examples are shared out."""
    real, _, vector, row = memory_of(real_name)
    functions = scale_functions(real_name, scale)
    log_sigma_of, relative_slope = functions.log_sigma_of, functions.relative_slope
    zero, half = real(0), real(0.5)
    name = f"{scale}_{real_name}"

    @kernel(name, "n latent samples rho rho_row nll sigma noise z log_weight", FASTMATH_SUMS)
    def log_weights(given, part, parts):
        n, latent, samples = given.n, given.latent, given.samples
        nll, log_weight = vector(given.nll, n * samples), vector(given.log_weight, n * samples)
        first, last = share(n, part, parts)
        for i in range(first, last):
            rho, sigma = vector(given.rho + i * given.rho_row, latent), row(given.sigma, i, latent)
            log_sigma = zero
            for j in range(latent):
                log_sigma += log_sigma_of(rho[j], sigma[j])
            for s in range(i * samples, (i + 1) * samples):
                noise, z = row(given.noise, s, latent), row(given.z, s, latent)
                total = zero
                for j in range(latent):
                    total += (noise[j] - z[j]) * (noise[j] + z[j])
                log_weight[s] = half * total + log_sigma - nll[s]

    @kernel(name, "n latent rho rho_row drho drho_row weight sigma")
    def log_sigma_backward(given, part, parts):
        n, latent = given.n, given.latent
        weight = vector(given.weight, n)
        first, last = share(n, part, parts)
        for i in range(first, last):
            rho, sigma = vector(given.rho + i * given.rho_row, latent), row(given.sigma, i, latent)
            drho = vector(given.drho + i * given.drho_row, latent)
            for j in range(latent):
                drho[j] -= weight[i] * relative_slope(rho[j], sigma[j])

    return SimpleNamespace(log_weights=log_weights, log_sigma_backward=log_sigma_backward)


@functools.cache
def weight_kernels(real_name):
    """The kernels on rows of draws. An example's draws are handled by one thread, in one order."""
    real, _, vector, row = memory_of(real_name)
    functions = mathfun_for(real_name)
    exp, log = functions.exp, functions.log
    zero, two, largest = real(0), real(2), real(LARGEST_LOG_RATIO)

    @inline_sums
    def log_sum_exp(values, first, last):
        top = values[first]
        for s in range(first + 1, last):
            top = max(top, values[s])
        total = zero
        for s in range(first, last):
            total += exp(values[s] - top)
        return top, log(total)

    @kernel(real_name, "n samples outer groups pooled squared log_weight loss weight latent_weight ratio")
    def importance_weights(given, part, parts):
        n, samples, outer = given.n, given.samples, given.outer
        pooled, squared = given.pooled != 0, given.squared != 0
        loss, inner = vector(given.loss, n), samples // outer
        log_inner, log_samples = real(math.log(inner)), real(math.log(samples))
        log_groups, log_outer = real(math.log(given.groups)), real(math.log(outer))
        first, last = share(n, part, parts)
        for i in range(first, last):
            own, ratio = row(given.log_weight, i, samples), row(given.ratio, i, samples)
            weight, latent_weight = row(given.weight, i, samples), row(given.latent_weight, i, samples)
            pool_top, pool_log = log_sum_exp(own, 0, samples)
            means = zero
            for m in range(outer):
                top, log_total = log_sum_exp(own, m * inner, (m + 1) * inner)
                means += top + (log_total - log_inner)
                shift = (pool_top - top) + (pool_log - log_total) - log_outer if pooled else zero
                for s in range(m * inner, (m + 1) * inner):
                    log_u = (own[s] - top) - log_total
                    log_latent = (two * log_u if squared else log_u) - log_groups
                    log_ratio = min((log_u if squared else zero) + shift, largest)
                    weight[s] = exp(max(log_u - log_groups - shift, log_latent - largest))
                    latent_weight[s] = exp(log_latent)
                    ratio[s] = exp(log_ratio)
            loss[i] = -(pool_top + (pool_log - log_samples)) if pooled else -means / real(outer)

    @kernel(real_name, "n latent samples path latent_weight ratio sigma z noise dz")
    def importance_gradient(given, part, parts):
        n, latent, samples = given.n, given.latent, given.samples
        latent_weight, ratio = vector(given.latent_weight, n * samples), vector(given.ratio, n * samples)
        first, last = share(n, part, parts)
        for i in range(first, last):
            sigma = row(given.sigma, i, latent)
            for s in range(i * samples, (i + 1) * samples):
                z, noise, dz = row(given.z, s, latent), row(given.noise, s, latent), row(given.dz, s, latent)
                r, w = ratio[s], latent_weight[s]
                if given.path:
                    for j in range(latent):
                        dz[j] = r * dz[j] + w * (z[j] - noise[j] / sigma[j])
                else:
                    for j in range(latent):
                        dz[j] = r * dz[j] + w * z[j]

    return SimpleNamespace(importance_weights=importance_weights, importance_gradient=importance_gradient)


@contract("log_weight")
def log_weights(plan, nll, rho, sigma, noise, z, scale, log_weight):
    one_of("scale", scale, SCALES)
    real_name, rows = real_of("nll", nll), len(nll)
    n, latent = rho.shape
    samples = samples_of("nll", rows, n)
    matches("sigma", sigma, (n, latent), real_name)
    given = blocks_match((n, latent), real_name, rho=rho) | all_match((rows, latent), real_name, noise=noise, z=z)
    given |= all_match((rows,), real_name, nll=nll, log_weight=log_weight)
    given |= {"n": n, "latent": latent, "samples": samples, "sigma": sigma}
    plan.add(scale_kernels(real_name, scale).log_weights, given, work=_SCALE_COST * rho.size + _COST * z.size)


@contract("loss weight latent_weight ratio")
def importance_weights(plan, log_weight, outer, examples, pooled, squared, loss, weight, latent_weight, ratio):
    real_name, rows, n = real_of("log_weight", log_weight), len(log_weight), len(loss)
    samples = samples_of("log_weight", rows, n)
    samples_of("log_weight", samples, outer)
    matches("loss", loss, (n,), real_name)
    given = {"log_weight": log_weight, "weight": weight, "latent_weight": latent_weight, "ratio": ratio}
    all_match((rows,), real_name, **given)
    given |= {
        "n": n,
        "samples": samples,
        "outer": outer,
        "groups": examples * outer,
        "pooled": bool(pooled),
        "squared": bool(squared),
        "loss": loss,
    }
    plan.add(weight_kernels(real_name).importance_weights, given, work=_WEIGHT_COST * rows)


@contract("dz")
def importance_gradient(plan, z, noise, sigma, latent_weight, ratio, path, dz):
    real_name = real_of("z", z)
    (rows, latent), n = z.shape, len(sigma)
    samples = samples_of("z", rows, n)
    matches("sigma", sigma, (n, latent), real_name)
    given = all_match((rows, latent), real_name, z=z, noise=noise, dz=dz)
    given |= all_match((rows,), real_name, latent_weight=latent_weight, ratio=ratio)
    given |= {"n": n, "latent": latent, "samples": samples, "path": bool(path), "sigma": sigma}
    plan.add(weight_kernels(real_name).importance_gradient, given, work=_COST * z.size)


@contract("drho")
def log_sigma_backward(plan, rho, sigma, weight, scale, drho):
    one_of("scale", scale, SCALES)
    real_name, (n, latent) = real_of("rho", rho), rho.shape
    matches("sigma", sigma, (n, latent), real_name)
    matches("weight", weight, (n,), real_name)
    given = blocks_match((n, latent), real_name, rho=rho, drho=drho)
    given |= {"n": n, "latent": latent, "sigma": sigma, "weight": weight}
    plan.add(scale_kernels(real_name, scale).log_sigma_backward, given, work=_SCALE_COST * rho.size)

"""Importance weights and the way of their gradient to z, in NumPy. Stated in `naive/importance.py`."""

import math

import numpy as np

from ..naive import LARGEST_LOG_RATIO
from .tools import by_example, log_sigma_of, quiet, relative_slope, scratch


@quiet
def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    n = len(rho)
    log_sigma = scratch("log sigma", rho.shape, rho.dtype)
    log_sigma_of(rho, sigma, scale, log_sigma)
    # (noise^2 - z^2) / 2 = (noise - z) (noise + z) / 2
    difference, total = scratch("difference", z.shape, z.dtype), scratch("sum", z.shape, z.dtype)
    np.subtract(noise, z, out=difference)
    np.add(noise, z, out=total)
    np.einsum("ij,ij->i", difference, total, out=log_weight)
    np.multiply(log_weight, 0.5, out=log_weight)
    np.subtract(log_weight, nll, out=log_weight)
    by_example = log_weight.reshape(n, -1)
    np.add(by_example, np.sum(log_sigma, axis=1, out=scratch("rows", (n,), rho.dtype))[:, None], out=by_example)


def _normalize(log_weight, name):
    """(log u, top, log sum exp(log_weight - top)) over the last axis: u = the weights divided by their sum."""
    shape, dtype = log_weight.shape, log_weight.dtype
    log_u, u = scratch(f"{name} log u", shape, dtype), scratch("u", shape, dtype)
    top = np.max(log_weight, axis=-1, out=scratch(f"{name} top", shape[:-1], dtype))
    total = scratch(f"{name} total", shape[:-1], dtype)
    np.subtract(log_weight, top[..., None], out=log_u)
    np.exp(log_u, out=u)
    np.log(np.sum(u, axis=-1, out=total), out=total)
    np.subtract(log_u, total[..., None], out=log_u)
    return log_u, top, total


@quiet
def importance_weights(log_weight, outer, examples, pooled, squared, loss, weight, latent_weight, ratio):
    n = len(loss)
    shape = (n, outer, len(log_weight) // (n * outer))
    log_latent, top, total = _normalize(log_weight.reshape(shape), "group")
    log_all, log_ratio = scratch("log all", shape, loss.dtype), ratio.reshape(shape)
    np.copyto(log_ratio, log_latent if squared else 0)
    np.subtract(log_latent, math.log(examples * outer), out=log_all)
    if pooled:
        _, pool_top, pool_total = _normalize(log_weight.reshape(n, -1), "pool")
        np.subtract(pool_total, math.log(shape[1] * shape[2]), out=loss)
        np.add(loss, pool_top, out=loss)
        shift = scratch("shift", shape[:2], loss.dtype)
        np.subtract(pool_total[:, None], total, out=shift)
        np.subtract(shift, math.log(outer), out=shift)
        np.add(shift, np.subtract(pool_top[:, None], top, out=top), out=shift)
        np.add(log_ratio, shift[..., None], out=log_ratio)
        np.subtract(log_all, shift[..., None], out=log_all)
    else:
        np.subtract(total, math.log(shape[2]), out=total)
        np.mean(np.add(total, top, out=total), axis=1, out=loss)
    np.negative(loss, out=loss)
    if squared:
        np.multiply(log_latent, 2, out=log_latent)
    np.subtract(log_latent, math.log(examples * outer), out=log_latent)
    np.minimum(log_ratio, LARGEST_LOG_RATIO, out=log_ratio)
    # weight is raised to what the ratio's bound leaves of latent_weight
    floor = np.subtract(log_latent, LARGEST_LOG_RATIO, out=scratch("u", shape, loss.dtype))
    np.maximum(log_all, floor, out=log_all)
    np.exp(log_all, out=weight.reshape(shape))
    np.exp(log_latent, out=latent_weight.reshape(shape))
    np.exp(ratio, out=ratio)


@quiet
def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    slope = scratch("slope of z", z.shape, z.dtype)
    if path:
        np.divide(by_example(noise, len(sigma)), sigma[:, None], out=by_example(slope, len(sigma)))
        np.subtract(z, slope, out=slope)
    else:
        np.copyto(slope, z)
    np.multiply(slope, latent_weight[:, None], out=slope)
    np.multiply(dz, ratio[:, None], out=dz)
    np.add(dz, slope, out=dz)


@quiet
def log_sigma_backward(rho, sigma, weight, scale, drho):
    relative = scratch("relative slope", rho.shape, rho.dtype)
    relative_slope(rho, sigma, scale, relative)
    np.multiply(relative, weight[:, None], out=relative)
    np.subtract(drho, relative, out=drho)

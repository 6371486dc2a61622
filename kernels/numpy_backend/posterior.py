"""The sampling step and the KL term in NumPy. The functions are stated in `naive/posterior.py`."""

import numpy as np

from .tools import by_example, log_sigma_of, quiet, relative_slope, scale_slope, scratch, softplus


@quiet
def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    if scale == "softplus":
        softplus(rho, out=sigma)
    else:
        np.exp(rho, out=sigma)
    z, noise = by_example(z, len(mu)), by_example(noise, len(mu))
    np.multiply(sigma[:, None], noise, out=z)
    np.add(z, mu[:, None], out=z)


@quiet
def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    product = scratch("dz noise", dz.shape, dz.dtype)
    np.multiply(dz, noise, out=product)
    np.sum(by_example(dz, len(rho)), axis=1, out=dmu)
    np.sum(by_example(product, len(rho)), axis=1, out=drho)
    np.multiply(drho, scale_slope(rho, sigma, scale), out=drho)


@quiet
def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    log_sigma_of(rho, sigma, scale, out=kl)
    np.negative(kl, out=kl)
    square = scratch("square", mu.shape, mu.dtype)
    np.multiply(mu, mu, out=square)
    np.subtract(square, 1, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)
    np.multiply(sigma, sigma, out=square)
    np.multiply(square, 0.5, out=square)
    np.add(kl, square, out=kl)


@quiet
def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    weight = weight[:, None]
    if active is not None:
        weight = np.multiply(weight, active, out=scratch("active weight", mu.shape, mu.dtype))
    product = scratch("kl gradient", mu.shape, mu.dtype)
    np.multiply(mu, weight, out=product)
    np.add(dmu, product, out=dmu)
    slope = scale_slope(rho, sigma, scale)
    np.multiply(sigma, slope, out=product)
    if scale == "exp":
        np.subtract(product, 1, out=product)
    else:
        relative = scratch("relative slope", mu.shape, mu.dtype)
        relative_slope(rho, sigma, scale, relative)
        np.subtract(product, relative, out=product)
    np.multiply(product, weight, out=product)
    np.add(drho, product, out=drho)


@quiet
def free_bits(nll, kl, beta, floor, active, loss):
    mean = scratch("mean kl", active.shape, np.float64)
    np.mean(kl, axis=0, dtype=np.float64, out=mean)
    np.copyto(active, 1)
    np.copyto(active, 0, where=mean <= floor)
    counted = scratch("counted kl", kl.shape, np.float64)
    np.copyto(counted, kl)
    np.copyto(counted, floor, where=active == 0)
    total, mean_nll = scratch("total", loss.shape, np.float64), scratch("mean nll", loss.shape, np.float64)
    np.sum(counted, axis=1, out=total)
    np.multiply(total, beta, out=total)
    np.mean(nll.reshape(len(kl), -1), axis=1, dtype=np.float64, out=mean_nll)
    np.add(total, mean_nll, out=loss, casting="same_kind")

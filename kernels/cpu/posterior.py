"""The sampling step and the KL term: sigma, z, their gradients. The functions are stated in `naive.py`."""

import functools
from types import SimpleNamespace

import numpy as np

from ..naive import SCALES
from .checks import matches, one_of, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import REAL_VECTORS, share, word
from .scalar import scale_functions

# Element operations for one element of sigma, of z.
_COST = 12


@functools.cache
def latent_kernels(real_name, scale):
    """The kernels for one precision and one scale. Rows are shared out; a row of mu or rho starts at row * stride."""
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    vector = REAL_VECTORS[real_name]
    functions = scale_functions(real_name, scale)
    sigma_of, slope_of = functions.sigma_of, functions.slope_of
    log_sigma_of, relative_slope = functions.log_sigma_of, functions.relative_slope
    zero, one, half = real(0), real(1), real(0.5)
    name = f"{scale}_{real_name}"

    @kernel(name)
    def reparameterize_forward(arguments, part, parts):
        n, latent, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        first, last = share(n, part, parts)
        for i in range(first, last):
            mu = vector(word(arguments, 3) + i * word(arguments, 4), latent)
            rho = vector(word(arguments, 5) + i * word(arguments, 6), latent)
            sigma = vector(word(arguments, 7) + i * latent * itemsize, latent)
            for j in range(latent):
                sigma[j] = sigma_of(rho[j])
            for row in range(i * samples, (i + 1) * samples):
                noise = vector(word(arguments, 8) + row * latent * itemsize, latent)
                z = vector(word(arguments, 9) + row * latent * itemsize, latent)
                for j in range(latent):
                    z[j] = mu[j] + sigma[j] * noise[j]

    @kernel(name)
    def reparameterize_backward(arguments, part, parts):
        n, latent, samples = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        first, last = share(n, part, parts)
        for i in range(first, last):
            rho = vector(word(arguments, 3) + i * word(arguments, 4), latent)
            dmu = vector(word(arguments, 5) + i * word(arguments, 6), latent)
            drho = vector(word(arguments, 7) + i * word(arguments, 8), latent)
            sigma = vector(word(arguments, 9) + i * latent * itemsize, latent)
            for j in range(latent):
                dmu[j] = zero
                drho[j] = zero
            for row in range(i * samples, (i + 1) * samples):
                noise = vector(word(arguments, 10) + row * latent * itemsize, latent)
                dz = vector(word(arguments, 11) + row * latent * itemsize, latent)
                for j in range(latent):
                    dmu[j] += dz[j]
                    drho[j] += dz[j] * noise[j]
            for j in range(latent):
                drho[j] *= slope_of(rho[j], sigma[j])

    @kernel(name)
    def gaussian_kl_forward(arguments, part, parts):
        n, latent = word(arguments, 0), word(arguments, 1)
        first, last = share(n, part, parts)
        for i in range(first, last):
            mu = vector(word(arguments, 2) + i * word(arguments, 3), latent)
            rho = vector(word(arguments, 4) + i * word(arguments, 5), latent)
            sigma = vector(word(arguments, 6) + i * latent * itemsize, latent)
            kl = vector(word(arguments, 7) + i * latent * itemsize, latent)
            for j in range(latent):
                kl[j] = half * (mu[j] * mu[j] + sigma[j] * sigma[j] - one) - log_sigma_of(rho[j], sigma[j])

    @kernel(name)
    def gaussian_kl_backward(arguments, part, parts):
        n, latent = word(arguments, 0), word(arguments, 1)
        weight = vector(word(arguments, 10), n)
        first, last = share(n, part, parts)
        for i in range(first, last):
            mu = vector(word(arguments, 2) + i * word(arguments, 3), latent)
            rho = vector(word(arguments, 4) + i * word(arguments, 5), latent)
            dmu = vector(word(arguments, 6) + i * word(arguments, 7), latent)
            drho = vector(word(arguments, 8) + i * word(arguments, 9), latent)
            sigma = vector(word(arguments, 11) + i * latent * itemsize, latent)
            w = weight[i]
            for j in range(latent):
                dmu[j] += w * mu[j]
                s = sigma[j]
                drho[j] += w * (s * slope_of(rho[j], s) - relative_slope(rho[j], s))

    return SimpleNamespace(
        reparameterize_forward=reparameterize_forward,
        reparameterize_backward=reparameterize_backward,
        gaussian_kl_forward=gaussian_kl_forward,
        gaussian_kl_backward=gaussian_kl_backward,
    )


def _kernels(name, array, scale):
    one_of("scale", scale, SCALES)
    if array.ndim != 2:
        raise ValueError(f"{name}: got {array.ndim} dimensions, expected a matrix (n, latent)")
    return real_of(name, array), latent_kernels(real_of(name, array), scale), *array.shape


def _blocks(real_name, shape, **blocks):
    """Addresses and row strides of blocks of columns, as arguments of a kernel."""
    for name, array in blocks.items():
        matches(name, array, shape, real_name, columns=True)
        yield array
        yield array.strides[0]


def _noise_shape(noise, n, latent):
    if noise.ndim != 2 or noise.shape[1] != latent:
        raise ValueError(f"noise: got shape {noise.shape}, expected ({n} * samples, {latent})")
    return samples_of("noise", len(noise), n)


@contract
def reparameterize_forward(plan, mu, rho, noise, scale, sigma, z):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    samples = _noise_shape(noise, n, latent)
    matches("sigma", sigma, mu.shape, real_name)
    matches("noise", noise, noise.shape, real_name)
    matches("z", z, noise.shape, real_name)
    blocks = _blocks(real_name, mu.shape, mu=mu, rho=rho)
    plan.add(
        kernels.reparameterize_forward,
        [n, latent, samples, *blocks, sigma, noise, z],
        work=_COST * mu.size + 2 * z.size,
    )


@contract
def reparameterize_backward(plan, rho, sigma, noise, dz, scale, dmu, drho):
    real_name, kernels, n, latent = _kernels("sigma", sigma, scale)
    samples = _noise_shape(noise, n, latent)
    matches("sigma", sigma, rho.shape, real_name)
    matches("noise", noise, noise.shape, real_name)
    matches("dz", dz, noise.shape, real_name)
    blocks = _blocks(real_name, rho.shape, rho=rho, dmu=dmu, drho=drho)
    plan.add(
        kernels.reparameterize_backward,
        [n, latent, samples, *blocks, sigma, noise, dz],
        work=_COST * rho.size + 3 * dz.size,
    )


@contract
def gaussian_kl_forward(plan, mu, rho, sigma, scale, kl):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    matches("sigma", sigma, mu.shape, real_name)
    matches("kl", kl, mu.shape, real_name)
    blocks = _blocks(real_name, mu.shape, mu=mu, rho=rho)
    plan.add(kernels.gaussian_kl_forward, [n, latent, *blocks, sigma, kl], work=_COST * mu.size)


@contract
def gaussian_kl_backward(plan, mu, rho, sigma, weight, scale, dmu, drho):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    matches("sigma", sigma, mu.shape, real_name)
    matches("weight", weight, (n,), real_name)
    blocks = _blocks(real_name, mu.shape, mu=mu, rho=rho, dmu=dmu, drho=drho)
    plan.add(kernels.gaussian_kl_backward, [n, latent, *blocks, weight, sigma], work=_COST * mu.size)

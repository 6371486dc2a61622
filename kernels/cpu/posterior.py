"""The sampling step and the KL term: sigma, z, their gradients. The functions are stated in `naive`."""

import functools
from types import SimpleNamespace

from ..naive import SCALES
from .checks import all_match, blocks_match, matches, one_of, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import memory_of, share
from .scalar import scale_functions

# Element operations for one element of sigma, of z.
_COST = 12


@functools.cache
def latent_kernels(real_name, scale):
    """The kernels for one precision and one scale. Rows are shared out; a row of mu or rho starts at row * stride."""
    real, _, vector, row = memory_of(real_name)
    functions = scale_functions(real_name, scale)
    sigma_of, slope_of = functions.sigma_of, functions.slope_of
    log_sigma_of, relative_slope = functions.log_sigma_of, functions.relative_slope
    zero, one, half = real(0), real(1), real(0.5)
    name = f"{scale}_{real_name}"

    @kernel(name, "n latent samples mu mu_row rho rho_row sigma noise z")
    def reparameterize_forward(given, part, parts):
        latent, samples = given.latent, given.samples
        first, last = share(given.n, part, parts)
        for i in range(first, last):
            mu, rho = vector(given.mu + i * given.mu_row, latent), vector(given.rho + i * given.rho_row, latent)
            sigma = row(given.sigma, i, latent)
            for j in range(latent):
                sigma[j] = sigma_of(rho[j])
            for s in range(i * samples, (i + 1) * samples):
                noise, z = row(given.noise, s, latent), row(given.z, s, latent)
                for j in range(latent):
                    z[j] = mu[j] + sigma[j] * noise[j]

    @kernel(name, "n latent samples rho rho_row dmu dmu_row drho drho_row sigma noise dz")
    def reparameterize_backward(given, part, parts):
        latent, samples = given.latent, given.samples
        first, last = share(given.n, part, parts)
        for i in range(first, last):
            rho, sigma = vector(given.rho + i * given.rho_row, latent), row(given.sigma, i, latent)
            dmu, drho = vector(given.dmu + i * given.dmu_row, latent), vector(given.drho + i * given.drho_row, latent)
            for j in range(latent):
                dmu[j] = zero
                drho[j] = zero
            for s in range(i * samples, (i + 1) * samples):
                noise, dz = row(given.noise, s, latent), row(given.dz, s, latent)
                for j in range(latent):
                    dmu[j] += dz[j]
                    drho[j] += dz[j] * noise[j]
            for j in range(latent):
                drho[j] *= slope_of(rho[j], sigma[j])

    @kernel(name, "n latent mu mu_row rho rho_row sigma kl")
    def gaussian_kl_forward(given, part, parts):
        latent = given.latent
        first, last = share(given.n, part, parts)
        for i in range(first, last):
            mu, rho = vector(given.mu + i * given.mu_row, latent), vector(given.rho + i * given.rho_row, latent)
            sigma, kl = row(given.sigma, i, latent), row(given.kl, i, latent)
            for j in range(latent):
                m, s = mu[j], sigma[j]
                kl[j] = half * (m * m + s * s - one) - log_sigma_of(rho[j], s)

    @kernel(name, "n latent mu mu_row rho rho_row dmu dmu_row drho drho_row weight sigma")
    def gaussian_kl_backward(given, part, parts):
        n, latent = given.n, given.latent
        weight = vector(given.weight, n)
        first, last = share(n, part, parts)
        for i in range(first, last):
            mu, rho = vector(given.mu + i * given.mu_row, latent), vector(given.rho + i * given.rho_row, latent)
            dmu, drho = vector(given.dmu + i * given.dmu_row, latent), vector(given.drho + i * given.drho_row, latent)
            sigma, w = row(given.sigma, i, latent), weight[i]
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
    given = {"n": n, "latent": latent, "samples": samples, "sigma": sigma, "noise": noise, "z": z}
    given |= blocks_match(mu.shape, real_name, mu=mu, rho=rho)
    plan.add(kernels.reparameterize_forward, given, work=_COST * mu.size + 2 * z.size)


@contract
def reparameterize_backward(plan, rho, sigma, noise, dz, scale, dmu, drho):
    real_name, kernels, n, latent = _kernels("sigma", sigma, scale)
    samples = _noise_shape(noise, n, latent)
    matches("sigma", sigma, rho.shape, real_name)
    matches("noise", noise, noise.shape, real_name)
    matches("dz", dz, noise.shape, real_name)
    given = {"n": n, "latent": latent, "samples": samples, "sigma": sigma, "noise": noise, "dz": dz}
    given |= blocks_match(rho.shape, real_name, rho=rho, dmu=dmu, drho=drho)
    plan.add(kernels.reparameterize_backward, given, work=_COST * rho.size + 3 * dz.size)


@contract
def gaussian_kl_forward(plan, mu, rho, sigma, scale, kl):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    given = all_match(mu.shape, real_name, sigma=sigma, kl=kl) | blocks_match(mu.shape, real_name, mu=mu, rho=rho)
    plan.add(kernels.gaussian_kl_forward, given | {"n": n, "latent": latent}, work=_COST * mu.size)


@contract
def gaussian_kl_backward(plan, mu, rho, sigma, weight, scale, dmu, drho):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    matches("sigma", sigma, mu.shape, real_name)
    matches("weight", weight, (n,), real_name)
    given = blocks_match(mu.shape, real_name, mu=mu, rho=rho, dmu=dmu, drho=drho)
    given |= {"n": n, "latent": latent, "sigma": sigma, "weight": weight}
    plan.add(kernels.gaussian_kl_backward, given, work=_COST * mu.size)

"""The sampling step and the KL term: sigma, z, their gradients. The functions are stated in `naive`."""

import functools
from types import SimpleNamespace

import numpy as np

from ..naive import SCALES
from .checks import all_match, blocks_match, matches, one_of, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import float64_vector, memory_of, share
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

    def kl_backward(gated):
        """With `gated`, each latent's gradient is multiplied by its `active`."""

        @kernel(
            f"{name}_gated" if gated else name,
            "n latent mu mu_row rho rho_row dmu dmu_row drho drho_row weight sigma active",
        )
        def gaussian_kl_backward(given, part, parts):
            n, latent = given.n, given.latent
            weight, active = vector(given.weight, n), vector(given.active, latent)
            first, last = share(n, part, parts)
            for i in range(first, last):
                mu, rho = vector(given.mu + i * given.mu_row, latent), vector(given.rho + i * given.rho_row, latent)
                dmu, drho = (
                    vector(given.dmu + i * given.dmu_row, latent),
                    vector(given.drho + i * given.drho_row, latent),
                )
                sigma, w = row(given.sigma, i, latent), weight[i]
                for j in range(latent):
                    v = w * active[j] if gated else w
                    dmu[j] += v * mu[j]
                    s = sigma[j]
                    drho[j] += v * (s * slope_of(rho[j], s) - relative_slope(rho[j], s))

        return gaussian_kl_backward

    return SimpleNamespace(
        reparameterize_forward=reparameterize_forward,
        reparameterize_backward=reparameterize_backward,
        gaussian_kl_forward=gaussian_kl_forward,
        gaussian_kl_backward=kl_backward(gated=False),
        gated_kl_backward=kl_backward(gated=True),
    )


@functools.cache
def free_bits_kernels(real_name):
    """Latents are shared out for their means over the batch, each summed in the order of the rows, then examples."""
    real, _, vector, row = memory_of(real_name)
    zero, one = real(0), real(1)

    @kernel(real_name, "n latent kl floor sums active")
    def free_bits_latents(given, part, parts):
        n, latent = given.n, given.latent
        sums, active = float64_vector(given.sums, latent), vector(given.active, latent)
        floor = float64_vector(given.floor, 1)[0]
        first, last = share(latent, part, parts)
        for j in range(first, last):
            sums[j] = 0.0
        for i in range(n):
            kl = row(given.kl, i, latent)
            for j in range(first, last):
                sums[j] += np.float64(kl[j])
        for j in range(first, last):
            active[j] = zero if sums[j] / n <= floor else one

    @kernel(real_name, "n latent samples nll kl beta floor active loss")
    def free_bits_loss(given, part, parts):
        n, latent, samples = given.n, given.latent, given.samples
        beta, floor = float64_vector(given.beta, 1)[0], float64_vector(given.floor, 1)[0]
        active, loss = vector(given.active, latent), vector(given.loss, n)
        first, last = share(n, part, parts)
        for i in range(first, last):
            nll, kl = row(given.nll, i, samples), row(given.kl, i, latent)
            total, counted = 0.0, 0.0
            for s in range(samples):
                total += np.float64(nll[s])
            for j in range(latent):
                counted += floor if active[j] == zero else np.float64(kl[j])
            loss[i] = real(total / samples + beta * counted)

    return SimpleNamespace(latents=free_bits_latents, loss=free_bits_loss)


def _kernels(name, array, scale):
    one_of("scale", scale, SCALES)
    if array.ndim != 2:
        raise ValueError(f"{name}: got {array.ndim} dimensions, expected a matrix (n, latent)")
    return real_of(name, array), latent_kernels(real_of(name, array), scale), *array.shape


def _noise_shape(noise, n, latent):
    if noise.ndim != 2 or noise.shape[1] != latent:
        raise ValueError(f"noise: got shape {noise.shape}, expected ({n} * samples, {latent})")
    return samples_of("noise", len(noise), n)


@contract("sigma z")
def reparameterize_forward(plan, mu, rho, noise, scale, sigma, z):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    samples = _noise_shape(noise, n, latent)
    matches("sigma", sigma, mu.shape, real_name)
    matches("noise", noise, noise.shape, real_name)
    matches("z", z, noise.shape, real_name)
    given = {"n": n, "latent": latent, "samples": samples, "sigma": sigma, "noise": noise, "z": z}
    given |= blocks_match(mu.shape, real_name, mu=mu, rho=rho)
    plan.add(kernels.reparameterize_forward, given, work=_COST * mu.size + 2 * z.size)


@contract("dmu drho")
def reparameterize_backward(plan, rho, sigma, noise, dz, scale, dmu, drho):
    real_name, kernels, n, latent = _kernels("sigma", sigma, scale)
    samples = _noise_shape(noise, n, latent)
    matches("sigma", sigma, rho.shape, real_name)
    matches("noise", noise, noise.shape, real_name)
    matches("dz", dz, noise.shape, real_name)
    given = {"n": n, "latent": latent, "samples": samples, "sigma": sigma, "noise": noise, "dz": dz}
    given |= blocks_match(rho.shape, real_name, rho=rho, dmu=dmu, drho=drho)
    plan.add(kernels.reparameterize_backward, given, work=_COST * rho.size + 3 * dz.size)


@contract("kl")
def gaussian_kl_forward(plan, mu, rho, sigma, scale, kl):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    given = all_match(mu.shape, real_name, sigma=sigma, kl=kl) | blocks_match(mu.shape, real_name, mu=mu, rho=rho)
    plan.add(kernels.gaussian_kl_forward, given | {"n": n, "latent": latent}, work=_COST * mu.size)


@contract("dmu drho")
def gaussian_kl_backward(plan, mu, rho, sigma, weight, scale, dmu, drho, active=None):
    real_name, kernels, n, latent = _kernels("mu", mu, scale)
    matches("sigma", sigma, mu.shape, real_name)
    matches("weight", weight, (n,), real_name)
    given = blocks_match(mu.shape, real_name, mu=mu, rho=rho, dmu=dmu, drho=drho)
    given |= {"n": n, "latent": latent, "sigma": sigma, "weight": weight, "active": active}
    chosen = kernels.gaussian_kl_backward
    if active is not None:
        matches("active", active, (latent,), real_name)
        chosen = kernels.gated_kl_backward
    plan.add(chosen, given, work=_COST * mu.size)


@contract("active loss")
def free_bits(plan, nll, kl, beta, floor, active, loss):
    real_name = real_of("kl", kl)
    if kl.ndim != 2:
        raise ValueError(f"kl: got {kl.ndim} dimensions, expected a matrix (n, latent)")
    n, latent = kl.shape
    matches("kl", kl, kl.shape, real_name)
    samples = samples_of("nll", nll.size, n)
    matches("nll", nll, (nll.size,), real_name)
    all_match((1,), "float64", beta=beta, floor=floor)
    matches("active", active, (latent,), real_name)
    matches("loss", loss, (n,), real_name)
    given = {"n": n, "latent": latent, "kl": kl, "floor": floor, "active": active}
    kernels, sums = free_bits_kernels(real_name), plan.scratch((latent,), np.float64)
    plan.add(kernels.latents, given | {"sums": sums}, work=kl.size)
    plan.add(
        kernels.loss, given | {"samples": samples, "nll": nll, "beta": beta, "loss": loss}, work=kl.size + nll.size
    )

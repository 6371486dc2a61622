"""Reparameterization and KL, one thread for each element. Forward and backward of both can share a launch. Free bits.

mu, rho, dmu and drho are column blocks of a wider array. `KL` and `SAMPLE` choose the parts at compile time; the
fused kernels compute exactly what the two separate ones do, because each step between them is rounded as a store is.
"""

import functools

import numpy as np
from numba import cuda, float64

from .constants import ROW_BLOCKS, ROW_THREADS
from .runtime import current
from .scalars import functions, scale_functions
from .totals import WARPS, block_sum


@functools.cache
def forward_kernel(scale, dtype, sample, divergence):
    """sigma and z if `sample`, kl if `divergence`; a thread for each element of z (of kl without samples)."""
    f, by_scale = functions(dtype), scale_functions(scale, dtype)
    half, one, add, multiply = f.half, f.one, f.add, f.multiply
    sigma_of, log_sigma_of = by_scale.sigma, by_scale.log_sigma

    @cuda.jit
    def posterior_forward(mu, rho, noise, sigma, z, kl):
        latent = mu.shape[1]
        rows = z.shape[0] if sample else kl.shape[0]
        samples = rows // mu.shape[0]
        for e in range(cuda.grid(1), rows * latent, cuda.gridsize(1)):
            row, j = e // latent, e % latent
            i = row // samples
            m, r = mu[i, j], rho[i, j]
            if sample:
                s = sigma_of(r)
                z[row, j] = add(m, multiply(s, noise[row, j]))
            else:
                s = sigma[i, j]
            if row == i * samples:
                if sample:
                    sigma[i, j] = s
                if divergence:
                    kl[i, j] = half * (m * m + s * s - one) - log_sigma_of(r, s)

    return posterior_forward


def reparameterize_forward(mu, rho, noise, scale, sigma, z, *, gaussian_kl_forward=None):
    kernel = forward_kernel(scale, z.dtype.name, True, gaussian_kl_forward is not None)
    kl = gaussian_kl_forward.kl if gaussian_kl_forward else z
    current().launch_flat(kernel, z.size, mu, rho, noise, sigma, z, kl)


def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    kernel = forward_kernel(scale, kl.dtype.name, False, True)
    current().launch_flat(kernel, kl.size, mu, rho, kl, sigma, kl, kl)


@functools.cache
def backward_kernel(scale, dtype, sample, divergence, gated):
    """dmu and drho of the sampler if `sample`, with those of the KL added if `divergence`, and of that multiplied by
    `active` if `gated`.
    """
    f, by_scale = functions(dtype), scale_functions(scale, dtype)
    zero, add, multiply, slope_of, relative_of = f.zero, f.add, f.multiply, by_scale.slope, by_scale.relative

    @cuda.jit
    def posterior_backward(mu, rho, sigma, noise, dz, weight, active, dmu, drho):
        n, latent = sigma.shape
        for e in range(cuda.grid(1), n * latent, cuda.gridsize(1)):
            i, j = e // latent, e % latent
            r, s = rho[i, j], sigma[i, j]
            slope = slope_of(r, s)
            relative = relative_of(r, s, slope)
            if sample:
                samples = noise.shape[0] // n
                by_mu, by_sigma = zero, zero
                for row in range(i * samples, (i + 1) * samples):
                    by_mu = add(by_mu, dz[row, j])
                    by_sigma = add(by_sigma, multiply(dz[row, j], noise[row, j]))
                by_rho = multiply(slope, by_sigma)
            else:
                by_mu, by_rho = dmu[i, j], drho[i, j]
            if divergence:
                w = multiply(weight[i], active[j]) if gated else weight[i]
                by_mu = add(by_mu, multiply(w, mu[i, j]))
                by_rho = add(by_rho, multiply(w, add(multiply(s, slope), -relative)))
            dmu[i, j] = by_mu
            drho[i, j] = by_rho

    return posterior_backward


def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho, *, gaussian_kl_backward=None):
    dtype, kl, given = sigma.dtype.name, gaussian_kl_backward, current().given
    mu, weight, active = (kl.mu, kl.weight, kl.active) if kl else (rho, None, None)
    kernel = backward_kernel(scale, dtype, True, kl is not None, active is not None)
    arrays = mu, rho, sigma, noise, dz, given(weight, dtype), given(active, dtype)
    current().launch_flat(kernel, sigma.size, *arrays, dmu, drho)


def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho, active=None):
    dtype = sigma.dtype.name
    kernel = backward_kernel(scale, dtype, False, True, active is not None)
    arrays = mu, rho, sigma, sigma, sigma, weight, current().given(active, dtype)
    current().launch_flat(kernel, sigma.size, *arrays, dmu, drho)


@functools.cache
def free_bits_kernel(dtype):
    """active: a block for each latent, its threads along the batch."""
    real = np.dtype(dtype).type
    zero, one = real(0), real(1)

    @cuda.jit
    def free_bits_latents(kl, floor, active):
        scratch = cuda.shared.array(WARPS, float64)
        n, latent = kl.shape
        for j in range(cuda.blockIdx.x, latent, cuda.gridDim.x):
            total = 0.0
            for i in range(cuda.threadIdx.x, n, ROW_THREADS):
                total += float64(kl[i, j])
            total = block_sum(total, scratch)
            if cuda.threadIdx.x == 0:
                active[j] = zero if total / n <= floor[0] else one

    return free_bits_latents


@functools.cache
def free_bits_loss_kernel(dtype):
    """loss, a thread for each example."""
    real = np.dtype(dtype).type
    zero = real(0)

    @cuda.jit
    def free_bits_loss(nll, kl, beta, floor, active, loss):
        n, latent = kl.shape
        samples = nll.shape[0] // n
        for i in range(cuda.grid(1), n, cuda.gridsize(1)):
            total, counted = 0.0, 0.0
            for row in range(i * samples, (i + 1) * samples):
                total += float64(nll[row])
            for j in range(latent):
                counted += floor[0] if active[j] == zero else float64(kl[i, j])
            loss[i] = real(total / samples + beta[0] * counted)

    return free_bits_loss


def free_bits(nll, kl, beta, floor, active, loss):
    device, dtype, (n, latent) = current(), kl.dtype.name, kl.shape
    device.launch(free_bits_kernel(dtype), min(latent, ROW_BLOCKS), ROW_THREADS, kl, floor, active)
    device.launch_flat(free_bits_loss_kernel(dtype), n, nll, kl, beta, floor, active, loss)

"""Reparameterization and KL, one thread for each element. Forward and backward of both can share a launch.

mu, rho, dmu and drho are column blocks of a wider array. `KL` and `SAMPLE` choose the parts at compile time; the
fused kernels compute exactly what the two separate ones do, because each step between them is rounded as a store is.
"""

import functools

from numba import cuda

from .scalars import functions

device = cuda.jit(device=True)


@functools.cache
def _forward_parts(scale, dtype):
    f = functions(dtype)
    softplus_scale = scale == "softplus"
    softplus, exp, log_sigma_softplus, half, one = f.softplus, f.exp, f.log_sigma_softplus, f.half, f.one

    @device
    def sigma_of(rho):
        if softplus_scale:
            return softplus(rho)
        return exp(rho)

    @device
    def divergence(mu, rho, sigma):
        log_sigma = rho
        if softplus_scale:
            log_sigma = log_sigma_softplus(rho, sigma)
        return half * (mu * mu + sigma * sigma - one) - log_sigma

    return sigma_of, divergence


@functools.cache
def forward_kernel(scale, dtype, sample, divergence):
    """sigma and z if `sample`, kl if `divergence`; a thread for each element of z (of kl without samples)."""
    sigma_of, kl_of = _forward_parts(scale, dtype)
    add, multiply = functions(dtype).add, functions(dtype).multiply

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
                    kl[i, j] = kl_of(m, r, s)

    return posterior_forward


@functools.cache
def backward_kernel(scale, dtype, sample, divergence):
    """dmu and drho of the sampler if `sample`, with those of the KL added if `divergence`."""
    f = functions(dtype)
    softplus_scale = scale == "softplus"
    zero, one, add, multiply = f.zero, f.one, f.add, f.multiply
    sigmoid, relative_slope_softplus = f.sigmoid, f.relative_slope_softplus

    @cuda.jit
    def posterior_backward(mu, rho, sigma, noise, dz, weight, dmu, drho):
        n, latent = sigma.shape
        for e in range(cuda.grid(1), n * latent, cuda.gridsize(1)):
            i, j = e // latent, e % latent
            r, s = rho[i, j], sigma[i, j]
            slope, relative = s, one
            if softplus_scale:
                slope = sigmoid(r)
                relative = relative_slope_softplus(r, s, slope)
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
                w = weight[i]
                by_mu = add(by_mu, multiply(w, mu[i, j]))
                by_rho = add(by_rho, multiply(w, add(multiply(s, slope), -relative)))
            dmu[i, j] = by_mu
            drho[i, j] = by_rho

    return posterior_backward

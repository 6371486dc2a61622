"""The contract on an NVIDIA GPU. Arguments and results are stated in `naive.py`; arrays are numba-cuda's device arrays.

A recorded step becomes a `program.CudaProgram`, with fewer launches and, from its third run on, as one CUDA graph.
"""

from . import launches, program, runtime

ON_HOST = False


def zeros(shape, dtype):
    return runtime.current().zeros(shape, dtype)


def from_host(array):
    return runtime.current().from_host(array)


def to_host(array):
    return runtime.current().to_host(array)


def assign(destination, source):
    runtime.current().assign(destination, source)


def dense_forward(x, weight, bias, activation, y):
    launches.dense_forward(x, weight, bias, activation, y)


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    launches.dense_backward(x, weight, y, dy, activation, dx, dweight, dbias)


def standard_normal(seed, stream, clock, noise):
    launches.standard_normal(seed, stream, clock, noise)


def reparameterize_forward(mu, rho, noise, scale, sigma, z):
    launches.reparameterize_forward(mu, rho, noise, scale, sigma, z)


def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho):
    launches.reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho)


def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    launches.gaussian_kl_forward(mu, rho, sigma, scale, kl)


def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho):
    launches.gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho)


def bernoulli_nll(x, logits, weight, nll, dlogits):
    launches.bernoulli_nll(x, logits, weight, nll, dlogits)


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma):
    launches.gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma)


def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    launches.log_weights(nll, rho, sigma, noise, z, scale, log_weight)


def importance_weights(log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio):
    launches.importance_weights(log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio)


def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    launches.importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz)


def log_sigma_backward(rho, sigma, weight, scale, drho):
    launches.log_sigma_backward(rho, sigma, weight, scale, drho)


def clip_norm(gradient, limit, norm):
    launches.clip_norm(gradient, limit, norm)


def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov):
    launches.sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov)


def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    launches.adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay)


def gather(data, order, clock, batch_size, pixels, seed, x):
    launches.gather(data, order, clock, batch_size, pixels, seed, x)


def accumulate(nll, kl, beta, totals, clock):
    launches.accumulate(nll, kl, beta, totals, clock)


def tick(clock):
    launches.tick(clock)


def compile_program(calls, kernels):
    return program.CudaProgram(calls)

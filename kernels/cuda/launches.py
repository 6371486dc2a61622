"""From a call of the contract to a kernel launch: which variant, how many blocks, and what stands in for arguments that
a variant does not look at.

Beyond the contract, some take what a neighbouring call would do: `batch`, `ticks`, `kl`, `noise` (see `program`).
"""

import math

import numpy as np

from . import runtime
from .constants import FLAT_BLOCKS, FLAT_THREADS, PRODUCT_THREADS, ROW_BLOCKS, ROW_THREADS, VECTOR
from .data import batch_kernel, gather_kernel, normal_kernel
from .dense import backward_kernel, forward_kernel
from .importance import (
    importance_gradient_kernel,
    importance_weights_kernel,
    log_sigma_backward_kernel,
    log_weights_kernel,
)
from .likelihoods import bernoulli_kernel, gaussian_kernel
from .optimizers import adam_kernel, sgd_kernel
from .plans import plans
from .posterior import backward_kernel as posterior_backward_kernel
from .posterior import forward_kernel as posterior_forward_kernel
from .totals import accumulate_batch, norm_kernel, scale_kernel, tick_clock


def _name(array):
    return np.dtype(array.dtype).name


def _size(array):
    return math.prod(array.shape)


def _flat(array):
    return array.reshape((_size(array),))


def _unused(dtype):
    return runtime.current().workspace("unused", 8, dtype)


def _flat_launch(kernel, elements, *arguments):
    blocks = max(1, min(-(-elements // FLAT_THREADS), FLAT_BLOCKS))
    runtime.current().launch(kernel, blocks, FLAT_THREADS, *arguments)


def _row_launch(kernel, rows, *arguments):
    device = runtime.current()
    device.launch(kernel, min(rows, ROW_BLOCKS), ROW_THREADS, *arguments, *device.row_workspace())


def _aligned(*arrays):
    """Whether every row of every array starts on 16 bytes and is a whole number of vectors long."""
    address = runtime.current().address
    return all(array.shape[1] % VECTOR == 0 and address(array) % 16 == 0 for array in arrays)


def dense_forward(x, weight, bias, activation, y):
    device, dtype, aligned = runtime.current(), _name(y), _aligned(x, weight, y)
    (plan,) = plans([(*y.shape, x.shape[1])], dtype, aligned)
    kernel = forward_kernel(activation, plan.tile, aligned, dtype)
    workspace = device.product_arguments("first", plan, dtype)
    device.launch(kernel, plan.blocks, PRODUCT_THREADS, x, weight, bias, y, *workspace)


def dense_backward(x, weight, y, dy, activation, dx, dweight, dbias):
    device, dtype, wanted = runtime.current(), _name(dy), dx is not None
    target = dx if wanted else x
    aligned = _aligned(x, weight, y, dy, target, dweight)
    rows, (inputs, outputs) = dy.shape[0], weight.shape
    shapes = [(inputs, outputs, rows), (rows, inputs, outputs)]
    chosen = plans(shapes if wanted else shapes[:1], dtype, aligned)
    tn, nt = chosen[0], chosen[-1]
    device.launch(
        backward_kernel(activation, tn.tile, aligned, dtype, wanted),
        sum(plan.blocks for plan in chosen),
        PRODUCT_THREADS,
        *(x, weight, y, dy, target, dweight, dbias),
        *device.product_arguments("first", tn, dtype),
        np.uint32(tn.blocks),
        *device.product_arguments("second", nt, dtype),
    )


def _seed_words(seed):
    return np.uint64(int(seed) & 0xFFFFFFFF), np.uint64(int(seed) >> 32)


def standard_normal(seed, stream, clock, noise):
    arguments = *_seed_words(seed), np.uint64(stream), clock, _flat(noise)
    _flat_launch(normal_kernel(_name(noise)), -(-_size(noise) // 4), *arguments)


def gather(data, order, clock, batch_size, pixels, seed, x, normal=None):
    """With `normal`, the arguments (seed, stream, noise) of a standard_normal at the same clock, that too."""
    arguments = data, order, clock, int(batch_size), *_seed_words(seed), x
    blocks = -(-_size(x) // 4)
    if normal is None:
        _flat_launch(gather_kernel(_name(data), _name(x), pixels), blocks, *arguments)
        return
    normal_seed, stream, noise = normal
    arguments += *_seed_words(normal_seed), np.uint64(stream), _flat(noise)
    _flat_launch(batch_kernel(_name(data), _name(x), pixels), blocks + -(-_size(noise) // 4), *arguments)


def reparameterize_forward(mu, rho, noise, scale, sigma, z, kl=None):
    kernel = posterior_forward_kernel(scale, _name(z), True, kl is not None)
    _flat_launch(kernel, _size(z), mu, rho, noise, sigma, z, z if kl is None else kl)


def gaussian_kl_forward(mu, rho, sigma, scale, kl):
    kernel = posterior_forward_kernel(scale, _name(kl), False, True)
    _flat_launch(kernel, _size(kl), mu, rho, kl, sigma, kl, kl)


def reparameterize_backward(rho, sigma, noise, dz, scale, dmu, drho, kl=None):
    """With `kl`, the arguments (mu, weight) of the gaussian_kl_backward that follows, that too."""
    mu, weight = kl or (rho, _unused(sigma.dtype))
    kernel = posterior_backward_kernel(scale, _name(sigma), True, kl is not None)
    _flat_launch(kernel, _size(sigma), mu, rho, sigma, noise, dz, weight, dmu, drho)


def gaussian_kl_backward(mu, rho, sigma, weight, scale, dmu, drho):
    kernel = posterior_backward_kernel(scale, _name(sigma), False, True)
    _flat_launch(kernel, _size(sigma), mu, rho, sigma, sigma, sigma, weight, dmu, drho)


def _batch_arguments(batch, dtype):
    """kl, examples, beta, totals and clock of a kernel that can end with `add_batch`; `batch` is None or the arguments
    (kl, beta, totals, clock) of an accumulate.
    """
    if batch is None:
        return _unused(dtype), 1, 0.0, _unused("float64"), _unused("int64")
    kl, beta, totals, clock = batch
    return _flat(kl), kl.shape[0], float(beta), totals, clock


def bernoulli_nll(x, logits, weight, nll, dlogits, batch=None):
    value, gradient, rows = nll is not None, dlogits is not None, logits.shape[0]
    dtype = _name(logits)
    arrays = x, logits, weight if gradient else _unused(dtype), nll if value else _unused(dtype)
    target = dlogits if gradient else logits
    kernel = bernoulli_kernel(dtype, value, gradient, batch is not None)
    _row_launch(kernel, rows, *arrays, target, rows // x.shape[0], *_batch_arguments(batch, dtype))


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma, batch=None):
    value, gradient, slope, rows = nll is not None, dmean is not None, dlog_sigma is not None, mean.shape[0]
    dtype = _name(mean)
    arrays = (
        *(x, mean, log_sigma, _unused(dtype) if weight is None else weight, nll if value else _unused(dtype)),
        *(dmean if gradient else mean, dlog_sigma if slope else log_sigma),
    )
    kernel = gaussian_kernel(dtype, value, gradient, slope, batch is not None)
    _row_launch(kernel, rows, *arrays, rows // x.shape[0], *_batch_arguments(batch, dtype))


def log_weights(nll, rho, sigma, noise, z, scale, log_weight):
    kernel = log_weights_kernel(scale, _name(nll))
    _flat_launch(kernel, nll.shape[0], nll, rho, sigma, noise, z, log_weight)


def importance_weights(log_weight, outer, pooled, squared, loss, weight, latent_weight, ratio):
    kernel = importance_weights_kernel(_name(loss), bool(pooled), bool(squared))
    _flat_launch(kernel, loss.shape[0], log_weight, int(outer), loss, weight, latent_weight, ratio)


def importance_gradient(z, noise, sigma, latent_weight, ratio, path, dz):
    kernel = importance_gradient_kernel(_name(z), bool(path))
    _flat_launch(kernel, _size(z), z, noise, sigma, latent_weight, ratio, dz)


def log_sigma_backward(rho, sigma, weight, scale, drho):
    kernel = log_sigma_backward_kernel(scale, _name(sigma))
    _flat_launch(kernel, _size(rho), rho, sigma, weight, drho)


def accumulate(nll, kl, beta, totals, clock):
    flat_kl, examples, *rest = _batch_arguments((kl, beta, totals, clock), _name(kl))
    _row_launch(accumulate_batch, nll.shape[0], nll, flat_kl, examples, nll.shape[0] // examples, *rest)


def clip_norm(gradient, limit, norm):
    size, dtype = gradient.shape[0], _name(gradient)
    _row_launch(norm_kernel(dtype), -(-size // ROW_THREADS), gradient, norm)
    _flat_launch(scale_kernel(dtype), size, gradient, float(limit), norm)


def _step_counters():
    return runtime.current().workspace("step counters", 1, "int32")


def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov, ticks=False):
    kernel = sgd_kernel(_name(parameter), velocity is not None, bool(nesterov), ticks)
    arrays = parameter, gradient, gradient if velocity is None else velocity, rates, clock
    _flat_launch(kernel, parameter.shape[0], *arrays, float(momentum), _step_counters())


def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay, ticks=False):
    arrays = parameter, gradient, first, second, rates, clock
    logs = (math.log(beta) if beta > 0 else -math.inf for beta in (beta1, beta2))
    numbers = float(beta1), float(beta2), *logs, float(eps), float(weight_decay)
    _flat_launch(adam_kernel(_name(parameter), ticks), parameter.shape[0], *arrays, *numbers, _step_counters())


def tick(clock):
    runtime.current().launch(tick_clock, 1, 1, clock)

"""Clipping, SGD, Adam and Adagrad: one pass over the flat buffers. Clock and rates are read from device memory.

Where an update does the `tick` too, its last block advances the clock, which every block has read before it gets there.
"""

import functools
import math

import numpy as np
from numba import cuda, float64, int32

from .constants import ROW_THREADS
from .intrinsics import device
from .runtime import current
from .totals import WARPS, block_sum, is_last_block


@functools.cache
def norm_kernel(dtype):
    @cuda.jit
    def norm(gradient, result, partial, counters):
        """result[0] = the Euclidean norm, summed in float64."""
        scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        thread, block, blocks = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
        total = 0.0
        for e in range(block * ROW_THREADS + thread, gradient.shape[0], blocks * ROW_THREADS):
            g = float64(gradient[e])
            total += g * g
        total = block_sum(total, scratch)
        if thread == 0:
            partial[block] = total
        if is_last_block(counters, 0, blocks, flag):
            total = 0.0
            for other in range(thread, blocks, ROW_THREADS):
                total += partial[other]
            total = block_sum(total, scratch)
            if thread == 0:
                result[0] = math.sqrt(total)

    return norm


@functools.cache
def scale_kernel(dtype):
    real = np.dtype(dtype).type

    @cuda.jit
    def scale(gradient, limit, norm):
        """gradient *= limit / norm where the norm exceeds the limit."""
        if norm[0] > limit:
            factor = real(limit / norm[0])
            for e in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
                gradient[e] *= factor

    return scale


def clip_norm(gradient, limit, norm):
    size, dtype = gradient.shape[0], gradient.dtype.name
    current().launch_rows(norm_kernel(dtype), -(-size // ROW_THREADS), gradient, norm)
    current().launch_flat(scale_kernel(dtype), size, gradient, float(limit), norm)


@device
def rate_now(rates, clock):
    return rates[clock[0] & (rates.shape[0] - 1)]


@device
def advance(clock, counters, flag):
    if is_last_block(counters, 0, cuda.gridDim.x, flag) and cuda.threadIdx.x == 0:
        clock[0] += 1


def _counters():
    return current().workspace("step counters", 1, "int32")


@functools.cache
def sgd_kernel(dtype, has_velocity, nesterov, ticks):
    real = np.dtype(dtype).type

    @cuda.jit
    def sgd_update(parameter, gradient, velocity, rates, clock, momentum, counters):
        flag = cuda.shared.array(1, int32)
        rate, keep = real(rate_now(rates, clock)), real(momentum)
        for e in range(cuda.grid(1), parameter.shape[0], cuda.gridsize(1)):
            g = gradient[e]
            direction = g
            if has_velocity:
                v = keep * velocity[e] + g
                velocity[e] = v
                direction = v
                if nesterov:
                    direction = g + keep * v
            parameter[e] -= rate * direction
        if ticks:
            advance(clock, counters, flag)

    return sgd_update


def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov, *, tick=None):
    kernel = sgd_kernel(parameter.dtype.name, velocity is not None, bool(nesterov), tick is not None)
    arrays = parameter, gradient, gradient if velocity is None else velocity, rates, clock
    current().launch_flat(kernel, parameter.shape[0], *arrays, float(momentum), _counters())


@functools.cache
def adam_kernel(dtype, ticks):
    """beta^t is exp(t log beta), with log beta from the host, and 1 - beta^t is expm1: no digits are lost to either."""
    real = np.dtype(dtype).type
    one = real(1)

    @cuda.jit
    def adam_update(
        parameter, gradient, first, second, rates, clock, beta1, beta2, log_beta1, log_beta2, eps, decay, counters
    ):
        flag = cuda.shared.array(1, int32)
        shared = cuda.shared.array(3, float64)
        if cuda.threadIdx.x == 0:
            t = float64(clock[0] + 1)
            rate = rate_now(rates, clock)
            root = math.sqrt(-math.expm1(t * log_beta2))
            # m / c1 / (sqrt(v / c2) + eps) = (sqrt(c2) / c1) m / (sqrt(v) + sqrt(c2) eps)
            shared[0] = rate * root / -math.expm1(t * log_beta1)
            shared[1] = root * eps
            shared[2] = 1.0 - rate * decay
        cuda.syncthreads()
        step, floor, keep = real(shared[0]), real(shared[1]), real(shared[2])
        b1, b2 = real(beta1), real(beta2)
        rest1, rest2 = real(1.0 - beta1), real(1.0 - beta2)
        for e in range(cuda.grid(1), parameter.shape[0], cuda.gridsize(1)):
            g, p = gradient[e], parameter[e]
            m = b1 * first[e] + rest1 * g
            v = b2 * second[e] + rest2 * g * g
            first[e], second[e] = m, v
            if keep != one:
                p *= keep
            parameter[e] = p - step * m / (real(math.sqrt(v)) + floor)
        if ticks:
            advance(clock, counters, flag)

    return adam_update


def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay, *, tick=None):
    arrays = parameter, gradient, first, second, rates, clock
    logs = (math.log(beta) if beta > 0 else -math.inf for beta in (beta1, beta2))
    numbers = float(beta1), float(beta2), *logs, float(eps), float(weight_decay)
    kernel = adam_kernel(parameter.dtype.name, tick is not None)
    current().launch_flat(kernel, parameter.shape[0], *arrays, *numbers, _counters())


@functools.cache
def adagrad_kernel(dtype, ticks):
    real = np.dtype(dtype).type

    @cuda.jit
    def adagrad_update(parameter, gradient, squares, rates, clock, eps, decay, counters):
        flag = cuda.shared.array(1, int32)
        rate, floor, pull = real(rate_now(rates, clock)), real(eps), real(decay)
        for e in range(cuda.grid(1), parameter.shape[0], cuda.gridsize(1)):
            p = parameter[e]
            direction = gradient[e] + pull * p
            total = squares[e] + direction * direction
            squares[e] = total
            parameter[e] = p - rate * direction / (real(math.sqrt(total)) + floor)
        if ticks:
            advance(clock, counters, flag)

    return adagrad_update


def adagrad_update(parameter, gradient, squares, rates, clock, eps, weight_decay, *, tick=None):
    kernel = adagrad_kernel(parameter.dtype.name, tick is not None)
    arrays = parameter, gradient, squares, rates, clock
    current().launch_flat(kernel, parameter.shape[0], *arrays, float(eps), float(weight_decay), _counters())

"""SGD and Adam: one pass over the flat buffers. Clock and rates are read from device memory.

With `ticks` the last block ends the step by advancing the clock, which every block has read before it gets there.
"""

import functools
import math

import numpy as np
from numba import cuda, float64, int32

from .totals import is_last_block

device = cuda.jit(device=True)


@device
def rate_now(rates, clock):
    return rates[min(clock[0], rates.shape[0] - 1)]


@device
def advance(clock, counters, flag):
    if is_last_block(counters, 0, cuda.gridDim.x, flag) and cuda.threadIdx.x == 0:
        clock[0] += 1


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


@functools.cache
def adam_kernel(dtype, ticks):
    """beta^t is exp(t log beta), with log beta from the host, and 1 - beta^t is expm1: no digits are lost to either."""
    real = np.dtype(dtype).type
    one = real(1)

    @cuda.jit
    def adam_update(
        parameter,
        gradient,
        first,
        second,
        rates,
        clock,
        beta1,
        beta2,
        log_beta1,
        log_beta2,
        eps,
        weight_decay,
        counters,
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
            shared[2] = 1.0 - rate * weight_decay
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

"""Optimizer steps and gradient clipping: one pass over the flat buffers. The functions are stated in `naive.py`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .checks import matches, real_of
from .contract import contract
from .jit import inline, kernel
from .memory import REAL_VECTORS, float64_vector, int64_vector, number, share, word
from .target import CACHE_LINE, FASTMATH_SUMS, PIECE

_ADAM_COST, _SGD_COST = 4, 1


@functools.cache
def optimizer_kernels(real_name):
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    vector = REAL_VECTORS[real_name]
    line = CACHE_LINE // itemsize
    least = np.finfo(real).smallest_normal

    @inline
    def normal(value):
        """0 in the place of a subnormal number, at which x86 works a hundred cycles.

        A moment whose gradient stays 0 (a pixel that is rarely set, a unit that is never active) decays into that
        range within 700 steps and rounding keeps it there. With 65,000 of 1.3 million moments below it, a step of the
        reference model took twice its time.
        """
        return real(0.0) if abs(value) < least else value

    @inline
    def share_lines(size, part, parts):
        """This part's range of a flat array, cut between cache lines."""
        first, last = share(-(-size // line), part, parts)
        return first * line, min(last * line, size)

    @inline
    def rate_now(rates, count, clock):
        return float64_vector(rates, count)[min(clock, count - 1)]

    @kernel(real_name)
    def adam(arguments, part, parts):
        first, last = share_lines(word(arguments, 0), part, parts)
        size = last - first
        start = first * itemsize
        p, g = vector(word(arguments, 1) + start, size), vector(word(arguments, 2) + start, size)
        m, v = vector(word(arguments, 3) + start, size), vector(word(arguments, 4) + start, size)
        clock = int64_vector(word(arguments, 7), 1)[0]
        rate = rate_now(word(arguments, 5), word(arguments, 6), clock)
        beta1, beta2 = number(arguments, 8), number(arguments, 9)
        eps, weight_decay = number(arguments, 10), number(arguments, 11)
        # rate m / c1 / (sqrt(v / c2) + eps) = step m / (sqrt(v) + floor)
        root = math.sqrt(1.0 - math.pow(beta2, clock + 1.0))
        step, floor = real(rate * root / (1.0 - math.pow(beta1, clock + 1.0))), real(eps * root)
        keep1, take1, keep2, take2 = real(beta1), real(1.0 - beta1), real(beta2), real(1.0 - beta2)
        keep = real(1.0 - rate * weight_decay)
        for i in range(size):
            m_i = keep1 * m[i] + take1 * g[i]
            v_i = keep2 * v[i] + take2 * g[i] * g[i]
            m[i] = normal(m_i)
            v[i] = normal(v_i)
            p[i] = keep * p[i] - step * m_i / (np.sqrt(v_i) + floor)

    @kernel(real_name)
    def sgd(arguments, part, parts):
        first, last = share_lines(word(arguments, 0), part, parts)
        size = last - first
        start = first * itemsize
        p, g = vector(word(arguments, 1) + start, size), vector(word(arguments, 2) + start, size)
        clock = int64_vector(word(arguments, 6), 1)[0]
        rate = real(rate_now(word(arguments, 4), word(arguments, 5), clock))
        if word(arguments, 3) == 0:
            for i in range(size):
                p[i] -= rate * g[i]
            return
        velocity = vector(word(arguments, 3) + start, size)
        momentum = real(number(arguments, 7))
        if word(arguments, 8):
            for i in range(size):
                v_i = momentum * velocity[i] + g[i]
                velocity[i] = normal(v_i)
                p[i] -= rate * (g[i] + momentum * v_i)
        else:
            for i in range(size):
                v_i = momentum * velocity[i] + g[i]
                velocity[i] = normal(v_i)
                p[i] -= rate * v_i

    @kernel(real_name, FASTMATH_SUMS)
    def sum_squares(arguments, part, parts):
        size, pieces = word(arguments, 0), word(arguments, 1)
        sums = float64_vector(word(arguments, 3), pieces)
        first, last = share(pieces, part, parts)
        for piece in range(first, last):
            count = min(size - piece * PIECE, PIECE)
            g = vector(word(arguments, 2) + piece * PIECE * itemsize, count)
            total = 0.0
            for i in range(count):
                total += np.float64(g[i]) * np.float64(g[i])
            sums[piece] = total

    @kernel(real_name, FASTMATH_SUMS)
    def finish_norm(arguments, part, parts):
        pieces = word(arguments, 0)
        sums = float64_vector(word(arguments, 1), pieces)
        total = 0.0
        for piece in range(pieces):
            total += sums[piece]
        norm, limit = math.sqrt(total), number(arguments, 3)
        float64_vector(word(arguments, 2), 1)[0] = norm
        sums[0] = limit / norm if norm > limit else 1.0

    @kernel(real_name)
    def shrink(arguments, part, parts):
        factor = float64_vector(word(arguments, 2), 1)[0]
        if factor == 1.0:
            return
        first, last = share_lines(word(arguments, 0), part, parts)
        g = vector(word(arguments, 1) + first * itemsize, last - first)
        for i in range(last - first):
            g[i] = np.float64(g[i]) * factor

    return SimpleNamespace(adam=adam, sgd=sgd, sum_squares=sum_squares, finish_norm=finish_norm, shrink=shrink)


def _check(parameter, rates, clock, **others):
    real_name = real_of("parameter", parameter)
    matches("parameter", parameter, (parameter.size,), real_name)
    for name, array in others.items():
        matches(name, array, parameter.shape, real_name)
    matches("rates", rates, (rates.size,), "float64")
    matches("clock", clock, (1,), "int64")
    return optimizer_kernels(real_name)


@contract
def clip_norm(plan, gradient, limit, norm):
    kernels = optimizer_kernels(real_of("gradient", gradient))
    size = gradient.size
    matches("gradient", gradient, (size,), gradient.dtype)
    matches("norm", norm, (1,), "float64")
    pieces = -(-size // PIECE)
    sums = plan.scratch((pieces,), np.float64)
    plan.add(kernels.sum_squares, [size, pieces, gradient, sums], work=size)
    plan.add(kernels.finish_norm, [pieces, sums, norm, float(limit)], work=0)
    plan.add(kernels.shrink, [size, gradient, sums], work=size)


@contract
def sgd_update(plan, parameter, gradient, velocity, rates, clock, momentum, nesterov):
    moments = {} if velocity is None else {"velocity": velocity}
    if velocity is None and momentum != 0:
        raise ValueError(f"velocity: got None, expected an array, because momentum is {momentum}")
    kernels = _check(parameter, rates, clock, gradient=gradient, **moments)
    plan.add(
        kernels.sgd,
        [parameter.size, parameter, gradient, velocity, rates, rates.size, clock, float(momentum), bool(nesterov)],
        work=_SGD_COST * parameter.size,
    )


@contract
def adam_update(plan, parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    kernels = _check(parameter, rates, clock, gradient=gradient, first=first, second=second)
    constants = [float(value) for value in (beta1, beta2, eps, weight_decay)]
    plan.add(
        kernels.adam,
        [parameter.size, parameter, gradient, first, second, rates, rates.size, clock, *constants],
        work=_ADAM_COST * parameter.size,
    )

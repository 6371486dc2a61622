"""Optimizer steps and gradient clipping: one pass over the flat buffers. The functions are stated in `naive`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .checks import matches, real_of
from .contract import contract
from .jit import inline, kernel
from .memory import float64_vector, int64_vector, memory_of, share
from .target import CACHE_LINE, FASTMATH_SUMS, PIECE

_ADAM_COST, _ADAGRAD_COST, _SGD_COST = 4, 3, 1


@functools.cache
def optimizer_kernels(real_name):
    real, itemsize, vector, _ = memory_of(real_name)
    line = CACHE_LINE // itemsize
    least = np.finfo(real).smallest_normal

    @inline
    def normal(value):
        """0 in the place of a subnormal number, at which x86 takes a hundred cycles.

        A moment whose gradient stays 0 (a pixel that is rarely set, a unit that is never active) decays into that
        range within 700 steps and rounding keeps it there. With 65,000 of 1.3 million moments below it, a step of the
        reference model took twice its time. Weights of a pixel that is never set shrink as far under a Gaussian
        likelihood: with 900 of them below it, a linear model took twelve times.
        """
        return real(0.0) if abs(value) < least else value

    @inline
    def share_lines(size, part, parts):
        """This part's range of a flat array, cut between cache lines: (bytes before it, number of elements)."""
        first, last = share(-(-size // line), part, parts)
        return first * CACHE_LINE, min(last * line, size) - first * line

    @inline
    def rate_now(rates, count, clock):
        return float64_vector(rates, count)[clock & (count - 1)]

    @kernel(
        real_name, "size parameter gradient first second rates rate_count clock", floats="beta1 beta2 eps weight_decay"
    )
    def adam(given, part, parts):
        start, size = share_lines(given.size, part, parts)
        p, g = vector(given.parameter + start, size), vector(given.gradient + start, size)
        m, v = vector(given.first + start, size), vector(given.second + start, size)
        beta1, beta2 = given.beta1, given.beta2
        clock = int64_vector(given.clock, 1)[0]
        rate = rate_now(given.rates, given.rate_count, clock)
        # rate m / c1 / (sqrt(v / c2) + eps) = step m / (sqrt(v) + floor)
        root = math.sqrt(1.0 - math.pow(beta2, clock + 1.0))
        step, floor = real(rate * root / (1.0 - math.pow(beta1, clock + 1.0))), real(given.eps * root)
        keep1, take1, keep2, take2 = real(beta1), real(1.0 - beta1), real(beta2), real(1.0 - beta2)
        keep = real(1.0 - rate * given.weight_decay)
        for i in range(size):
            m_i = keep1 * m[i] + take1 * g[i]
            v_i = keep2 * v[i] + take2 * g[i] * g[i]
            m[i] = normal(m_i)
            v[i] = normal(v_i)
            p[i] = normal(keep * p[i] - step * m_i / (np.sqrt(v_i) + floor))

    @kernel(real_name, "size parameter gradient velocity rates rate_count clock nesterov", floats="momentum")
    def sgd(given, part, parts):
        start, size = share_lines(given.size, part, parts)
        p, g = vector(given.parameter + start, size), vector(given.gradient + start, size)
        rate = real(rate_now(given.rates, given.rate_count, int64_vector(given.clock, 1)[0]))
        if given.velocity == 0:
            for i in range(size):
                p[i] = normal(p[i] - rate * g[i])
            return
        velocity, momentum = vector(given.velocity + start, size), real(given.momentum)
        if given.nesterov:
            for i in range(size):
                v_i = momentum * velocity[i] + g[i]
                velocity[i] = normal(v_i)
                p[i] = normal(p[i] - rate * (g[i] + momentum * v_i))
        else:
            for i in range(size):
                v_i = momentum * velocity[i] + g[i]
                velocity[i] = normal(v_i)
                p[i] = normal(p[i] - rate * v_i)

    @kernel(real_name, "size parameter gradient squares rates rate_count clock", floats="eps weight_decay")
    def adagrad(given, part, parts):
        start, size = share_lines(given.size, part, parts)
        p, g = vector(given.parameter + start, size), vector(given.gradient + start, size)
        squares = vector(given.squares + start, size)
        rate = real(rate_now(given.rates, given.rate_count, int64_vector(given.clock, 1)[0]))
        eps, decay = real(given.eps), real(given.weight_decay)
        for i in range(size):
            direction = g[i] + decay * p[i]
            s_i = squares[i] + direction * direction
            squares[i] = s_i
            p[i] = normal(p[i] - rate * direction / (np.sqrt(s_i) + eps))

    @kernel(real_name, "size pieces gradient sums", FASTMATH_SUMS)
    def sum_squares(given, part, parts):
        sums = float64_vector(given.sums, given.pieces)
        first, last = share(given.pieces, part, parts)
        for piece in range(first, last):
            count = min(given.size - piece * PIECE, PIECE)
            g = vector(given.gradient + piece * PIECE * itemsize, count)
            total = 0.0
            for i in range(count):
                total += np.float64(g[i]) * np.float64(g[i])
            sums[piece] = total

    @kernel(real_name, "pieces sums norm", FASTMATH_SUMS, floats="limit")
    def finish_norm(given, part, parts):
        """The norm, and in the place of the first sum the factor that `shrink` applies."""
        sums, limit = float64_vector(given.sums, given.pieces), given.limit
        total = 0.0
        for piece in range(given.pieces):
            total += sums[piece]
        norm = math.sqrt(total)
        float64_vector(given.norm, 1)[0] = norm
        sums[0] = limit / norm if norm > limit else 1.0

    @kernel(real_name, "size gradient sums")
    def shrink(given, part, parts):
        factor = float64_vector(given.sums, 1)[0]
        if factor == 1.0:
            return
        start, size = share_lines(given.size, part, parts)
        g = vector(given.gradient + start, size)
        for i in range(size):
            g[i] = np.float64(g[i]) * factor

    clipping = {"sum_squares": sum_squares, "finish_norm": finish_norm, "shrink": shrink}
    return SimpleNamespace(adam=adam, sgd=sgd, adagrad=adagrad, **clipping)


def _check(parameter, rates, clock, **others):
    """(kernels, their common arguments) once all arrays fit together."""
    real_name, size, rate_count = real_of("parameter", parameter), parameter.size, rates.size
    matches("parameter", parameter, (size,), real_name)
    for name, array in others.items():
        matches(name, array, parameter.shape, real_name)
    matches("rates", rates, (rate_count,), "float64")
    matches("clock", clock, (1,), "int64")
    given = {"size": size, "parameter": parameter, "rates": rates, "rate_count": rate_count, "clock": clock, **others}
    return optimizer_kernels(real_name), given


@contract("gradient norm")
def clip_norm(plan, gradient, limit, norm):
    kernels = optimizer_kernels(real_of("gradient", gradient))
    size = gradient.size
    matches("gradient", gradient, (size,), gradient.dtype)
    matches("norm", norm, (1,), "float64")
    pieces = -(-size // PIECE)
    sums = plan.scratch((pieces,), np.float64)
    plan.add(kernels.sum_squares, {"size": size, "pieces": pieces, "gradient": gradient, "sums": sums}, work=size)
    plan.add(kernels.finish_norm, {"pieces": pieces, "sums": sums, "norm": norm, "limit": limit}, work=0)
    plan.add(kernels.shrink, {"size": size, "gradient": gradient, "sums": sums}, work=size)


@contract("parameter velocity")
def sgd_update(plan, parameter, gradient, velocity, rates, clock, momentum, nesterov):
    moments = {} if velocity is None else {"velocity": velocity}
    if velocity is None and momentum != 0:
        raise ValueError(f"velocity: got None, expected an array, because momentum is {momentum}")
    kernels, given = _check(parameter, rates, clock, gradient=gradient, **moments)
    given |= {"velocity": velocity, "momentum": momentum, "nesterov": bool(nesterov)}
    plan.add(kernels.sgd, given, work=_SGD_COST * parameter.size)


@contract("parameter first second")
def adam_update(plan, parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    kernels, given = _check(parameter, rates, clock, gradient=gradient, first=first, second=second)
    given |= {"beta1": beta1, "beta2": beta2, "eps": eps, "weight_decay": weight_decay}
    plan.add(kernels.adam, given, work=_ADAM_COST * parameter.size)


@contract("parameter squares")
def adagrad_update(plan, parameter, gradient, squares, rates, clock, eps, weight_decay):
    kernels, given = _check(parameter, rates, clock, gradient=gradient, squares=squares)
    given |= {"eps": eps, "weight_decay": weight_decay}
    plan.add(kernels.adagrad, given, work=_ADAGRAD_COST * parameter.size)

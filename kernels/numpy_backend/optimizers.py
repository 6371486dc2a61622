"""Optimizer steps and gradient clipping, in NumPy. The functions are stated in `naive/optimizers.py`."""

import math

import numpy as np

from .tools import quiet, scratch


@quiet
def clip_norm(gradient, limit, norm):
    # float64 partial sums: a float32 sum of a million squares loses digits
    norm[0] = math.sqrt(np.einsum("i,i->", gradient, gradient, dtype=np.float64))
    if norm[0] > limit:
        np.multiply(gradient, limit / norm[0], out=gradient)


def _rate(rates, clock):
    return float(rates[int(clock[0]) % len(rates)])


@quiet
def sgd_update(parameter, gradient, velocity, rates, clock, momentum, nesterov):
    direction = scratch("direction", gradient.shape, gradient.dtype)
    np.copyto(direction, gradient)
    if velocity is not None:
        np.multiply(velocity, momentum, out=velocity)
        np.add(velocity, gradient, out=velocity)
        if int(clock[0]) % DROP_EVERY == 0:
            _drop_subnormal(velocity, direction)
        np.copyto(direction, velocity)
        if nesterov:
            np.multiply(direction, momentum, out=direction)
            np.add(direction, gradient, out=direction)
    np.multiply(direction, _rate(rates, clock), out=direction)
    np.subtract(parameter, direction, out=parameter)
    if int(clock[0]) % DROP_EVERY == 0:
        _drop_subnormal(parameter, direction)


# A step of Adam is a dozen passes; a piece of this many elements stays in the second-level cache through all of them.
PIECE = 32768
DROP_EVERY = 8  # steps: looking for subnormal numbers takes three passes


@quiet
def adam_update(parameter, gradient, first, second, rates, clock, beta1, beta2, eps, weight_decay):
    t = int(clock[0]) + 1
    rate = _rate(rates, clock)
    scale = math.sqrt(1.0 - beta2**t)
    step = rate * scale / (1.0 - beta1**t)
    for start in range(0, parameter.size, PIECE):
        piece = slice(start, start + PIECE)
        p, g, m, v = parameter[piece], gradient[piece], first[piece], second[piece]
        work = scratch("work", g.shape, g.dtype)
        np.multiply(g, 1.0 - beta1, out=work)
        np.multiply(m, beta1, out=m)
        np.add(m, work, out=m)
        np.multiply(g, g, out=work)
        np.multiply(work, 1.0 - beta2, out=work)
        np.multiply(v, beta2, out=v)
        np.add(v, work, out=v)
        # m / c1 / (sqrt(v / c2) + eps) = (sqrt(c2) / c1) m / (sqrt(v) + sqrt(c2) eps)
        np.sqrt(v, out=work)
        np.add(work, scale * eps, out=work)
        np.divide(m, work, out=work)
        np.multiply(work, step, out=work)
        if weight_decay:
            np.multiply(p, 1.0 - rate * weight_decay, out=p)
        np.subtract(p, work, out=p)
        if t % DROP_EVERY == 0:
            for values in (p, m, v):
                _drop_subnormal(values, work)


@quiet
def adagrad_update(parameter, gradient, squares, rates, clock, eps, weight_decay):
    rate = _rate(rates, clock)
    for start in range(0, parameter.size, PIECE):
        piece = slice(start, start + PIECE)
        p, g, s = parameter[piece], gradient[piece], squares[piece]
        direction, work = (scratch(name, g.shape, g.dtype) for name in ("direction", "work"))
        np.multiply(p, weight_decay, out=direction)
        np.add(direction, g, out=direction)
        np.multiply(direction, direction, out=work)
        np.add(s, work, out=s)
        np.sqrt(s, out=work)
        np.add(work, eps, out=work)
        np.divide(direction, work, out=work)
        np.multiply(work, rate, out=work)
        np.subtract(p, work, out=p)
        if int(clock[0]) % DROP_EVERY == 0:
            _drop_subnormal(p, work)


def _drop_subnormal(values, work):
    """Those below the smallest normal number become 0: arithmetic on them takes x86 a hundred cycles each."""
    np.abs(values, out=work)
    below = np.less(work, np.finfo(work.dtype).smallest_normal, out=scratch("below", work.shape, np.bool_))
    np.copyto(values, 0, where=below)

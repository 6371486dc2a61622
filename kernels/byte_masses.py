"""The probabilities of a byte, and their gradients, for one feature: one source for every backend but `naive`.

`build` makes the functions for a target from the target's own elementary functions, as in `mathfun`; those of a target
that computes with whole arrays, as NumPy does, take arrays. Formulas: see `naive/likelihoods.py`.
"""

import math
from types import SimpleNamespace

import numpy as np

from . import mathfun
from .naive import LARGEST_BYTE, LOG_LIMIT, LOG_SCALE_LIMIT, MEAN_LIMIT

LOG_WAYS = np.array([math.log(math.comb(LARGEST_BYTE, k)) for k in range(LARGEST_BYTE + 1)])


def build(jit, real_name, functions, select, horner=mathfun.horner):
    """byte(x) -> k; beta_binomial(k, log_ways, log_alpha, log_beta) and logistic(k, mean, log_scale), each -> nll,
    dnll/dfirst, dnll/dsecond of the numbers that the decoder puts out.

    Parameters
    ----------
    jit, real_name, select, horner : as in `mathfun.build_rising`
    functions : exp, log, expm1_down, sigmoid and softplus of the target
    """
    real = np.dtype(real_name).type
    zero, half, one, largest = real(0), real(0.5), real(1), real(LARGEST_BYTE)
    eighth, half_bin = real(0.125), real(0.5 / LARGEST_BYTE)
    log_limit, mean_limit, log_scale_limit = real(LOG_LIMIT), real(MEAN_LIMIT), real(LOG_SCALE_LIMIT)
    # Added to a number of moderate size, it leaves the nearest integer in the lowest bits.
    shift = real(1.5 * 2.0 ** np.finfo(real).nmant)
    exp, log, expm1_down = functions.exp, functions.log, functions.expm1_down
    sigmoid, softplus = functions.sigmoid, functions.softplus
    gamma = mathfun.build_rising(jit, real_name, log, select, horner)
    rising, digamma_rise = gamma.rising, gamma.digamma_rise

    @jit
    def byte(x):
        return (largest * x + shift) - shift

    @jit
    def limited(o, limit):
        o = select(o > limit, limit, o)
        return select(o < -limit, -limit, o)

    @jit
    def log_share(part, rest):
        """log(part / (part + rest)), also where the rest is small."""
        whole = part + rest
        y = rest / whole
        near = y < half
        u = select(near, one - y, part / whole)
        return log(u) + select(near, ((one - u) - y) / u, zero)

    @jit
    def beta_binomial(k, log_ways, log_alpha, log_beta):
        a, b, m = exp(limited(log_alpha, log_limit)), exp(limited(log_beta, log_limit)), largest - k
        s = a + b
        shift_a, growth_a, rest_a, q_a = rising(a, k)
        shift_b, growth_b, rest_b, q_b = rising(b, m)
        shift_s, growth_s, rest_s, q_s = rising(s, largest)
        # z_s - z_a and z_s - z_b without the difference, which would lose the smaller of a and b
        share_a = k * log_share(a + shift_a + k, b + (shift_s - shift_a) + m)
        share_b = m * log_share(b + shift_b + m, a + (shift_s - shift_b) + k)
        nll = log(q_a / q_s * q_b) - log_ways - share_a - share_b - (rest_a + rest_b - rest_s)
        rise = digamma_rise(s, largest, growth_s)
        dlog_alpha = select(abs(log_alpha) > log_limit, zero, a * (rise - digamma_rise(a, k, growth_a)))
        dlog_beta = select(abs(log_beta) > log_limit, zero, b * (rise - digamma_rise(b, m, growth_b)))
        return nll, dlog_alpha, dlog_beta

    @jit
    def logistic(k, mean, log_scale):
        centre = half + limited(mean, mean_limit)
        inverse = exp(-limited(log_scale, log_scale_limit)) / eighth
        distance = k / largest - centre
        up, low = (distance + half_bin) * inverse, (distance - half_bin) * inverse
        d = inverse / largest
        first, last = k < half, k > largest - half
        inside = -expm1_down(-d)
        between = select(first | last, zero, log(inside))
        nll = select(last, zero, softplus(-up)) + select(first, zero, softplus(low)) - between
        by_up, by_low = select(last, zero, sigmoid(-up)), select(first, zero, sigmoid(low))
        by_width = select(first | last, zero, d * (one - inside) / inside)
        dmean = select(abs(mean) > mean_limit, zero, (by_up - by_low) * inverse)
        dlog_scale = select(abs(log_scale) > log_scale_limit, zero, by_up * up - by_low * low + by_width)
        return nll, dmean, dlog_scale

    return SimpleNamespace(byte=byte, beta_binomial=beta_binomial, logistic=logistic)

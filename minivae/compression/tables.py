"""Tables of functions that are not the same on every machine, made so that they are.

A libm may round the last bit of exp as it likes. Python's `decimal` may not: exp and ln are correctly rounded by its
specification, and so are products and sums. Everything here is computed with it, then rounded to integers or doubles.
"""

import functools
from decimal import (
    MAX_EMAX,
    MIN_EMIN,
    ROUND_HALF_EVEN,
    Context,
    Decimal,
    DivisionByZero,
    InvalidOperation,
    localcontext,
)

import numpy as np

from ..kernels import coder

DIGITS = 30
ACTIVATION_BITS = 12  # activations are whole multiples of 2^-12
ONE = 1 << ACTIVATION_BITS
RHO_STEPS, RHO_LIMIT = 64, 16  # the grid of rho
LOGIT_STEPS, LOGIT_LIMIT = 64, 11  # of logits; at 11 the mass of the unlikely pixel is 1 of 2^16
LOG_STEPS, LOG_LIMIT = 32, 12  # of the logarithms of alpha and beta
SCALE_STEPS, SCALE_LIMIT = 64, 8  # of a logistic's log scale
POWERS = 1024


def _exactly(function):
    """Computes with DIGITS digits, whatever a caller has set for sums of his own."""

    def made(*arguments):
        # nothing is left to `decimal.DefaultContext`, which can be changed too
        traps = [InvalidOperation, DivisionByZero]
        with localcontext(Context(DIGITS, ROUND_HALF_EVEN, MIN_EMIN, MAX_EMAX, 1, 0, [], traps)):
            return function(*arguments)

    return made


def _table(function):
    """Keeps the result, too."""
    return functools.cache(_exactly(function))


@_exactly
def log2_ratio(x, unit):
    """log2(x / unit) of whole numbers, a float."""
    return float((Decimal(x) / unit).ln() / Decimal(2).ln())


def _falling(step, count):
    """exp(-i step) for i = 0 .. count - 1, as products."""
    factor, value = (-Decimal(step)).exp(), Decimal(1)
    for _ in range(count):
        yield value
        value *= factor


def _whole(values):
    return np.array([int(value.to_integral_value()) for value in values], np.int64)


def _grid(steps, limit):
    return [Decimal(i) / steps for i in range(-limit * steps, limit * steps + 1)]


def on_grid(integers, steps, limit):
    """The place in a table over `_grid(steps, limit)` of activations, as int32; what lies outside is moved to its end.

    Exact: a product by a power of two, and rounding to the nearest whole number.
    """
    place = np.rint(integers * (steps / ONE))
    return (np.clip(place, -limit * steps, limit * steps) + limit * steps).astype(np.int32)


@_table
def pixel_masses():
    """The mass of a pixel of 1, of 2^PIXEL_BITS, by its logit: sigmoid, but never 0 and never all."""
    whole = 1 << coder.PIXEL_BITS
    masses = _whole(whole / (1 + (-logit).exp()) for logit in _grid(LOGIT_STEPS, LOGIT_LIMIT))
    return np.clip(masses, 1, whole - 1)


@_table
def sigmas(scale):
    """sigma by rho, float64."""
    if scale == "exp":
        return np.array([float(rho.exp()) for rho in _grid(RHO_STEPS, RHO_LIMIT)])
    return np.array([float((1 + rho.exp()).ln()) for rho in _grid(RHO_STEPS, RHO_LIMIT)])


@_table
def exponentials(steps, limit):
    return np.array([float(value.exp()) for value in _grid(steps, limit)])


@_table
def normal_distribution():
    """The normal distribution function, of 2^PHI_BITS, on the grid of `coder`, (2 * FARTHEST * STEPS + 1,).

    Sums of the density f by the trapezoid rule, with the first term of what Euler and Maclaurin say it is off by,
    -step^2 f'(t) / 12: to 1e-13.
    """
    count = coder.FARTHEST * coder.STEPS
    side = [(-((Decimal(i) / coder.STEPS) ** 2) / 2).exp() for i in range(count + 1)]
    density = side[:0:-1] + side
    total = Decimal(0)
    below: list[Decimal] = []
    for before, after in zip([Decimal(0), *density[:-1]], density, strict=True):
        total += (before + after) / 2
        t = Decimal(len(below) - count) / coder.STEPS
        below.append(total + t * after / (12 * coder.STEPS))
    return _whole(value / total * (1 << coder.PHI_BITS) for value in below)


@_table
def logistic_distribution():
    """The sigmoid, of 2^PHI_BITS, on a grid of 1 / STEPS up to 24 on both sides; 0 and 1 at its ends."""
    count, whole = 24 * coder.STEPS, 1 << coder.PHI_BITS
    upper = _whole(whole / (1 + value) for value in _falling(Decimal(1) / coder.STEPS, count + 1))
    upper[-1] = whole
    return np.concatenate([whole - upper[:0:-1], upper])


@_table
def prior_buckets(count):
    """(edges (count + 1,), centres (count,)) of buckets of equal mass under N(0, 1), float64."""
    phi = normal_distribution()

    def inverse(mass):
        """Where the distribution function is `mass` of 2 * count: doubles, one operation after another."""
        target = mass.astype(np.float64) * ((1 << coder.PHI_BITS) / (2 * count))
        k = np.clip(np.searchsorted(phi, target, "right") - 1, 0, len(phi) - 2)
        rise = (phi[k + 1] - phi[k]).astype(np.float64)
        return ((target - phi[k]) / rise + k) / coder.STEPS - coder.FARTHEST

    edges = np.full(count + 1, np.inf)
    edges[0], edges[1:-1] = -np.inf, inverse(2 * np.arange(1, count))
    return edges, inverse(2 * np.arange(count) + 1)


@_table
def logarithms():
    """log2 m in units of 2^-LOG_BITS for m = 0 .. 2^LEADING - 1, with 0 for m = 0."""
    unit = Decimal(1 << coder.LOG_BITS) / Decimal(2).ln()
    return _whole([Decimal(0), *(Decimal(m).ln() * unit for m in range(1, 1 << coder.LEADING))])


@_table
def powers():
    """2^(30 - f / POWERS) for f = 0 .. POWERS - 1."""
    return _whole(value * (1 << 30) for value in _falling(Decimal(2).ln() / POWERS, POWERS))


@_table
def activation(name):
    """The part of an activation that is no sum or product: a table over |a| from 0 on, in units of 1 / ONE.

    From its end on the table stands still: tanh and sigmoid at 1, the others at 0.
    """
    falling, made = _falling(Decimal(1) / ONE, 16 * ONE), []
    for i, e in enumerate(falling):  # e = exp(-|a|)
        a = Decimal(i) / ONE
        if name == "tanh":
            value = (1 - e * e) / (1 + e * e)
        elif name == "sigmoid":
            value = 1 / (1 + e)
        elif name == "softplus":
            value = (1 + e).ln()
        else:  # silu
            value = a * e / (1 + e)
        made.append(value * ONE)
        end = ONE if name in ("tanh", "sigmoid") else 0
        if i > ONE and abs(made[-1] - end) < Decimal("0.49"):
            break
    return _whole(made)


@_table
def gelu():
    """|a| Phi(-|a|) in the same units, until it is nothing."""
    half, made, a = Decimal("0.5"), [], 0
    below, previous = half, Decimal(1)
    root = (2 * Decimal(PI)).sqrt()
    while a < 8 * ONE:
        made.append(a * below)
        a += 1
        following = (-((Decimal(a) / ONE) ** 2) / 2).exp()
        below -= (previous + following) / (2 * ONE * root)
        previous = following
        if a > ONE and made[-1] < Decimal("0.49"):
            break
    return _whole(made)


PI = "3.14159265358979323846264338327950288"

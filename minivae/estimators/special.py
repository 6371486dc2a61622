"""The two special functions that gradients of gamma variables need."""

import numpy as np

from ..errors import expect

# Bernoulli numbers B_2 .. B_14 over 2 n: the coefficients of digamma's asymptotic series.
DIGAMMA_SERIES = (1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12)
ASYMPTOTIC = 10.0  # from here on seven terms of the series are exact to double precision
TERMS = 100_000
LARGEST_SHAPE = 1e7  # some 15 sqrt(shape) terms are summed


def digamma(x):
    """d log Gamma(x) / dx for x > 0, elementwise: digamma(x) = digamma(x + 1) - 1 / x until x >= 10, then
    log x - 1 / (2 x) - sum_n B_2n / (2 n x^2n). Absolute error below 1e-14 (1 + |digamma|).

    Source: Abramowitz and Stegun, 6.3.5 and 6.3.18.
    """
    x = np.array(x, float)
    shift = np.zeros_like(x)
    while (small := x < ASYMPTOTIC).any():
        shift = np.where(small, shift - 1 / np.where(small, x, 1), shift)
        x = np.where(small, x + 1, x)
    square, power, series = 1 / x**2, 1.0, 0.0
    for coefficient in DIGAMMA_SERIES:
        power = power * square
        series = series + coefficient * power
    return shift + np.log(x) - 0.5 / x - series


def gamma_draw_slope(shape, z):
    """dz/dshape of a draw z from Gamma(shape, 1) at a fixed quantile, elementwise for z > 0.

    At a fixed quantile F(z; a) stays what it is, so dz/da = -(dF/da) / p(z; a). With the series
    F = sum_n z^(a + n) e^-z / Gamma(a + n + 1), differentiated term by term and divided by p,

        dz/da = sum_n t_n (digamma(a + n + 1) - log z),    t_n = z^(n + 1) / (a (a + 1) ... (a + n))

    All t_n are positive. In the right tail the signs of the brackets cancel: the relative error is about 1e-16 divided
    by the probability of a larger draw, so 1e-10 for one draw in a million.

    Source: implicit differentiation, Figurnov, Mohamed and Mnih (arXiv:1805.08498), equation 5; the series: Abramowitz
    and Stegun, 6.5.29.
    """
    return z * gamma_log_slope(shape, np.log(z))


def gamma_log_slope(shape, log_z):
    """d log z / dshape = (dz/dshape) / z of the same draw, from log z: also where z is too small for a float."""
    expect(shape <= LARGEST_SHAPE, "shape", shape, f"at most {LARGEST_SHAPE:g} where dz/dshape is needed")
    log_z = np.array(log_z, float)
    z, a = np.exp(log_z), float(shape)
    term = np.full_like(z, 1 / a)
    bracket = digamma(a + 1) - log_z
    total = term * bracket
    for n in range(1, TERMS):
        term = term * (z / (a + n))
        bracket = bracket + 1 / (a + n)
        step = term * bracket
        total = total + step
        if n > z.max() - a and (np.abs(step) <= 1e-17 * np.abs(total)).all():
            return total
    raise ArithmeticError(f"the series of dz/dshape did not converge for shape {a:g}")

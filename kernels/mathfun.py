"""Exponentials and logarithms as branch-free polynomials, which compilers turn into vector code: one source.

Scalar library functions keep a loop from being vectorised and cost as much as all the matrix work of a training step.
These take every input, denormal numbers, infinities and NaN included (silu and its slope may be infinity times 0, NaN),
and stay within the errors below, in units in the last place of the result; for denormal results, of the smallest normal
number's, of silu and slopes |x| times that. A slope's units are those of the larger of its two terms.

| function | is | float32 | float64 |
| --- | --- | --- | --- |
| exp | e^x | 2 | 2 |
| expm1_down | e^x - 1 for x <= 0 | 3 | 3 |
| log | natural logarithm, x >= 0 | 2 | 2 |
| log1p_unit | log(1 + x) for 0 <= x <= 1 | 2 | 2 |
| sigmoid | 1 / (1 + e^-x) | 4 | 4 |
| softplus | log(1 + e^x) | 4 | 4 |
| tanh | | 5 | 5 |
| normal_cdf | Phi(x), the standard normal distribution function | 5 | 5 |
| gelu | x Phi(x) | 6 | 6 |
| silu | x sigmoid(x) | 5 | 5 |
| gelu_slope, silu_slope | their derivatives | 6 | 6 |

`build` makes them for a target and a precision from the target's operations, as `philox.build` does. Sources: range
reduction after W. J. Cody and W. Waite, "Software manual for the elementary functions" (1980); the logarithm after
FreeBSD's msun (e_log.c, e_logf.c); the map that makes the normal distribution's tail one polynomial after M. M.
Shepherd and J. G. Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < infinity", Math. Comp.
36 (1981); the other polynomials, and that one, are Chebyshev interpolants computed in 60 digits.
"""

from types import SimpleNamespace

import numpy as np

EXP_COEFFICIENTS = {  # (e^r - 1 - r) / r^2 for |r| <= ln(2) / 2, highest power first
    "float32": (0.00019890991, 0.001393365, 0.0083333105, 0.041666467, 0.16666667, 0.5),
    "float64": (
        1.608662795678037e-10,
        2.0918137737642736e-09,
        2.505207109429355e-08,
        2.75572632790885e-07,
        2.755731924721873e-06,
        2.4801587336442236e-05,
        0.00019841269841263298,
        0.0013888888888879073,
        0.008333333333333333,
        0.04166666666666668,
        0.16666666666666666,
        0.5,
    ),
}
LOG1P_COEFFICIENTS = {  # log(1 + e) / e in powers of e - 1/2, for 0 <= e <= 1, highest power first
    "float32": (
        -0.003176057,
        0.0052502705,
        -0.0067880168,
        0.011577685,
        -0.020563183,
        0.036635235,
        -0.06768819,
        0.13260901,
        -0.2885271,
        0.8109302,
    ),
    "float64": (
        2.4437973948580947e-05,
        -3.8362374451601246e-05,
        2.8278083585626545e-05,
        -4.4828443252232565e-05,
        8.933303406819272e-05,
        -0.0001421000228999903,
        0.00022119170895766566,
        -0.00035482048783102383,
        0.0005730446084677868,
        -0.0009288574279277324,
        0.0015153851053375097,
        -0.0024918411947988627,
        0.004136178969492579,
        -0.006945394974985513,
        0.011833792115498273,
        -0.020548811919120714,
        0.036611854523044426,
        -0.06768864331096429,
        0.13260975375420375,
        -0.2885270990993239,
        0.8109302162163288,
    ),
}
LOG_COEFFICIENTS = {  # (log(1 + f) - 2s) / s in powers of s^2, with s = f / (2 + f), highest power first
    "float32": (0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),
    "float64": (
        1.479819860511658591e-01,
        1.531383769920937332e-01,
        1.818357216161805012e-01,
        2.222219843214978396e-01,
        2.857142874366239149e-01,
        3.999999999940941908e-01,
        6.666666666666735130e-01,
    ),
}
NORMAL_TAIL_COEFFICIENTS = {  # (x + 4) Phi(-x) e^(x^2 / 2) in powers of (x - 4) / (x + 4), highest power first
    "float32": (
        -0.00012298315,
        0.00019480185,
        0.0015693137,
        -0.003523574,
        -0.007527213,
        0.06040647,
        -0.186523,
        0.38713667,
        -0.6078966,
        0.75528514,
    ),
    "float64": (
        -9.653425420228504e-10,
        7.26954547902669e-11,
        1.392402399350171e-08,
        1.457859334703646e-08,
        -7.63808205349045e-08,
        -1.5426320536771075e-07,
        2.6368248576407624e-07,
        1.0198048518135172e-06,
        -6.25132104047868e-07,
        -5.918892731763236e-06,
        7.150055959216099e-07,
        3.5144181157760973e-05,
        -1.9078665316613576e-06,
        -0.0002310948183193762,
        0.00013334425401904912,
        0.0016308184418903596,
        -0.0034796923622425332,
        -0.007540188965593059,
        0.06039657489069947,
        -0.18652185795969417,
        0.38713740074221886,
        -0.6078966419718917,
        0.7552851304157515,
    ),
}
# Where Phi(-x) has become 0, and the fractional bits that x may keep so that its square is exact up to there.
NORMAL_TAIL = {"float32": (14.5, 8), "float64": (39.0, 20)}
# ln 2 in two parts, of which the first has enough zeros at its end that a multiple of it is exact.
LN2 = {
    "float32": (0.693359375, -2.12194440054690583e-4),
    "float64": (6.93147180369123816490e-01, 1.90821492927058770002e-10),
}


def horner(jit, coefficients):
    """A function of t: the polynomial with these coefficients, highest power first."""

    @jit
    def polynomial(t):
        p = coefficients[0]
        for c in coefficients[1:]:
            p = p * t + c
        return p

    return polynomial


def build(jit, real_name, to_bits, from_bits, horner=horner):
    """The functions for one target and one precision ("float32" or "float64").

    Parameters
    ----------
    jit : the target's decorator for an inlinable function; it may contract a * b + c but not reorder sums
    to_bits, from_bits : between a float and the integer with the same bits
    horner : makes a function that evaluates a polynomial, where the target has something better than a loop
    """
    real = np.dtype(real_name).type
    info = np.finfo(real)
    mantissa, bias = int(info.nmant), int(info.maxexp) - 1
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    minus_two, nan = real(-2), real(np.nan)
    log2e = real(1.4426950408889634)
    ln2_high, ln2_low = (real(part) for part in LN2[real_name])
    # Added to a number of moderate size, it leaves the nearest integer in the lowest bits.
    shift = real(1.5 * 2.0**mantissa)
    shift_bits = int(np.array(shift).view(f"int{real().nbytes * 8}"))
    highest, lowest = (
        real(info.maxexp * 0.6931471805599453 + 1),
        real((info.minexp - mantissa - 2) * 0.6931471805599453),
    )
    down = real(-40)  # e^-40 is nothing beside 1
    tiny, infinity = real(info.tiny), real(np.inf)
    rescue, rescue_exponent = real(2.0 ** (mantissa + 2)), mantissa + 2
    one_bits = bias << mantissa
    root_bits = int(np.array(real(0.7071067811865476)).view(f"int{8 * real().nbytes}"))
    mantissa_mask = (1 << mantissa) - 1
    exp_tail, log1p_over, log_tail = (
        horner(jit, tuple(real(c) for c in table[real_name]))
        for table in (EXP_COEFFICIENTS, LOG1P_COEFFICIENTS, LOG_COEFFICIENTS)
    )

    @jit
    def reduce(x):
        """(n as an integer, e^r - 1) with x = n ln 2 + r, for x of moderate size."""
        shifted = x * log2e + shift
        n = shifted - shift
        r = (x - n * ln2_high) - n * ln2_low
        return to_bits(shifted) - shift_bits, r + r * r * exp_tail(r)

    @jit
    def power_of_two(n):
        return from_bits((n + bias) << mantissa)

    @jit
    def exp(x):
        x = highest if x > highest else x
        x = lowest if x < lowest else x
        n, tail = reduce(x)
        # in two steps, because 2^n itself may be too large or too small for a number
        first = n >> 1
        return (one + tail) * power_of_two(first) * power_of_two(n - first)

    @jit
    def expm1_down(x):
        x = down if x < down else x
        n, tail = reduce(x)
        scale = power_of_two(n)
        return scale * tail + (scale - one)

    @jit
    def log(x):
        small = x < tiny
        bits = to_bits(x * rescue if small else x)
        # x = 2^e (1 + f) with 1 + f in [sqrt(1/2), sqrt(2))
        shifted = bits + (one_bits - root_bits)
        e = real((shifted >> mantissa) - bias - (rescue_exponent if small else 0))
        f = from_bits((shifted & mantissa_mask) + root_bits) - one
        s = f / (two + f)
        s2 = s * s
        correction = s2 * log_tail(s2)
        square = half * f * f
        value = e * ln2_high - ((square - (s * (square + correction) + e * ln2_low)) - f)
        value = x if x == infinity or x != x else value
        value = -infinity if x == zero else value
        return nan if x < zero else value

    @jit
    def log1p_unit(x):
        return x * log1p_over(x - half)

    @jit
    def sigmoid(x):
        e = exp(-abs(x))
        return (e if x < zero else one) / (one + e)

    @jit
    def softplus(x):
        return (x if x > zero else zero) + log1p_unit(exp(-abs(x)))

    @jit
    def tanh(x):
        down = expm1_down(minus_two * abs(x))
        size = -down / (two + down)
        return -size if x < zero else size

    return SimpleNamespace(
        exp=exp,
        expm1_down=expm1_down,
        log=log,
        log1p_unit=log1p_unit,
        sigmoid=sigmoid,
        softplus=softplus,
        tanh=tanh,
        **vars(build_gated(jit, real_name, exp, horner)),
    )


def build_gated(jit, real_name, exp, horner=horner):
    """normal_cdf, gelu, gelu_slope, silu and silu_slope for one target and one precision, from that target's exp."""
    real = np.dtype(real_name).type
    zero, half, one, third, four = real(0), real(0.5), real(1), real(1 / 3), real(4)
    limit, fraction = NORMAL_TAIL[real_name]
    limit, shift = real(limit), real(1.5 * 2.0 ** (np.finfo(real).nmant - fraction))
    peak = real(0.3989422804014327)  # 1 / sqrt(2 pi), the density's at 0
    tail = horner(jit, tuple(real(c) for c in NORMAL_TAIL_COEFFICIENTS[real_name]))

    @jit
    def normal_tail(a):
        """x = |a|, e = e^(-x^2 / 2) and Phi(-x) / e, which is never too small for a number.

        The square is taken of a rounded x, and is exact: an error in it would be one of e, x^2 / 2 times as large.
        """
        x = abs(a)
        x = limit if x > limit else x
        high = (x + shift) - shift
        rest = half * (x - high) * (x + high)
        e = exp(-half * high * high) * (one - rest * (one - half * rest * (one - third * rest)))
        r = one / (x + four)
        return x, e, tail((x - four) * r) * r

    @jit
    def normal_cdf(a):
        _, e, ratio = normal_tail(a)
        return ratio * e if a < zero else one - ratio * e

    @jit
    def gelu(a):
        x, e, ratio = normal_tail(a)
        return -(x * ratio * e) if a < zero else a - x * ratio * e

    @jit
    def gelu_slope(a):
        """Phi(a) + a phi(a)"""
        x, e, ratio = normal_tail(a)
        below = (ratio - x * peak) * e  # at -x
        return below if a < zero else one - below

    @jit
    def silu(a):
        e = exp(-abs(a))
        return a * (e if a < zero else one) / (one + e)

    @jit
    def silu_slope(a):
        """s (1 + a (1 - s)) with s = sigmoid(a); 1 - s as it stands would lose digits above 0."""
        e = exp(-abs(a))
        r = one / (one + e)
        return ((e if a < zero else one) + a * e * r) * r

    return SimpleNamespace(normal_cdf=normal_cdf, gelu=gelu, gelu_slope=gelu_slope, silu=silu, silu_slope=silu_slope)


# Products that beta and gamma functions are made of, for arguments in one order of magnitude and in many.

LOG_GAMMA_COEFFICIENTS = {  # B_2j / (2j (2j - 1)), highest j first: the powers of 1 / z^2 in Stirling's series
    "float32": (1 / 1260, -1 / 360, 1 / 12),
    "float64": (-3617 / 122400, 1 / 156, -691 / 360360, 1 / 1188, -1 / 1680, 1 / 1260, -1 / 360, 1 / 12),
}
DIGAMMA_COEFFICIENTS = {  # B_2j / (2j), highest j first
    "float32": (1 / 252, -1 / 120, 1 / 12),
    "float64": (43867 / 14364, -3617 / 8160, 1 / 12, -691 / 32760, 1 / 132, -1 / 240, 1 / 252, -1 / 120, 1 / 12),
}


def build_rising(jit, real_name, log, select, horner=horner):
    """Logarithm and digamma of rising factorials Gamma(x + n) / Gamma(x), for x in [1e-14, 1e14] and whole n from 0 to
    255, as differences that do not cancel: those of lgamma and digamma themselves lose every digit where x is large.

    An x below 8 is shifted by 8, and from there on Stirling's series holds: Abramowitz and Stegun, 6.1.15, 6.1.41,
    6.3.6 and 6.3.18. The product of the eight factors is a polynomial in u = x (x + 7), because x + i and x + 7 - i
    multiply to u + i (7 - i). Errors: 4 roundings of 1 + |rest|, 8 of digamma(x + n) - digamma(x) + 1 / x.

    Parameters
    ----------
    jit, real_name, horner : as in `build`
    log : the target's logarithm
    select : select(condition, a, b), the target's choice between two values that it has both

    Returns
    -------
    rising(x, n) -> shift, growth, rest, q, with z = x + shift, growth = log((z + n) / z) and

        log(Gamma(x + n) / Gamma(x)) = n log(z + n) - n + rest - log(q);

    digamma_rise(x, n, growth) = digamma(x + n) - digamma(x).
    """
    real = np.dtype(real_name).type
    zero, half, one, two = real(0), real(0.5), real(1), real(2)
    six, seven, ten, twelve, twenty_two = real(6), real(7), real(10), real(12), real(22)
    eight = real(8)
    log_gamma_tail, digamma_tail = (
        horner(jit, tuple(real(c) for c in table[real_name]))
        for table in (LOG_GAMMA_COEFFICIENTS, DIGAMMA_COEFFICIENTS)
    )

    @jit
    def log1p(x):
        u = one + x
        return log(u) - ((u - one) - x) / u

    @jit
    def eight_factors(x):
        """Their product x (x + 1) ... (x + 7) and its logarithmic derivative."""
        u = x * (x + seven)
        outer, inner = u * (u + six), (u + ten) * (u + twelve)
        product = outer * inner
        slope = (two * x + seven) * ((two * u + six) * inner + (two * u + twenty_two) * outer) / product
        return product, slope

    @jit
    def rising(x, n):
        small = x < eight
        shift = select(small, eight, zero)
        z = x + shift
        low, high = one / z, one / (z + n)
        growth = log1p(n * low)
        tails = high * log_gamma_tail(high * high) - low * log_gamma_tail(low * low)
        near = select(small, x, one)  # a number whose product is finite
        quotient = eight_factors(near + n)[0] / eight_factors(near)[0]
        return shift, growth, (z - half) * growth + tails, select(small, quotient, one)

    @jit
    def digamma_rise(x, n, growth):
        small = x < eight
        z = x + select(small, eight, zero)
        low, high = one / z, one / (z + n)
        low2, high2 = low * low, high * high
        tails = low2 * digamma_tail(low2) - high2 * digamma_tail(high2)
        near = select(small, x, one)
        shifted = select(small, eight_factors(near)[1] - eight_factors(near + n)[1], zero)
        # a compiler that contracts one of two equal products and not the other leaves a rounding where n is 0
        return select(n > zero, growth + half * (low - high) + tails + shifted, zero)

    return SimpleNamespace(rising=rising, digamma_rise=digamma_rise)

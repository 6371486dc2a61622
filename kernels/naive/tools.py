"""What the files of the specification share: scalar functions, and what inputs with error bounds are made of."""

import math

import numpy as np

ELEMENTARY = 8  # roundings that an elementary function may be off by
# Activations whose derivative does not follow from the output: an output below 0 has two inputs.
BY_INPUT = ("gelu", "silu")


def sigmoid(a):
    return 1.0 / (1.0 + math.exp(-a)) if a >= 0 else math.exp(a) / (1.0 + math.exp(a))


def softplus(a):
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


def derivative_source(activation, y, a):
    """The array that an activation's derivative is taken from: its input a for BY_INPUT, else its output y.

    Raises ValueError where that is a and there is none.
    """
    if activation not in BY_INPUT:
        return y
    if a is None:
        raise ValueError(f"a: got None, expected an array, which activation {activation!r} needs for its input")
    return a


def as_bf16(values):
    """Rounded to bfloat16, eight significant bits, in float64: to nearest, ties to even; what is subnormal is zero."""
    with np.errstate(invalid="ignore"):
        values = np.asarray(values, np.float64)
        mantissa, exponent = np.frexp(values)
        rounded = np.ldexp(np.rint(np.ldexp(mantissa, 8)), exponent - 8)
    rounded = np.where(np.abs(rounded) >= 2.0**128, np.copysign(np.inf, values), rounded)
    return np.where(np.abs(values) < 2.0**-126, np.copysign(0.0, values), rounded)


def exp(a):
    return math.exp(a) if a < 709.0 else math.inf


def eps(dtype):
    return np.finfo(dtype).eps


def matrix(rng, shape, dtype, scale=1.0):
    """Normal numbers."""
    return (scale * rng.standard_normal(shape)).astype(dtype)


def output(shape, dtype):
    """Filled with NaN, so that an element the kernel forgets is seen."""
    return np.full(shape, np.nan, dtype)


def true_sigma(rho, scale):
    rho = rho.astype(np.float64)
    return np.logaddexp(0, rho) if scale == "softplus" else np.exp(rho)

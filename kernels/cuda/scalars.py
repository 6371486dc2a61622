"""Scalar functions inside the kernels, for one dtype at a time: every constant has that dtype, so that no float64
slips into float32 arithmetic. Formulas and their reasons are those of `naive.py`.
"""

import functools
import math
from types import SimpleNamespace

import numpy as np
from numba import cuda

from .. import philox
from ..naive import SOFTPLUS_TAIL
from .intrinsics import add32, add64, multiply32, multiply64, sqrt32

device = cuda.jit(device=True)

# The same bits as on every other backend: nothing in it may be contracted.
normals = philox.build(device, multiply32, add32, sqrt32)


@functools.cache
def functions(dtype):
    """softplus, sigmoid, exp and the rest for "float32" or "float64"; `multiply` and `add` round each time."""
    real = np.dtype(dtype).type
    zero, one, half, tail = real(0), real(1), real(0.5), real(SOFTPLUS_TAIL)
    multiply, add = (multiply32, add32) if dtype == "float32" else (multiply64, add64)

    @device
    def positive(a):
        return zero if a < zero else a  # NaN stays NaN

    @device
    def softplus(a):
        return positive(a) + real(math.log1p(math.exp(-abs(a))))

    @device
    def sigmoid(a):
        e = real(math.exp(-abs(a)))
        return (e if a < zero else one) / (one + e)

    @device
    def exp(a):
        return real(math.exp(a))

    @device
    def log_sigma_softplus(rho, sigma):
        return rho if rho < tail else real(math.log(sigma))

    @device
    def relative_slope_softplus(rho, sigma, slope):
        """(dsigma/drho) / sigma"""
        return one if rho < tail else slope / sigma

    return SimpleNamespace(
        real=real,
        zero=zero,
        one=one,
        half=half,
        multiply=multiply,
        add=add,
        positive=positive,
        softplus=softplus,
        sigmoid=sigmoid,
        exp=exp,
        log_sigma_softplus=log_sigma_softplus,
        relative_slope_softplus=relative_slope_softplus,
    )


@functools.cache
def activation_functions(activation, dtype):
    """activate(a) and slope(y), the derivative from the output."""
    f = functions(dtype)
    real, zero, one, softplus, sigmoid, positive = f.real, f.zero, f.one, f.softplus, f.sigmoid, f.positive

    if activation == "relu":

        @device
        def slope(y):
            return one if y > zero else zero

        return positive, slope
    if activation == "tanh":

        @device
        def activate(a):
            return real(math.tanh(a))

        @device
        def slope(y):
            return one - y * y

        return activate, slope
    if activation == "sigmoid":

        @device
        def slope(y):
            return y * (one - y)

        return sigmoid, slope
    if activation == "softplus":

        @device
        def slope(y):
            return -real(math.expm1(-y))

        return softplus, slope

    @device
    def same(a):
        return a

    @device
    def unit(y):
        return one

    return same, unit

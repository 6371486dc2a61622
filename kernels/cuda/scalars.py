"""Scalar functions inside the kernels, for one dtype at a time: every constant has that dtype, so that no float64
slips into float32 arithmetic. Formulas and their reasons are those of `naive`.
"""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .. import mathfun, philox
from ..naive import LEAK, SOFTPLUS_TAIL
from .intrinsics import add32, add64, device, multiply32, multiply64, sqrt32

# The same bits as on every other backend: nothing in it may be contracted.
normals = philox.build(device, multiply32, add32, sqrt32)


@functools.cache
def functions(dtype):
    """positive(a) = max(a, 0), sigmoid(a) and softplus(a) for "float32" or "float64"; `multiply` and `add` round each
    time.
    """
    real = np.dtype(dtype).type
    zero, one = real(0), real(1)
    multiply, add = (multiply32, add32) if dtype == "float32" else (multiply64, add64)
    positive = device(lambda a: zero if a < zero else a)  # NaN stays NaN

    @device
    def sigmoid(a):
        e = real(math.exp(-abs(a)))
        return (e if a < zero else one) / (one + e)

    softplus = device(lambda a: positive(a) + real(math.log1p(math.exp(-abs(a)))))
    numbers = {"real": real, "zero": zero, "one": one, "half": real(0.5)}
    return SimpleNamespace(**numbers, multiply=multiply, add=add, positive=positive, sigmoid=sigmoid, softplus=softplus)


@functools.cache
def scale_functions(scale, dtype):
    """sigma(rho), log_sigma(rho, sigma), slope(rho, sigma) = dsigma/drho and relative(rho, sigma, slope), the slope
    divided by sigma, for one of SCALES.
    """
    f = functions(dtype)
    real, one, tail, sigmoid = f.real, f.one, f.real(SOFTPLUS_TAIL), f.sigmoid
    if scale == "exp":
        return SimpleNamespace(
            sigma=device(lambda rho: real(math.exp(rho))),
            log_sigma=device(lambda rho, sigma: rho),
            slope=device(lambda rho, sigma: sigma),
            relative=device(lambda rho, sigma, slope: one),
        )
    return SimpleNamespace(
        sigma=f.softplus,
        log_sigma=device(lambda rho, sigma: rho if rho < tail else real(math.log(sigma))),
        slope=device(lambda rho, sigma: sigmoid(rho)),
        relative=device(lambda rho, sigma, slope: one if rho < tail else slope / sigma),
    )


@functools.cache
def activation_functions(activation, dtype):
    """activate(a) and slope(y), the derivative from the output; for BY_INPUT slope(a), from the input."""
    f = functions(dtype)
    real, zero, one, leak = f.real, f.zero, f.one, f.real(LEAK)
    gated = mathfun.build_gated(device, dtype, device(lambda x: real(math.exp(x))))
    return {
        "identity": (device(lambda a: a), device(lambda y: one)),
        "relu": (f.positive, device(lambda y: one if y > zero else zero)),
        "tanh": (device(lambda a: real(math.tanh(a))), device(lambda y: one - y * y)),
        "sigmoid": (f.sigmoid, device(lambda y: y * (one - y))),
        "softplus": (f.softplus, device(lambda y: -real(math.expm1(-y)))),
        "leaky_relu": (device(lambda a: leak * a if a < zero else a), device(lambda y: one if y > zero else leak)),
        "gelu": (gated.gelu, gated.gelu_slope),
        "silu": (gated.silu, gated.silu_slope),
    }[activation]

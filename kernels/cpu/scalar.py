"""The functions of `mathfun` and `philox` for Numba on the CPU."""

import functools
import operator
from types import SimpleNamespace

import numpy as np
from llvmlite import ir
from numba import float32, float64, int32, int64, types
from numba.extending import intrinsic

from .. import byte_masses, mathfun, philox
from ..naive import SOFTPLUS_TAIL
from .jit import inline, inline_exact

_INTEGERS = {"float32": (int32, ir.IntType(32)), "float64": (int64, ir.IntType(64))}
_REALS = {"float32": (float32, ir.FloatType()), "float64": (float64, ir.DoubleType())}


def bit_casts(real_name):
    """to_bits(real) -> int64 and from_bits(int64) -> real; of the integer, only as many bits count as the real has."""
    real, llvm_real = _REALS[real_name]
    _, llvm_integer = _INTEGERS[real_name]
    i64 = ir.IntType(64)

    @intrinsic
    def to_bits(typingctx, value):
        def codegen(context, builder, signature, arguments):
            bits = builder.bitcast(arguments[0], llvm_integer)
            return bits if llvm_integer == i64 else builder.sext(bits, i64)

        return types.int64(real), codegen

    @intrinsic
    def from_bits(typingctx, bits):
        def codegen(context, builder, signature, arguments):
            bits = arguments[0]
            return builder.bitcast(bits if llvm_integer == i64 else builder.trunc(bits, llvm_integer), llvm_real)

        return real(types.int64), codegen

    return to_bits, from_bits


def _horner(jit, coefficients):
    """The polynomial written out as LLVM code: Numba would make a loop over a table of it."""
    real, llvm_real = _REALS[np.dtype(type(coefficients[0])).name]

    @intrinsic
    def polynomial(typingctx, t):
        def codegen(context, builder, signature, arguments):
            t = arguments[0]
            name = f"llvm.fmuladd.f{8 * coefficients[0].nbytes}"
            kind = ir.FunctionType(llvm_real, [llvm_real] * 3)
            multiply_add = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            p = llvm_real(float(coefficients[0]))
            for c in coefficients[1:]:
                p = builder.call(multiply_add, [p, t, llvm_real(float(c))])
            return p

        return real(real), codegen

    return polynomial


@functools.cache
def mathfun_for(real_name):
    """The functions of `mathfun`, for use inside kernels."""
    return mathfun.build(inline, real_name, *bit_casts(real_name), _horner)


@functools.cache
def byte_masses_for(real_name):
    """The functions of `byte_masses`, for use inside kernels."""

    @inline
    def select(condition, a, b):
        return a if condition else b

    return byte_masses.build(inline, real_name, mathfun_for(real_name), select, _horner)


@functools.cache
def scale_functions(real_name, scale):
    """sigma_of(rho) and, of (rho, sigma): slope_of, dsigma/drho; log_sigma_of; relative_slope, (dsigma/drho) / sigma.

    For softplus the last two are taken from rho where sigma is too small for its own logarithm.
    """
    real, functions = np.dtype(real_name).type, mathfun_for(real_name)
    one, tail = real(1), real(SOFTPLUS_TAIL)
    log, sigmoid = functions.log, functions.sigmoid

    if scale == "softplus":
        sigma_of = functions.softplus

        @inline
        def slope_of(rho, sigma):
            return sigmoid(rho)

        @inline
        def log_sigma_of(rho, sigma):
            return rho if rho < tail else log(sigma)

        @inline
        def relative_slope(rho, sigma):
            return one if rho < tail else sigmoid(rho) / sigma

    else:
        sigma_of = functions.exp

        @inline
        def slope_of(rho, sigma):
            return sigma

        @inline
        def log_sigma_of(rho, sigma):
            return rho

        @inline
        def relative_slope(rho, sigma):
            return one

    return SimpleNamespace(
        sigma_of=sigma_of, slope_of=slope_of, log_sigma_of=log_sigma_of, relative_slope=relative_slope
    )


# Integers only; `random.py` makes normals of them.
philox_words = philox.build(inline_exact, operator.mul, operator.add, np.sqrt).philox

"""Philox words and normals in loops that compilers turn into vector code, bit-equal to `philox.scalar`.

The normals are those of `philox.normal_pair` with its branches turned into selections: the exponent of the uniform is
read from the bits of the integer as a float, which is exact, and the quadrant only swaps and negates.
"""

import numpy as np
from numba import float32, int32, int64, uint64

from .. import philox
from .jit import inline_exact
from .scalar import bit_casts, philox_words

_LOW, _HALF, _EIGHT = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(8)
_to_bits, _from_bits = bit_casts("float32")
_LOG, _SIN, _COS = philox.LOG_COEFFICIENTS, philox.SIN_COEFFICIENTS, philox.COS_COEFFICIENTS
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _LOG
_S0, _S1, _S2 = _SIN
_C0, _C1, _C2 = _COS
_LN2_HIGH, _LN2_LOW, _TURN = philox.LN2_HIGH, philox.LN2_LOW, philox.TURN_24
_ONE, _TWO, _HALF_F, _MINUS_HALF = philox.ONE, philox.TWO, philox.HALF, philox.MINUS_HALF
_ROOT2_MANTISSA = int(philox.SQRT2_24) - (1 << 23)
_MANTISSA = (1 << 23) - 1


@inline_exact
def _radius(word):
    """sqrt(-2 ln u) for the upper 24 bits of a word."""
    bits = _to_bits(float32(int32((word >> _EIGHT) + uint64(1))))
    mantissa = bits & _MANTISSA
    upper = mantissa > _ROOT2_MANTISSA
    t = _from_bits(mantissa | ((126 if upper else 127) << 23)) - _ONE
    # 2^23 has the biased exponent 150, and belongs to e = -1 unless its mantissa is in the upper part
    e = float32(int32((bits >> 23) - (150 if upper else 151)))
    p = _L0 * t + _L1
    p = p * t + _L2
    p = p * t + _L3
    p = p * t + _L4
    p = p * t + _L5
    p = p * t + _L6
    p = p * t + _L7
    p = p * t + _L8
    t2 = t * t
    p = p * t * t2
    p = p + e * _LN2_LOW
    p = p + _MINUS_HALF * t2
    p = t + p
    return np.sqrt(_TWO * -(p + e * _LN2_HIGH))


@inline_exact
def _sine_cosine(word):
    """sin and cos of 2 pi (n + 1/2) 2^-24 for the upper 24 bits n of a word."""
    n = int64(word >> _EIGHT)
    quadrant = (n + (1 << 21)) >> 22
    a = (float32(int32(n - (quadrant << 22))) + _HALF_F) * _TURN
    a2 = a * a
    p = _S0 * a2 + _S1
    p = p * a2 + _S2
    sine = p * a2 * a + a
    q = _C0 * a2 + _C1
    q = q * a2 + _C2
    q = q * (a2 * a2)
    cosine = (q + _MINUS_HALF * a2) + _ONE
    odd = (quadrant & 1) == 1
    s = cosine if odd else sine
    c = sine if odd else cosine
    s = -s if (quadrant & 2) == 2 else s
    c = -c if ((quadrant + 1) & 2) == 2 else c
    return s, c


@inline_exact
def _normal_pair(word0, word1):
    radius = _radius(word0)
    sine, cosine = _sine_cosine(word1)
    return radius * cosine, radius * sine


@inline_exact
def draw_words(seed, stream, clock, first, last, words):
    """The words of blocks first .. last - 1 into their places in words, whose end may lie inside the last block."""
    low, high = np.uint64(clock) & _LOW, np.uint64(clock) >> _HALF
    key0, key1 = np.uint64(seed) & _LOW, np.uint64(seed) >> _HALF
    whole = min(last, len(words) // 4)
    # unsigned, so that an index needs no check for counting from the end
    for b in range(uint64(first), uint64(max(first, whole))):
        place = b * uint64(4)
        w0, w1, w2, w3 = philox_words(b, low, high, np.uint64(stream), key0, key1)
        words[place] = w0
        words[place + uint64(1)] = w1
        words[place + uint64(2)] = w2
        words[place + uint64(3)] = w3
    if last > whole:
        four = philox_words(np.uint64(whole), low, high, np.uint64(stream), key0, key1)
        for position in range(len(words) - 4 * whole):
            words[4 * whole + position] = four[position]


@inline_exact
def draw_normals(seed, stream, clock, first, last, noise):
    """The normals of blocks first .. last - 1 into their places in noise, whose end may lie inside the last block."""
    low, high = np.uint64(clock) & _LOW, np.uint64(clock) >> _HALF
    key0, key1 = np.uint64(seed) & _LOW, np.uint64(seed) >> _HALF
    whole = min(last, len(noise) // 4)
    # unsigned, so that an index needs no check for counting from the end
    for b in range(uint64(first), uint64(max(first, whole))):
        place = b * uint64(4)
        w0, w1, w2, w3 = philox_words(b, low, high, np.uint64(stream), key0, key1)
        n0, n1 = _normal_pair(w0, w1)
        n2, n3 = _normal_pair(w2, w3)
        noise[place] = n0
        noise[place + uint64(1)] = n1
        noise[place + uint64(2)] = n2
        noise[place + uint64(3)] = n3
    if last > whole:
        w0, w1, w2, w3 = philox_words(np.uint64(whole), low, high, np.uint64(stream), key0, key1)
        four = _normal_pair(w0, w1) + _normal_pair(w2, w3)
        for position in range(len(noise) - 4 * whole):
            noise[4 * whole + position] = four[position]

"""Philox words and normals in loops that compilers turn into vector code, bit-equal to `philox.scalar`."""

import numpy as np

from .jit import inline_exact
from .scalar import normal_pair, philox_words

_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@inline_exact
def draw_words(seed, stream, clock, first, last, words):
    """The words of blocks first .. last - 1 into their places in words, whose end may lie inside the last block."""
    low, high = np.uint64(clock) & _LOW, np.uint64(clock) >> _HALF
    key0, key1 = np.uint64(seed) & _LOW, np.uint64(seed) >> _HALF
    whole = min(last, len(words) // 4)
    for b in range(first, whole):
        w0, w1, w2, w3 = philox_words(np.uint64(b), low, high, np.uint64(stream), key0, key1)
        words[4 * b] = w0
        words[4 * b + 1] = w1
        words[4 * b + 2] = w2
        words[4 * b + 3] = w3
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
    for b in range(first, whole):
        w0, w1, w2, w3 = philox_words(np.uint64(b), low, high, np.uint64(stream), key0, key1)
        n0, n1 = normal_pair(w0, w1)
        n2, n3 = normal_pair(w2, w3)
        noise[4 * b] = n0
        noise[4 * b + 1] = n1
        noise[4 * b + 2] = n2
        noise[4 * b + 3] = n3
    if last > whole:
        w0, w1, w2, w3 = philox_words(np.uint64(whole), low, high, np.uint64(stream), key0, key1)
        four = normal_pair(w0, w1) + normal_pair(w2, w3)
        for position in range(len(noise) - 4 * whole):
            noise[4 * whole + position] = four[position]

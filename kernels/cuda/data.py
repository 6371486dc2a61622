"""Standard normals, and minibatches gathered from the data on the device: a thread makes the four numbers of one block
of the Philox cipher, and both can share a launch. The totals and the clock of a step, where no other kernel sees to
them.
"""

import functools

import numpy as np
from numba import cuda, float64, int32

from .. import philox
from .intrinsics import device
from .runtime import current
from .scalars import normals
from .totals import WARPS, add_batch

_U = np.uint64
LOW_HALF, HALF_BITS = philox.LOW_HALF, philox.HALF_BITS
cipher, normal_pair = normals.philox, normals.normal_pair


@device
def words_of_block(block, seed_low, seed_high, stream, clock):
    step = _U(clock[0])
    return cipher(_U(block), step & LOW_HALF, step >> HALF_BITS, stream, seed_low, seed_high)


@functools.cache
def _fill_normals(dtype):
    real = np.dtype(dtype).type

    @device
    def fill_normals(block, seed_low, seed_high, stream, clock, noise):
        """noise (flat): elements 4 block .. 4 block + 3."""
        first, size = 4 * block, noise.shape[0]
        if first < size:
            w0, w1, w2, w3 = words_of_block(block, seed_low, seed_high, stream, clock)
            a, b = normal_pair(w0, w1)
            noise[first] = real(a)
            if first + 1 < size:
                noise[first + 1] = real(b)
            if first + 2 < size:
                c, d = normal_pair(w2, w3)
                noise[first + 2] = real(c)
                if first + 3 < size:
                    noise[first + 3] = real(d)

    return fill_normals


@functools.cache
def _gather_element(data_dtype, dtype, pixels):
    """The value of one element of x, from what is stored and its random word."""
    real, is_bytes = np.dtype(dtype).type, data_dtype == "uint8"
    stored_real = real if is_bytes else np.dtype(data_dtype).type
    zero, one, scale, half, unit = real(0), real(1), real(255), stored_real(0.5), stored_real(2.0**-24)
    threshold, dynamic = pixels == "threshold", pixels == "dynamic"
    byte_half = np.uint8(127)
    shift8, shift24, bytes_in_one = _U(8), _U(24), _U(255)

    @device
    def element(stored, word):
        if threshold:
            if is_bytes:
                return one if stored > byte_half else zero
            return one if stored > half else zero
        if dynamic:
            # both sides of u < value are exact: integers for bytes, 24-bit floats times 2^-24 for floats
            if is_bytes:
                return one if (word >> shift8) * bytes_in_one < _U(stored) << shift24 else zero
            return one if stored_real(word >> shift8) * unit < stored else zero
        if is_bytes:
            return real(stored) / scale
        return real(stored)

    return element


@functools.cache
def _gather_block(data_dtype, dtype, pixels):
    element = _gather_element(data_dtype, dtype, pixels)
    dynamic = pixels == "dynamic"

    @device
    def gather_block(block, data, order, clock, batch_size, seed_low, seed_high, stream, x):
        """Elements 4 block .. 4 block + 3 of x (rows, features), counted in C order."""
        features = x.shape[1]
        size = x.shape[0] * features
        first = 4 * block
        if first < size:
            batches = (order.shape[0] + batch_size - 1) // batch_size
            start = clock[0] % batches * batch_size
            w0 = w1 = w2 = w3 = _U(0)
            if dynamic:
                w0, w1, w2, w3 = words_of_block(block, seed_low, seed_high, stream, clock)
            i, j = first // features, first % features
            source = order[start + i]
            for q in range(4):
                if first + q < size:
                    word = w0 if q == 0 else w1 if q == 1 else w2 if q == 2 else w3
                    x[i, j] = element(data[source, j], word)
                    j += 1
                    if j == features and first + q + 1 < size:
                        i, j = i + 1, 0
                        source = order[start + i]

    return gather_block


def _seed_words(seed):
    return _U(int(seed) & 0xFFFFFFFF), _U(int(seed) >> 32)


@functools.cache
def normal_kernel(dtype):
    fill_normals = _fill_normals(dtype)

    @cuda.jit
    def standard_normal(seed_low, seed_high, stream, clock, noise):
        blocks = (noise.shape[0] + 3) // 4
        for block in range(cuda.grid(1), blocks, cuda.gridsize(1)):
            fill_normals(block, seed_low, seed_high, stream, clock, noise)

    return standard_normal


def standard_normal(seed, stream, clock, noise):
    arguments = *_seed_words(seed), _U(stream), clock, noise.reshape(-1)
    current().launch_flat(normal_kernel(noise.dtype.name), -(-noise.size // 4), *arguments)


@functools.cache
def gather_kernel(data_dtype, dtype, pixels):
    gather_block = _gather_block(data_dtype, dtype, pixels)

    @cuda.jit
    def gather(data, order, clock, batch_size, seed_low, seed_high, stream, x):
        blocks = (x.shape[0] * x.shape[1] + 3) // 4
        for block in range(cuda.grid(1), blocks, cuda.gridsize(1)):
            gather_block(block, data, order, clock, batch_size, seed_low, seed_high, stream, x)

    return gather


@functools.cache
def batch_kernel(data_dtype, dtype, pixels):
    """gather and standard_normal in one launch: the blocks of x come first."""
    gather_block, fill_normals = _gather_block(data_dtype, dtype, pixels), _fill_normals(dtype)

    @cuda.jit
    def gather_and_normal(
        data, order, clock, batch_size, seed_low, seed_high, stream, x, noise_low, noise_high, noise_stream, noise
    ):
        x_blocks = (x.shape[0] * x.shape[1] + 3) // 4
        blocks = x_blocks + (noise.shape[0] + 3) // 4
        for block in range(cuda.grid(1), blocks, cuda.gridsize(1)):
            if block < x_blocks:
                gather_block(block, data, order, clock, batch_size, seed_low, seed_high, stream, x)
            else:
                fill_normals(block - x_blocks, noise_low, noise_high, noise_stream, clock, noise)

    return gather_and_normal


def gather(data, order, clock, batch_size, pixels, seed, stream, x, *, standard_normal=None):
    arguments = data, order, clock, int(batch_size), *_seed_words(seed), _U(stream), x
    variant, blocks = (data.dtype.name, x.dtype.name, pixels), -(-x.size // 4)
    if standard_normal is None:
        current().launch_flat(gather_kernel(*variant), blocks, *arguments)
        return
    noise = standard_normal.noise
    arguments += *_seed_words(standard_normal.seed), _U(standard_normal.stream), noise.reshape(-1)
    current().launch_flat(batch_kernel(*variant), blocks + -(-noise.size // 4), *arguments)


@cuda.jit
def accumulate_batch(nll, kl, n, samples, beta, totals, clock, partial, counters):
    """nll (rows,) and kl (flat) into totals; the same sums in the same order as at the end of a likelihood kernel."""
    scratch = cuda.shared.array(WARPS, float64)
    flag = cuda.shared.array(1, int32)
    nll_sum = 0.0
    if cuda.threadIdx.x == 0:
        for row in range(cuda.blockIdx.x, nll.shape[0], cuda.gridDim.x):
            nll_sum += float64(nll[row])
    add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, scratch, flag)


def accumulate(nll, kl, beta, totals, clock):
    n = kl.shape[0]
    arguments = nll, kl.reshape(-1), n, nll.shape[0] // n, beta, totals, clock
    current().launch_rows(accumulate_batch, nll.shape[0], *arguments)


@cuda.jit
def tick_clock(clock):
    clock[0] += 1


def tick(clock):
    current().launch(tick_clock, 1, 1, clock)

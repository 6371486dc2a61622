"""Sums over a block by warp shuffles, sums over a grid by its last block, and the running totals of an epoch.

Float addition is not associative, so an order is fixed everywhere: threads in a warp as a tree, warps one after
another, blocks one after another, whichever of them happens to finish last. Results are the same in every run.
"""

import functools
import math

import numpy as np
from numba import cuda, float32, float64, int32

from .constants import ROW_THREADS, WARP

device = cuda.jit(device=True)
FULL_WARP = 0xFFFFFFFF
# The sums that each block of a row kernel leaves for the last one: of nll, of kl, and of the slope of log sigma.
PARTS = 3
WARPS = ROW_THREADS // WARP


@functools.cache
def block_sum(threads):
    """block_sum(value, scratch): the sum of `value` over a block of this many threads, in every thread.

    scratch is a shared array with room for one value for each warp.
    """
    warps = threads // WARP

    @device
    def sum_over_block(value, scratch):
        value += cuda.shfl_down_sync(FULL_WARP, value, 16)
        value += cuda.shfl_down_sync(FULL_WARP, value, 8)
        value += cuda.shfl_down_sync(FULL_WARP, value, 4)
        value += cuda.shfl_down_sync(FULL_WARP, value, 2)
        value += cuda.shfl_down_sync(FULL_WARP, value, 1)
        thread = cuda.threadIdx.x
        if thread % WARP == 0:
            scratch[thread // WARP] = value
        cuda.syncthreads()
        total = scratch[0]
        for warp in range(1, warps):
            total += scratch[warp]
        cuda.syncthreads()
        return total

    return sum_over_block


@device
def is_last_block(counters, index, blocks, flag):
    """Whether this is the last of `blocks` blocks to come here, and then sees all that the others wrote before.

    counters[index] is 0 before the first and again after the last. flag is a shared array (1,).
    Source: the threadFenceReduction sample of the CUDA toolkit.
    """
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        flag[0] = cuda.atomic.add(counters, index, 1)
    cuda.syncthreads()
    last = flag[0] == blocks - 1
    if last:
        if cuda.threadIdx.x == 0:
            counters[index] = 0
        cuda.threadfence()
    return last


sum64 = block_sum(ROW_THREADS)


@device
def add_batch(nll_sum, kl, examples, samples, beta, totals, clock, partial, counters, scratch, flag):
    """Ends a kernel by adding the batch to the totals: nll_sum in thread 0 is over this block's rows, and its part of
    kl (flat) is summed here.
    """
    thread, block, blocks = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
    kl_sum = 0.0
    for e in range(block * ROW_THREADS + thread, kl.shape[0], blocks * ROW_THREADS):
        kl_sum += float64(kl[e])
    kl_sum = sum64(kl_sum, scratch)
    if thread == 0:
        partial[PARTS * block] = nll_sum
        partial[PARTS * block + 1] = kl_sum
    if is_last_block(counters, 0, blocks, flag):
        a, b = 0.0, 0.0
        for other in range(thread, blocks, ROW_THREADS):
            a += partial[PARTS * other]
            b += partial[PARTS * other + 1]
        a = sum64(a, scratch) / samples
        b = sum64(b, scratch)
        if thread == 0:
            totals[0] += a
            totals[1] += b
            totals[2] += examples
            loss = (a + beta * b) / examples
            totals[3] = loss
            if not math.isfinite(loss) and totals[4] == 0:
                totals[4] = clock[0] + 1


@cuda.jit
def accumulate_batch(nll, kl, examples, samples, beta, totals, clock, partial, counters):
    """nll (rows,) and kl (flat) into totals; the same sums in the same order as at the end of a likelihood kernel."""
    scratch = cuda.shared.array(WARPS, float64)
    flag = cuda.shared.array(1, int32)
    nll_sum = 0.0
    if cuda.threadIdx.x == 0:
        for row in range(cuda.blockIdx.x, nll.shape[0], cuda.gridDim.x):
            nll_sum += float64(nll[row])
    add_batch(nll_sum, kl, examples, samples, beta, totals, clock, partial, counters, scratch, flag)


@cuda.jit
def tick_clock(clock):
    clock[0] += 1


@functools.cache
def norm_kernel(dtype):
    @cuda.jit
    def norm(gradient, result, partial, counters):
        """result[0] = the Euclidean norm, summed in float64."""
        scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        thread, block, blocks = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
        total = 0.0
        for e in range(block * ROW_THREADS + thread, gradient.shape[0], blocks * ROW_THREADS):
            g = float64(gradient[e])
            total += g * g
        total = sum64(total, scratch)
        if thread == 0:
            partial[block] = total
        if is_last_block(counters, 0, blocks, flag):
            total = 0.0
            for other in range(thread, blocks, ROW_THREADS):
                total += partial[other]
            total = sum64(total, scratch)
            if thread == 0:
                result[0] = math.sqrt(total)

    return norm


@functools.cache
def scale_kernel(dtype):
    real = np.dtype(dtype).type

    @cuda.jit
    def scale(gradient, limit, norm):
        """gradient *= limit / norm where the norm exceeds the limit."""
        if norm[0] > limit:
            factor = real(limit / norm[0])
            for e in range(cuda.grid(1), gradient.shape[0], cuda.gridsize(1)):
                gradient[e] *= factor

    return scale


def element_type(dtype):
    """The Numba type of a shared array's elements."""
    return float32 if dtype == "float32" else float64

"""Sums over a block by warp shuffles, sums over a grid by its last block, and the running totals of an epoch.

Float addition is not associative, so an order is fixed everywhere: threads in a warp as a tree, warps one after
another, blocks one after another, whichever of them happens to finish last. Results are the same in every run.
"""

import math

from numba import cuda, float64

from .constants import PARTS, ROW_THREADS, WARP
from .intrinsics import device
from .runtime import current

FULL_WARP = 0xFFFFFFFF
WARPS = ROW_THREADS // WARP


@device
def block_sum(value, scratch):
    """The sum of `value` over a block of ROW_THREADS, in every thread. scratch is a shared array (WARPS,)."""
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
    for warp in range(1, WARPS):
        total += scratch[warp]
    cuda.syncthreads()
    return total


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


@device
def add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, scratch, flag):
    """Ends a kernel by adding the batch to the totals: nll_sum in thread 0 is over this block's rows, and its part of
    kl (flat) is summed here.
    """
    thread, block, blocks = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
    kl_sum = 0.0
    for e in range(block * ROW_THREADS + thread, kl.shape[0], blocks * ROW_THREADS):
        kl_sum += float64(kl[e])
    kl_sum = block_sum(kl_sum, scratch)
    if thread == 0:
        partial[PARTS * block] = nll_sum
        partial[PARTS * block + 1] = kl_sum
    if is_last_block(counters, 0, blocks, flag):
        a, b = 0.0, 0.0
        for other in range(thread, blocks, ROW_THREADS):
            a += partial[PARTS * other]
            b += partial[PARTS * other + 1]
        a = block_sum(a, scratch) / samples
        b = block_sum(b, scratch)
        if thread == 0:
            totals[0] += a
            totals[1] += b
            totals[2] += n
            loss = a + beta[0] * b
            totals[3] = loss / n
            if not math.isfinite(totals[3]) and totals[4] == 0:
                totals[4] = clock[0] + 1
            totals[5] += loss


def batch_arguments(call, dtype):
    """kl, n, beta, totals and clock of a kernel that can end with `add_batch`; call: of accumulate, or None."""
    if call is None:
        given = current().given
        return given(None, dtype), 1, given(None, "float64"), given(None, "float64"), given(None, "int64")
    return call.kl.reshape(-1), call.kl.shape[0], call.beta, call.totals, call.clock

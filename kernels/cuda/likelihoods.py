"""Bernoulli and Gaussian nll with gradient: a block for each row, threads along the features.

With `total` the kernel ends by adding the batch to the running totals: the `accumulate` that follows needs no launch.
"""

import functools
import math

from numba import cuda, float64, int32

from .constants import PARTS, ROW_THREADS
from .runtime import current
from .scalars import functions
from .totals import WARPS, add_batch, batch_arguments, block_sum, is_last_block


@functools.cache
def bernoulli_kernel(dtype, value, gradient, total):
    """nll if `value`, dlogits if `gradient`."""
    f = functions(dtype)
    real, zero, one, positive = f.real, f.zero, f.one, f.positive

    @cuda.jit
    def bernoulli_nll(x, logits, weight, nll, dlogits, samples, kl, n, beta, totals, clock, partial, counters):
        scratch = cuda.shared.array(WARPS, real)
        wide_scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        rows, features = logits.shape
        nll_sum = 0.0
        for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
            example = row // samples
            row_weight = weight[row] if gradient else zero
            row_sum = zero
            for j in range(cuda.threadIdx.x, features, ROW_THREADS):
                logit, pixel = logits[row, j], x[example, j]
                e = real(math.exp(-abs(logit)))
                if value:
                    row_sum += positive(logit) - pixel * logit + real(math.log1p(e))
                if gradient:
                    dlogits[row, j] = row_weight * ((e if logit < zero else one) / (one + e) - pixel)
            if value:
                row_sum = block_sum(row_sum, scratch)
                if cuda.threadIdx.x == 0:
                    nll[row] = row_sum
                nll_sum += float64(row_sum)
        if total:
            add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, wide_scratch, flag)

    return bernoulli_nll


def bernoulli_nll(x, logits, weight, nll, dlogits, *, accumulate=None):
    device, dtype, rows = current(), logits.dtype.name, logits.shape[0]
    kernel = bernoulli_kernel(dtype, nll is not None, dlogits is not None, accumulate is not None)
    arrays = x, logits, device.given(weight, dtype), device.given(nll, dtype), logits if dlogits is None else dlogits
    device.launch_rows(kernel, rows, *arrays, rows // x.shape[0], *batch_arguments(accumulate, dtype))


@functools.cache
def gaussian_kernel(dtype, value, gradient, slope, total):
    """nll if `value`, dmean if `gradient`, dlog_sigma if `slope`."""
    real, zero = functions(dtype).real, functions(dtype).zero
    half, constant = real(0.5), real(0.5 * math.log(2.0 * math.pi))
    weighted = gradient or slope

    @cuda.jit
    def gaussian_nll(
        x, mean, log_sigma, weight, nll, dmean, dlog_sigma, samples, kl, n, beta, totals, clock, partial, counters
    ):
        scratch = cuda.shared.array(WARPS, real)
        wide_scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        rows, features = mean.shape
        thread, block, blocks = cuda.threadIdx.x, cuda.blockIdx.x, cuda.gridDim.x
        log_s = log_sigma[0]
        inverse = real(math.exp(-log_s))
        nll_sum, slope_sum = 0.0, 0.0
        for row in range(block, rows, blocks):
            example = row // samples
            row_weight = weight[row] if weighted else zero
            squares = zero
            for j in range(thread, features, ROW_THREADS):
                scaled = (mean[row, j] - x[example, j]) * inverse
                squares += scaled * scaled
                if gradient:
                    dmean[row, j] = row_weight * scaled * inverse
            if value or slope:
                squares = block_sum(squares, scratch)
            if value:
                row_nll = half * squares + real(features) * (log_s + constant)
                if thread == 0:
                    nll[row] = row_nll
                nll_sum += float64(row_nll)
            if slope:
                slope_sum += float64(row_weight) * (float64(features) - float64(squares))
        if slope:
            if thread == 0:
                partial[PARTS * block + 2] = slope_sum
            # its own counter: `add_batch` counts the same blocks again
            if is_last_block(counters, 1, blocks, flag):
                slope_sum = 0.0
                for other in range(thread, blocks, ROW_THREADS):
                    slope_sum += partial[PARTS * other + 2]
                slope_sum = block_sum(slope_sum, wide_scratch)
                if thread == 0:
                    dlog_sigma[0] = real(slope_sum)
            cuda.syncthreads()
        if total:
            add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, wide_scratch, flag)

    return gaussian_nll


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma, *, accumulate=None):
    device, dtype, rows = current(), mean.dtype.name, mean.shape[0]
    wanted = (array is not None for array in (nll, dmean, dlog_sigma, accumulate))
    gradients = mean if dmean is None else dmean, device.given(dlog_sigma, dtype)
    arrays = x, mean, log_sigma, device.given(weight, dtype), device.given(nll, dtype), *gradients
    samples, batch = rows // x.shape[0], batch_arguments(accumulate, dtype)
    device.launch_rows(gaussian_kernel(dtype, *wanted), rows, *arrays, samples, *batch)

"""The negative log-likelihoods with their gradients: a block for each row, threads along the features.

With `total` the kernel ends by adding the batch to the running totals: the `accumulate` that follows needs no launch.
"""

import functools
import math
from types import SimpleNamespace

from numba import cuda, float64, int32

from .. import byte_masses
from .constants import PARTS, ROW_THREADS
from .intrinsics import device as inline
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


@functools.cache
def gaussian_each_kernel(dtype, value, gradient, total):
    """The same with a sigma for each feature: nll if `value`, dmean if `gradient`."""
    real, zero = functions(dtype).real, functions(dtype).zero
    half, constant = real(0.5), real(0.5 * math.log(2.0 * math.pi))

    @cuda.jit
    def gaussian_each(x, mean, log_sigma, weight, nll, dmean, samples, kl, n, beta, totals, clock, partial, counters):
        scratch = cuda.shared.array(WARPS, real)
        wide_scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        rows, features = mean.shape
        nll_sum = 0.0
        for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
            example = row // samples
            row_weight = weight[row] if gradient else zero
            row_sum = zero
            for j in range(cuda.threadIdx.x, features, ROW_THREADS):
                log_s = log_sigma[j]
                inverse = real(math.exp(-log_s))
                scaled = (mean[row, j] - x[example, j]) * inverse
                if value:
                    row_sum += half * scaled * scaled + (log_s + constant)
                if gradient:
                    dmean[row, j] = row_weight * scaled * inverse
            if value:
                row_sum = block_sum(row_sum, scratch)
                if cuda.threadIdx.x == 0:
                    nll[row] = row_sum
                nll_sum += float64(row_sum)
        if total:
            add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, wide_scratch, flag)

    return gaussian_each


@functools.cache
def gaussian_slopes_kernel(dtype):
    """dlog_sigma of a sigma for each feature: a thread for each, along the rows."""
    real, one = functions(dtype).real, functions(dtype).one

    @cuda.jit
    def gaussian_slopes(x, mean, log_sigma, weight, dlog_sigma, samples):
        rows, features = mean.shape
        for j in range(cuda.grid(1), features, cuda.gridsize(1)):
            inverse = real(math.exp(-log_sigma[j]))
            slope = 0.0
            for row in range(rows):
                scaled = (mean[row, j] - x[row // samples, j]) * inverse
                slope += float64(weight[row] * (one - scaled * scaled))
            dlog_sigma[j] = real(slope)

    return gaussian_slopes


def gaussian_nll(x, mean, log_sigma, weight, nll, dmean, dlog_sigma, *, accumulate=None):
    device, dtype, rows = current(), mean.dtype.name, mean.shape[0]
    samples, batch = rows // x.shape[0], batch_arguments(accumulate, dtype)
    arrays = device.given(weight, dtype), device.given(nll, dtype), mean if dmean is None else dmean
    if log_sigma.shape[0] > 1:
        kernel = gaussian_each_kernel(dtype, nll is not None, dmean is not None, accumulate is not None)
        device.launch_rows(kernel, rows, x, mean, log_sigma, *arrays, samples, *batch)
        if dlog_sigma is not None:
            kernel = gaussian_slopes_kernel(dtype)
            device.launch_flat(kernel, mean.shape[1], x, mean, log_sigma, weight, dlog_sigma, samples)
        return
    wanted = (array is not None for array in (nll, dmean, dlog_sigma, accumulate))
    arrays += (device.given(dlog_sigma, dtype),)
    device.launch_rows(gaussian_kernel(dtype, *wanted), rows, x, mean, log_sigma, *arrays, samples, *batch)


@functools.cache
def masses(dtype):
    """The functions of `byte_masses` on the device."""
    f = functions(dtype)
    real = f.real
    elementary = SimpleNamespace(
        exp=inline(lambda a: real(math.exp(a))),
        log=inline(lambda a: real(math.log(a))),
        expm1_down=inline(lambda a: real(math.expm1(a))),
        sigmoid=f.sigmoid,
        softplus=f.softplus,
    )
    return byte_masses.build(inline, dtype, elementary, inline(lambda condition, a, b: a if condition else b))


@functools.cache
def byte_kernel(name, dtype, value, gradient, total):
    """A likelihood of bytes: nll if `value`, doutput if `gradient`."""
    real, zero = functions(dtype).real, functions(dtype).zero
    byte, beta_binomial, logistic = masses(dtype).byte, masses(dtype).beta_binomial, masses(dtype).logistic
    has_ways = name == "beta_binomial"

    def by_bytes(x, output, log_ways, weight, nll, doutput, samples, kl, n, beta, totals, clock, partial, counters):
        scratch = cuda.shared.array(WARPS, real)
        wide_scratch = cuda.shared.array(WARPS, float64)
        flag = cuda.shared.array(1, int32)
        rows, features = output.shape[0], x.shape[1]
        nll_sum = 0.0
        for row in range(cuda.blockIdx.x, rows, cuda.gridDim.x):
            example = row // samples
            row_weight = weight[row] if gradient else zero
            row_sum = zero
            for j in range(cuda.threadIdx.x, features, ROW_THREADS):
                k, first, second = byte(x[example, j]), output[row, j], output[row, features + j]
                if has_ways:
                    ways = log_ways[min(max(int32(k), 0), log_ways.shape[0] - 1)]
                    of_one, by_first, by_second = beta_binomial(k, ways, first, second)
                else:
                    of_one, by_first, by_second = logistic(k, first, second)
                if value:
                    row_sum += of_one
                if gradient:
                    doutput[row, j], doutput[row, features + j] = row_weight * by_first, row_weight * by_second
            if value:
                row_sum = block_sum(row_sum, scratch)
                if cuda.threadIdx.x == 0:
                    nll[row] = row_sum
                nll_sum += float64(row_sum)
        if total:
            add_batch(nll_sum, kl, n, samples, beta, totals, clock, partial, counters, wide_scratch, flag)

    by_bytes.__name__ = f"{name}_nll"
    return cuda.jit(by_bytes)


@functools.cache
def _log_ways(device, dtype):
    return device.from_host(byte_masses.LOG_WAYS.astype(dtype))


def _by_bytes(name, x, output, weight, nll, doutput, accumulate):
    device, dtype, rows = current(), output.dtype.name, output.shape[0]
    kernel = byte_kernel(name, dtype, nll is not None, doutput is not None, accumulate is not None)
    arrays = device.given(weight, dtype), device.given(nll, dtype), output if doutput is None else doutput
    samples, batch = rows // x.shape[0], batch_arguments(accumulate, dtype)
    device.launch_rows(kernel, rows, x, output, _log_ways(device, dtype), *arrays, samples, *batch)


def beta_binomial_nll(x, output, weight, nll, doutput, *, accumulate=None):
    _by_bytes("beta_binomial", x, output, weight, nll, doutput, accumulate)


def logistic_nll(x, output, weight, nll, doutput, *, accumulate=None):
    _by_bytes("logistic", x, output, weight, nll, doutput, accumulate)

"""Random numbers, minibatches and book-keeping. The functions are stated in `naive.py`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from .. import philox
from ..naive import PIXELS
from .checks import matches, one_of, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import REAL_VECTORS, byte_vector, float64_vector, int64_vector, number, share, uint32_vector, word
from .random import draw_normals, draw_words
from .target import FASTMATH_SUMS

_NORMAL_COST, _WORD_COST, _GATHER_COST = 8, 4, 1
_GREY, _THRESHOLD, _DYNAMIC = range(3)


@functools.cache
def random_kernels(real_name):
    vector = REAL_VECTORS[real_name]

    @kernel(real_name, fastmath=False)
    def standard_normal(arguments, part, parts):
        size = word(arguments, 0)
        first, last = share(-(-size // 4), part, parts)
        clock = int64_vector(word(arguments, 3), 1)[0]
        noise = vector(word(arguments, 4), size)
        draw_normals(word(arguments, 1), word(arguments, 2), clock, first, last, noise)

    return standard_normal


@functools.cache
def word_kernel():
    @kernel("uint32", fastmath=False)
    def random_words(arguments, part, parts):
        size = word(arguments, 0)
        first, last = share(-(-size // 4), part, parts)
        clock = int64_vector(word(arguments, 3), 1)[0]
        draw_words(word(arguments, 1), word(arguments, 2), clock, first, last, uint32_vector(word(arguments, 4), size))

    return random_words


@functools.cache
def gather_kernel(real_name, data_name):
    """Rows of data of one type as rows of floats."""
    real = np.dtype(real_name).type
    itemsize, data_itemsize = np.dtype(real_name).itemsize, np.dtype(data_name).itemsize
    vector = REAL_VECTORS[real_name]
    is_bytes = data_name == "uint8"
    data_vector = byte_vector if is_bytes else REAL_VECTORS[data_name]
    # a division by 255, correctly rounded where a multiply-add rounds once: a product and one correction
    inverse, divisor = real(1 / 255), real(255)
    zero, one = real(0), real(1)
    half = (data_vector is byte_vector and np.uint8(127)) or np.dtype(data_name).type(0.5)

    @kernel(f"{data_name}_{real_name}")
    def gather(arguments, part, parts):
        rows, features, batch_size, pixels = (
            word(arguments, 0), word(arguments, 1), word(arguments, 2), word(arguments, 3),
        )  # fmt: skip
        examples = word(arguments, 4)
        order, clock = int64_vector(word(arguments, 5), examples), int64_vector(word(arguments, 6), 1)[0]
        start = clock % -(-examples // batch_size) * batch_size
        first, last = share(rows, part, parts)
        for i in range(first, last):
            stored = data_vector(word(arguments, 7) + order[start + i] * features * data_itemsize, features)
            x = vector(word(arguments, 8) + i * features * itemsize, features)
            if pixels == _THRESHOLD:
                for f in range(features):
                    x[f] = one if stored[f] > half else zero
            elif pixels == _DYNAMIC:
                words = uint32_vector(word(arguments, 9) + i * features * 4, features)
                for f in range(features):
                    upper = np.int64(words[f] >> 8)
                    if is_bytes:
                        x[f] = one if upper * 255 < np.int64(stored[f]) << 24 else zero
                    else:
                        x[f] = one if np.float64(upper) * 2.0**-24 < np.float64(stored[f]) else zero
            elif is_bytes:
                for f in range(features):
                    value = real(stored[f])
                    quotient = value * inverse
                    x[f] = quotient + (value - quotient * divisor) * inverse
            else:
                for f in range(features):
                    x[f] = stored[f]

    return gather


@functools.cache
def bookkeeping_kernels(real_name):
    vector = REAL_VECTORS[real_name]

    @kernel(real_name, FASTMATH_SUMS)
    def accumulate(arguments, part, parts):
        n, samples, size = word(arguments, 0), word(arguments, 1), word(arguments, 2)
        nll, kl = vector(word(arguments, 3), n * samples), vector(word(arguments, 4), size)
        totals, clock = float64_vector(word(arguments, 6), 5), int64_vector(word(arguments, 7), 1)
        a = 0.0
        for i in range(n * samples):
            a += np.float64(nll[i])
        a /= samples
        b = 0.0
        for i in range(size):
            b += np.float64(kl[i])
        loss = (a + number(arguments, 5) * b) / n
        totals[0] += a
        totals[1] += b
        totals[2] += n
        totals[3] = loss
        if not math.isfinite(loss) and totals[4] == 0:
            totals[4] = clock[0] + 1

    @kernel("int64")
    def tick(arguments, part, parts):
        int64_vector(word(arguments, 0), 1)[0] += 1

    return SimpleNamespace(accumulate=accumulate, tick=tick)


@contract
def standard_normal(plan, seed, stream, clock, noise):
    real_name = real_of("noise", noise)
    matches("noise", noise, noise.shape, real_name)
    matches("clock", clock, (1,), "int64")
    arguments = [noise.size, seed, stream, clock, noise]
    plan.add(random_kernels(real_name), arguments, work=_NORMAL_COST * noise.size)


@contract
def gather(plan, data, order, clock, batch_size, pixels, seed, x):
    real_name = real_of("x", x)
    one_of("pixels", pixels, PIXELS)
    data_name = data.dtype.name
    if data_name != "uint8":
        real_of("data", data)
    matches("data", data, data.shape, data.dtype)
    matches("order", order, (order.size,), "int64")
    matches("clock", clock, (1,), "int64")
    if x.ndim != 2 or data.ndim != 2 or len(x) > batch_size:
        raise ValueError(f"x: got shape {x.shape}, expected at most {batch_size} rows of data of shape {data.shape}")
    matches("x", x, (len(x), data.shape[1]), real_name)
    words = None
    if pixels == "dynamic":
        words = plan.scratch((x.size,), np.uint32)
        plan.add(word_kernel(), [x.size, seed, philox.PIXELS, clock, words], work=_WORD_COST * x.size)
    chosen = gather_kernel(real_name, data_name)
    mode = {"grey": _GREY, "threshold": _THRESHOLD, "dynamic": _DYNAMIC}[pixels]
    arguments = [*x.shape, batch_size, mode, order.size, order, clock, data, x, words]
    plan.add(chosen, arguments, work=_GATHER_COST * x.size)


@contract
def accumulate(plan, nll, kl, beta, totals, clock):
    real_name = real_of("kl", kl)
    if kl.ndim != 2:
        raise ValueError(f"kl: got {kl.ndim} dimensions, expected a matrix (n, latent)")
    matches("kl", kl, kl.shape, real_name)
    samples = samples_of("nll", nll.size, len(kl))
    matches("nll", nll, (nll.size,), real_name)
    matches("totals", totals, (5,), "float64")
    matches("clock", clock, (1,), "int64")
    arguments = [len(kl), samples, kl.size, nll, kl, float(beta), totals, clock]
    plan.add(bookkeeping_kernels(real_name).accumulate, arguments, work=0)


@contract
def tick(plan, clock):
    matches("clock", clock, (1,), "int64")
    plan.add(bookkeeping_kernels("float32").tick, [clock], work=0)

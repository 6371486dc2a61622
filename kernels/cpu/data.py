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
from .memory import float64_vector, int64_vector, memory_of, share, uint32_vector
from .random import draw_normals, draw_words
from .target import FASTMATH_SUMS

_NORMAL_COST, _WORD_COST, _GATHER_COST = 8, 4, 1
_GREY, _THRESHOLD, _DYNAMIC = range(3)


@functools.cache
def random_kernels(real_name):
    vector = memory_of(real_name).vector

    @kernel(real_name, fastmath=False)
    def standard_normal(part, parts, size, seed, stream, clock, noise):
        first, last = share(-(-size // 4), part, parts)
        draw_normals(seed, stream, int64_vector(clock, 1)[0], first, last, vector(noise, size))

    return standard_normal


@functools.cache
def word_kernel():
    @kernel("uint32", fastmath=False)
    def random_words(part, parts, size, seed, stream, clock, words):
        first, last = share(-(-size // 4), part, parts)
        draw_words(seed, stream, int64_vector(clock, 1)[0], first, last, uint32_vector(words, size))

    return random_words


@functools.cache
def gather_kernel(real_name, data_name):
    """Rows of data of one type as rows of floats."""
    real, _, _, row = memory_of(real_name)
    data_type, _, _, data_row = memory_of(data_name)
    word_row = memory_of("uint32").row
    is_bytes = data_name == "uint8"
    # a division by 255, correctly rounded where a multiply-add rounds once: a product and one correction
    inverse, divisor = real(1 / 255), real(255)
    zero, one = real(0), real(1)
    half = data_type(127 if is_bytes else 0.5)

    @kernel(f"{data_name}_{real_name}")
    def gather(part, parts, rows, features, batch_size, pixels, examples, order, clock, data, x, words):
        indices = int64_vector(order, examples)
        start = int64_vector(clock, 1)[0] % -(-examples // batch_size) * batch_size
        first, last = share(rows, part, parts)
        for i in range(first, last):
            stored, x_i = data_row(data, indices[start + i], features), row(x, i, features)
            if pixels == _THRESHOLD:
                for f in range(features):
                    x_i[f] = one if stored[f] > half else zero
            elif pixels == _DYNAMIC:
                words_i = word_row(words, i, features)
                for f in range(features):
                    upper = np.int64(words_i[f] >> 8)
                    if is_bytes:
                        x_i[f] = one if upper * 255 < np.int64(stored[f]) << 24 else zero
                    else:
                        x_i[f] = one if np.float64(upper) * 2.0**-24 < np.float64(stored[f]) else zero
            elif is_bytes:
                for f in range(features):
                    value = real(stored[f])
                    quotient = value * inverse
                    x_i[f] = quotient + (value - quotient * divisor) * inverse
            else:
                for f in range(features):
                    x_i[f] = stored[f]

    return gather


@functools.cache
def bookkeeping_kernels(real_name):
    vector = memory_of(real_name).vector

    @kernel(real_name, FASTMATH_SUMS)
    def accumulate(n, samples, size, nll, kl, beta: float, totals, clock):
        losses, divergences, sums = vector(nll, n * samples), vector(kl, size), float64_vector(totals, 5)
        a = 0.0
        for i in range(n * samples):
            a += np.float64(losses[i])
        a /= samples
        b = 0.0
        for i in range(size):
            b += np.float64(divergences[i])
        loss = (a + beta * b) / n
        sums[0] += a
        sums[1] += b
        sums[2] += n
        sums[3] = loss
        if not math.isfinite(loss) and sums[4] == 0:
            sums[4] = int64_vector(clock, 1)[0] + 1

    @kernel("int64")
    def tick(clock):
        int64_vector(clock, 1)[0] += 1

    return SimpleNamespace(accumulate=accumulate, tick=tick)


@contract
def standard_normal(plan, seed, stream, clock, noise):
    real_name = real_of("noise", noise)
    matches("noise", noise, noise.shape, real_name)
    matches("clock", clock, (1,), "int64")
    counter = {"seed": seed, "stream": stream, "clock": clock}
    plan.add(random_kernels(real_name), work=_NORMAL_COST * noise.size, size=noise.size, noise=noise, **counter)


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
        counter = {"seed": seed, "stream": philox.PIXELS, "clock": clock}
        plan.add(word_kernel(), work=_WORD_COST * x.size, size=x.size, words=words, **counter)
    shape = {"rows": len(x), "features": x.shape[1], "batch_size": batch_size, "examples": order.size}
    mode = {"grey": _GREY, "threshold": _THRESHOLD, "dynamic": _DYNAMIC}[pixels]
    arrays = {"order": order, "clock": clock, "data": data, "x": x, "words": words}
    plan.add(gather_kernel(real_name, data_name), work=_GATHER_COST * x.size, pixels=mode, **shape, **arrays)


@contract
def accumulate(plan, nll, kl, beta, totals, clock):
    real_name = real_of("kl", kl)
    if kl.ndim != 2:
        raise ValueError(f"kl: got {kl.ndim} dimensions, expected a matrix (n, latent)")
    matches("kl", kl, kl.shape, real_name)
    n, samples = len(kl), samples_of("nll", nll.size, len(kl))
    matches("nll", nll, (nll.size,), real_name)
    matches("totals", totals, (5,), "float64")
    matches("clock", clock, (1,), "int64")
    chosen, arrays = bookkeeping_kernels(real_name).accumulate, {"nll": nll, "kl": kl, "totals": totals, "clock": clock}
    plan.add(chosen, work=0, n=n, samples=samples, size=kl.size, beta=beta, **arrays)


@contract
def tick(plan, clock):
    matches("clock", clock, (1,), "int64")
    plan.add(bookkeeping_kernels("float32").tick, work=0, clock=clock)

"""Random numbers, minibatches and book-keeping. The functions are stated in `naive`."""

import functools
import math
from types import SimpleNamespace

import numpy as np

from ..naive import PIXELS
from .checks import matches, one_of, real_of, samples_of
from .contract import contract
from .jit import kernel
from .memory import float64_vector, int64_vector, memory_of, share
from .random import draw_normals, draw_words
from .target import FASTMATH_SUMS

_NORMAL_COST, _WORD_COST, _GATHER_COST = 8, 4, 1
_GREY, _THRESHOLD, _DYNAMIC = range(3)


@functools.cache
def random_kernel(name, draw):
    """Philox numbers in an array of the type `name`: words by `draw_words`, or normals by `draw_normals`."""
    vector = memory_of(name).vector

    @kernel(f"{draw.__name__}_{name}", "size seed stream clock numbers", fastmath=False)
    def random(given, part, parts):
        first, last = share(-(-given.size // 4), part, parts)
        numbers, clock = vector(given.numbers, given.size), int64_vector(given.clock, 1)[0]
        draw(given.seed, given.stream, clock, first, last, numbers)

    return random


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

    @kernel(f"{data_name}_{real_name}", "rows features batch_size pixels examples order clock data x words")
    def gather(given, part, parts):
        features = given.features
        indices = int64_vector(given.order, given.examples)
        start = int64_vector(given.clock, 1)[0] % -(-given.examples // given.batch_size) * given.batch_size
        first, last = share(given.rows, part, parts)
        for i in range(first, last):
            stored, x = data_row(given.data, indices[start + i], features), row(given.x, i, features)
            if given.pixels == _THRESHOLD:
                for f in range(features):
                    x[f] = one if stored[f] > half else zero
            elif given.pixels == _DYNAMIC:
                words = word_row(given.words, i, features)
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
    vector = memory_of(real_name).vector

    @kernel(real_name, "n samples size nll kl beta totals clock", FASTMATH_SUMS)
    def accumulate(given, part, parts):
        n, samples, size = given.n, given.samples, given.size
        nll, kl, totals = vector(given.nll, n * samples), vector(given.kl, size), float64_vector(given.totals, 6)
        a = 0.0
        for i in range(n * samples):
            a += np.float64(nll[i])
        a /= samples
        b = 0.0
        for i in range(size):
            b += np.float64(kl[i])
        loss = a + float64_vector(given.beta, 1)[0] * b
        totals[0] += a
        totals[1] += b
        totals[2] += n
        totals[3] = loss / n
        if not math.isfinite(totals[3]) and totals[4] == 0:
            totals[4] = int64_vector(given.clock, 1)[0] + 1
        totals[5] += loss

    @kernel("int64", "clock")
    def tick(given, part, parts):
        int64_vector(given.clock, 1)[0] += 1

    return SimpleNamespace(accumulate=accumulate, tick=tick)


@contract("noise")
def standard_normal(plan, seed, stream, clock, noise):
    real_name = real_of("noise", noise)
    matches("noise", noise, noise.shape, real_name)
    matches("clock", clock, (1,), "int64")
    given = {"size": noise.size, "seed": seed, "stream": stream, "clock": clock, "numbers": noise}
    plan.add(random_kernel(real_name, draw_normals), given, work=_NORMAL_COST * noise.size)


@contract("x")
def gather(plan, data, order, clock, batch_size, pixels, seed, stream, x):
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
        given = {"size": x.size, "seed": seed, "stream": stream, "clock": clock, "numbers": words}
        plan.add(random_kernel("uint32", draw_words), given, work=_WORD_COST * x.size)
    mode = {"grey": _GREY, "threshold": _THRESHOLD, "dynamic": _DYNAMIC}[pixels]
    given = {"rows": len(x), "features": x.shape[1], "batch_size": batch_size, "pixels": mode, "examples": order.size}
    given |= {"order": order, "clock": clock, "data": data, "x": x, "words": words}
    plan.add(gather_kernel(real_name, data_name), given, work=_GATHER_COST * x.size)


@contract("totals")
def accumulate(plan, nll, kl, beta, totals, clock):
    real_name = real_of("kl", kl)
    if kl.ndim != 2:
        raise ValueError(f"kl: got {kl.ndim} dimensions, expected a matrix (n, latent)")
    matches("kl", kl, kl.shape, real_name)
    n, samples = len(kl), samples_of("nll", nll.size, len(kl))
    matches("nll", nll, (nll.size,), real_name)
    matches("beta", beta, (1,), "float64")
    matches("totals", totals, (6,), "float64")
    matches("clock", clock, (1,), "int64")
    given = {"n": n, "samples": samples, "size": kl.size, "nll": nll, "kl": kl, "beta": beta}
    plan.add(bookkeeping_kernels(real_name).accumulate, {**given, "totals": totals, "clock": clock}, work=0)


@contract("clock")
def tick(plan, clock):
    matches("clock", clock, (1,), "int64")
    plan.add(bookkeeping_kernels("float32").tick, {"clock": clock}, work=0)

"""Random numbers, minibatches and book-keeping."""

import math

import numpy as np

from .. import philox
from .tools import eps, matrix, output

PIXELS = ("grey", "threshold", "dynamic")


def standard_normal(seed, stream, clock, noise):
    """noise[e] = the e-th standard normal of (seed, stream, step = clock[0]), e counting elements in C order.

    noise is any shape; float64 receives the float32 values. Bit for bit the numbers of `philox.scalar`.
    """
    flat = noise.reshape(-1)
    for e in range(flat.size):
        flat[e] = philox.scalar_normal(seed, stream, int(clock[0]), e)


def gather(data, order, clock, batch_size, pixels, seed, stream, x):
    """x = the rows of data that the batch of step clock[0] asks for, as floats.

    With batches = ceil(len(order) / batch_size) and start = (clock[0] % batches) * batch_size, row i of x is row
    order[start + i] of data. data (examples, features) is uint8 (value = byte / 255) or float (value as it is); x
    (rows, features), rows <= batch_size. pixels: "grey" keeps the value; "threshold" gives 1 where value > 1/2, else
    0; "dynamic" gives 1 with probability value: where u < value, u = the uniform of (seed, stream, clock[0], element of
    x), exactly.
    """
    batches = -(-len(order) // batch_size)
    start = (int(clock[0]) % batches) * batch_size
    for i in range(x.shape[0]):
        for f in range(data.shape[1]):
            stored = data[order[start + i], f]
            value = int(stored) / 255 if data.dtype.kind == "u" else float(stored)
            if pixels == "threshold":
                value = float(value > 0.5)
            elif pixels == "dynamic":
                word = philox.scalar_word(seed, stream, int(clock[0]), i * data.shape[1] + f) >> 8
                # both sides of u < value are exact: integers for bytes, doubles for floats
                value = float(word * 255 < int(stored) << 24 if data.dtype.kind == "u" else word * 2.0**-24 < value)
            x[i, f] = value


def accumulate(nll, kl, beta, totals, clock):
    """Adds a batch to the running totals of an epoch.

    With a = sum(nll) / samples, b = sum(kl) and loss = a + beta[0] b: totals[0] += a, totals[1] += b, totals[2] += n,
    totals[3] = loss / n, the loss of this batch; where that is not finite and totals[4] is 0, totals[4] = clock[0] + 1,
    the step it went wrong; totals[5] += loss. nll (n * samples,), kl (n, latent), beta (1,) float64, totals (6,).
    """
    n = kl.shape[0]
    samples = nll.shape[0] // n
    a = sum(float(value) for value in nll) / samples
    b = sum(float(value) for row in kl for value in row)
    totals[0] += a
    totals[1] += b
    totals[2] += n
    loss = a + float(beta[0]) * b
    totals[3] = loss / n
    if not math.isfinite(totals[3]) and totals[4] == 0:
        totals[4] = int(clock[0]) + 1
    totals[5] += loss


def tick(clock):
    """clock[0] += 1: the last call of a step."""
    clock[0] += 1


def standard_normal_case(dtype, seed, stream, step, shape):
    return [seed, stream, np.array([step]), output(shape, dtype)], {"noise": 0.0}


def standard_normal_cases(dtype, rng):
    for seed, step, shape in (
        *((0, 0, (1,)), (7, 3, (5, 3)), (2**64 - 1, 2**40 + 1, (9, 13))),
        *((2**63, 2**40, (67,)), (1, 2**62, (257,))),
    ):
        yield standard_normal_case(dtype, seed, int(rng.integers(1, 7)), step, shape)


def gather_case(dtype, rng, kind, examples, features, batch_size, step, pixels):
    data = rng.random((examples, features))
    data[0, 0], data[-1, -1] = 0, 1
    data = np.round(255 * data).astype(kind) if kind == "uint8" else data.astype(kind)
    batches = -(-examples // batch_size)
    rows = min(batch_size, examples - (step % batches) * batch_size)
    order, x = rng.permutation(examples), output((rows, features), dtype)
    bound = eps(dtype) if pixels == "grey" else 0.0
    return [data, order, np.array([step]), batch_size, pixels, 2**63 + 5, philox.EVALUATION_PIXELS, x], {"x": bound}


def gather_cases(dtype, rng):
    for kind in ("uint8", "float32", "float64"):
        for size in ((1, 1, 1, 0), (7, 3, 3, 2), (7, 3, 3, 4), (40, 33, 16, 1), (11, 9, 4, 2)):
            for pixels in PIXELS:
                yield gather_case(dtype, rng, kind, *size, pixels)


def accumulate_cases(dtype, rng):
    for n, latent, samples in ((1, 1, 1), (3, 2, 1), (4, 5, 3)):
        for bad, beta in ((False, 0.5), (False, 4.0), (True, 0.5)):
            nll, kl = np.abs(matrix(rng, n * samples, dtype)), np.abs(matrix(rng, (n, latent), dtype))
            totals = np.array([5.0, 3.0, 2.0, 0.0, 0.0, 9.0])
            size = float(nll.sum()) + max(beta, 1) * float(kl.sum()) + 20
            if bad:
                nll[-1] = np.inf
            bound = eps("float64") * (nll.size + kl.size + 8) * size
            yield [nll, kl, np.array([beta]), totals, np.array([11])], {"totals": bound}


def tick_cases(dtype, rng):
    yield [np.array([2**40])], {"clock": 0}


class Data:
    standard_normal = staticmethod(standard_normal)
    gather = staticmethod(gather)
    accumulate = staticmethod(accumulate)
    tick = staticmethod(tick)

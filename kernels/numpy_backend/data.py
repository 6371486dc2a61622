"""Random numbers, minibatches and book-keeping in NumPy. The functions are stated in `naive/data.py`."""

import math

import numpy as np

from .. import philox
from .tools import quiet, scratch


@quiet
def standard_normal(seed, stream, clock, noise):
    philox.fill_normals(seed, stream, clock[0], noise)


@quiet
def gather(data, order, clock, batch_size, pixels, seed, stream, x):
    rows, features = x.shape
    batches = -(-len(order) // batch_size)
    start = int(clock[0]) % batches * batch_size
    stored = scratch("stored", (rows, features), data.dtype)
    np.take(data, order[start : start + rows], axis=0, out=stored, mode="clip")
    is_bytes = data.dtype.kind == "u"
    if pixels == "grey":
        if is_bytes:
            np.divide(stored, 255, out=x, casting="same_kind", dtype=x.dtype)
        else:
            np.copyto(x, stored, casting="same_kind")
    elif pixels == "threshold":
        np.copyto(x, np.greater(stored, 127 if is_bytes else 0.5, out=scratch("pixel", x.shape, bool)))
    else:
        u = scratch("words", x.shape, np.uint32)
        philox.fill_words(seed, stream, clock[0], u)
        np.right_shift(u, 8, out=u)
        one = scratch("pixel", x.shape, bool)
        if is_bytes:
            np.multiply(u, 255, out=u)
            threshold = scratch("threshold", x.shape, np.uint32)
            np.left_shift(stored, 24, out=threshold, dtype=np.uint32)
            np.less(u, threshold, out=one)
        else:
            uniform = scratch("uniform", x.shape, np.float64)
            np.multiply(u, 2.0**-24, out=uniform)
            np.less(uniform, stored, out=one)
        np.copyto(x, one)


@quiet
def accumulate(nll, kl, beta, totals, clock):
    n = len(kl)
    a = float(np.sum(nll, dtype=np.float64)) * n / len(nll)
    b = float(np.sum(kl, dtype=np.float64))
    totals[0] += a
    totals[1] += b
    totals[2] += n
    loss = a + float(beta[0]) * b
    totals[3] = loss / n
    if not math.isfinite(totals[3]) and totals[4] == 0:
        totals[4] = int(clock[0]) + 1
    totals[5] += loss


def tick(clock):
    clock[0] += 1

"""Three loops.

An element of C is a row of A times a column of B. Each multiply-add waits for the one before it, some four cycles: with
several sums side by side the last bits would be others, so LLVM keeps one. (Allowed to reorder the sum, it makes no
vectors either: the elements of a column lie a row apart.) Each comes from another cache line, of which nothing
else is used; where rows are 4096 bytes long, all these lines belong in one set of the first-level cache, which holds a
dozen.
"""

import numpy as np

from . import rung


@rung
def product(a, b, c):
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = np.float32(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total

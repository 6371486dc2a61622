"""Blocks of B that stay in the cache.

The rung before reads all of B for each row of C: where B is larger than the second-level cache, from the third. Here a
block of it, 256 KiB, serves all rows of C before it is the next one's turn. Where all of B fits, this gains nothing.

The inner loop begins at 0, in slices of the rows: in a loop over the block's columns an index might be negative, which
Numba counts from the end, and with that question in it LLVM makes no vectors.
"""

from ..cpu.jit import inline
from . import rung

DEPTH, COLUMNS = 128, 512  # of a block


@inline
def add(a, b, c):
    """c += a @ b."""
    for j in range(0, b.shape[1], COLUMNS):
        for first in range(0, b.shape[0], DEPTH):
            for i in range(a.shape[0]):
                c_row = c[i, j : j + COLUMNS]
                for k in range(first, min(first + DEPTH, b.shape[0])):
                    a_ik, b_row = a[i, k], b[k, j : j + COLUMNS]
                    for v in range(len(c_row)):
                        c_row[v] += a_ik * b_row[v]


@rung
def product(a, b, c):
    c[:] = 0
    add(a, b, c)

"""Four steps of the depth at once.

The rung before loads and stores a vector of C for each multiply-add: memory instructions, not arithmetic, fill the
cycles. Here it stays in a register for four of them: five loads and a store instead of eight and four.
"""

from ..cpu.jit import inline
from . import rung
from . import rung3_blocks as blocks
from .rung3_blocks import COLUMNS, DEPTH


@inline
def add(a, b, c):
    """c += a @ b."""
    whole = b.shape[0] // 4 * 4
    for j in range(0, b.shape[1], COLUMNS):
        for first in range(0, whole, DEPTH):
            for i in range(a.shape[0]):
                a_row, c_row = a[i], c[i, j : j + COLUMNS]
                for k in range(first, min(first + DEPTH, whole), 4):
                    a0, a1, a2, a3 = a_row[k], a_row[k + 1], a_row[k + 2], a_row[k + 3]
                    b0, b1 = b[k, j : j + COLUMNS], b[k + 1, j : j + COLUMNS]
                    b2, b3 = b[k + 2, j : j + COLUMNS], b[k + 3, j : j + COLUMNS]
                    for v in range(len(c_row)):
                        c_row[v] = c_row[v] + a0 * b0[v] + a1 * b1[v] + a2 * b2[v] + a3 * b3[v]
    blocks.add(a[:, whole:], b[whole:], c)


@rung
def product(a, b, c):
    c[:] = 0
    add(a, b, c)

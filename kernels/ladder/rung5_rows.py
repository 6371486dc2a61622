"""Four rows of C at once.

A vector of B, once in a register, serves four rows: eight loads and four stores for sixteen multiply-adds, where the
rung before needs twenty and four. This is near what registers of 32 bytes can do. LLVM can be told to take those of 64,
but that loses a tenth: a load or store of 64 bytes that does not begin on a cache line needs two lines.
"""

from ..cpu.jit import inline
from . import rung
from . import rung3_blocks as blocks
from . import rung4_steps as steps
from .rung3_blocks import COLUMNS, DEPTH


@inline
def add(a, b, c):
    """c += a @ b."""
    rows, whole = a.shape[0] // 4 * 4, b.shape[0] // 4 * 4
    for j in range(0, b.shape[1], COLUMNS):
        for first in range(0, whole, DEPTH):
            for i in range(0, rows, 4):
                c0, c1 = c[i, j : j + COLUMNS], c[i + 1, j : j + COLUMNS]
                c2, c3 = c[i + 2, j : j + COLUMNS], c[i + 3, j : j + COLUMNS]
                r0, r1, r2, r3 = a[i], a[i + 1], a[i + 2], a[i + 3]
                for k in range(first, min(first + DEPTH, whole), 4):
                    a00, a01, a02, a03 = r0[k], r0[k + 1], r0[k + 2], r0[k + 3]
                    a10, a11, a12, a13 = r1[k], r1[k + 1], r1[k + 2], r1[k + 3]
                    a20, a21, a22, a23 = r2[k], r2[k + 1], r2[k + 2], r2[k + 3]
                    a30, a31, a32, a33 = r3[k], r3[k + 1], r3[k + 2], r3[k + 3]
                    b_row0, b_row1 = b[k, j : j + COLUMNS], b[k + 1, j : j + COLUMNS]
                    b_row2, b_row3 = b[k + 2, j : j + COLUMNS], b[k + 3, j : j + COLUMNS]
                    for v in range(len(c0)):
                        b0, b1, b2, b3 = b_row0[v], b_row1[v], b_row2[v], b_row3[v]
                        c0[v] = c0[v] + a00 * b0 + a01 * b1 + a02 * b2 + a03 * b3
                        c1[v] = c1[v] + a10 * b0 + a11 * b1 + a12 * b2 + a13 * b3
                        c2[v] = c2[v] + a20 * b0 + a21 * b1 + a22 * b2 + a23 * b3
                        c3[v] = c3[v] + a30 * b0 + a31 * b1 + a32 * b2 + a33 * b3
    blocks.add(a[:rows, whole:], b[whole:], c[:rows])
    steps.add(a[rows:], b, c[rows:])


@rung
def product(a, b, c):
    c[:] = 0
    add(a, b, c)

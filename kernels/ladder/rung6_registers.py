"""A tile of C in registers.

The rung before loads and stores C once for four steps. Here a tile of it, 8 rows by 3 vectors of 64 bytes with AVX-512
(`cpu/target.py` has the others), stays in 24 registers for the whole depth: a step loads three vectors of B and eight
elements of A for 24 multiply-adds, and stores nothing. LLVM does not make this of loops, so `cpu/micro.py` writes it as
vector code; the matrices are read as they lie.
"""

import numpy as np

from ..cpu.micro import make_tile
from ..cpu.target import TILE_ROWS, TILE_VECTORS, VECTOR_BYTES
from . import rung
from . import rung5_rows as rows

LANES = VECTOR_BYTES // 4
COLUMNS = TILE_VECTORS * LANES  # of a tile
NO_FLOOR = np.float32(-np.inf)  # the micro-kernel may apply a ReLU
tile = make_tile(4)


@rung
def product(a, b, c):
    m, depth, n = a.shape[0], a.shape[1], b.shape[1]
    if n < COLUMNS:
        c[:] = 0
        rows.add(a, b, c)
        return
    a_row, b_row = 4 * depth, 4 * n  # bytes
    zeros = np.zeros(COLUMNS, np.float32)
    for first in range(0, n, COLUMNS):
        # the last tiles end where the matrix ends: some of their columns are computed twice
        vectors = min(TILE_VECTORS, -(-(n - first) // LANES))
        j = min(first, n - vectors * LANES)
        b_j = b.ctypes.data + 4 * j
        for i in range(0, m, TILE_ROWS):
            c_ij = c.ctypes.data + i * b_row + 4 * j
            tile(
                min(TILE_ROWS, m - i), vectors, LANES, a.ctypes.data + i * a_row, a_row, 4, b_j, b_row, b_j, 0,
                zeros.ctypes.data, 0, c_ij, b_row, depth, NO_FLOOR,
            )  # fmt: skip

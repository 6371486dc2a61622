"""A tile of C in registers.

The rung before loads and stores C once for four steps. Here a tile of it, 8 rows by 3 vectors of 64 bytes with AVX-512
(`cpu/target.py` has the others), stays in 24 registers for the whole depth: a step loads three vectors of B and eight
elements of A for 24 multiply-adds, and stores nothing. LLVM does not make this of loops, so `cpu/micro.py` writes it as
vector code; the matrices are read as they lie.
"""

import numpy as np

from ..cpu.matmul import Matrix, at
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
    zeros = np.zeros(COLUMNS, np.float32)
    start, left = Matrix(zeros.ctypes.data, 0, 0), Matrix(a.ctypes.data, 4 * depth, 4)  # bytes from row to row
    right, result = Matrix(b.ctypes.data, 4 * n, 4), Matrix(c.ctypes.data, 4 * n, 4)
    for first in range(0, n, COLUMNS):
        # the last tiles end where the matrix ends: some of their columns are computed twice
        vectors = min(TILE_VECTORS, -(-(n - first) // LANES))
        j = min(first, n - vectors * LANES)
        strip = at(right, 0, j)
        ahead = Matrix(strip.address, 0, 0)  # nothing is fetched ahead
        for i in range(0, m, TILE_ROWS):
            rows_left = min(TILE_ROWS, m - i)
            tile(rows_left, vectors, LANES, at(left, i, 0), strip, ahead, start, at(result, i, j), depth, NO_FLOOR)

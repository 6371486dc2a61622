"""Panels of B in consecutive memory.

The tiles of the rung before read a strip of B from top to bottom, each row on another page and often across cache
lines; where rows are 4096 bytes long, all in a few sets of the caches, which do not hold them. Here the strip is copied
once, row behind row and on whole lines, and all its tiles read the copy. The depth is cut so that the copy stays in the
second-level cache.
"""

import numpy as np

from ..cpu.matmul import Matrix, at
from ..cpu.target import CACHE_LINE, DEPTH_BLOCK, TILE_ROWS
from . import rung
from .rung6_registers import COLUMNS, LANES, NO_FLOOR, tile


@rung
def product(a, b, c):
    c[:] = 0
    m, depth, n = a.shape[0], a.shape[1], b.shape[1]
    left, result = Matrix(a.ctypes.data, 4 * depth, 4), Matrix(c.ctypes.data, 4 * n, 4)
    memory = np.zeros((DEPTH_BLOCK + 1) * COLUMNS, np.float32)
    start = -memory.ctypes.data % CACHE_LINE // 4
    panel = memory[start : start + DEPTH_BLOCK * COLUMNS].reshape(DEPTH_BLOCK, COLUMNS)
    for first in range(0, depth, DEPTH_BLOCK):
        steps = min(DEPTH_BLOCK, depth - first)
        for j in range(0, n, COLUMNS):
            width = min(COLUMNS, n - j)
            vectors = -(-width // LANES)
            for k in range(steps):
                b_row, copy = b[first + k, j : j + width], panel[k]
                for v in range(width):
                    copy[v] = b_row[v]
            edge = width - (vectors - 1) * LANES
            strip, ahead = Matrix(panel.ctypes.data, 4 * COLUMNS, 4), Matrix(panel.ctypes.data, 0, 0)
            for i in range(0, m, TILE_ROWS):
                source, target = at(left, i, first), at(result, i, j)
                tile(min(TILE_ROWS, m - i), vectors, edge, source, strip, ahead, target, target, steps, NO_FLOOR)

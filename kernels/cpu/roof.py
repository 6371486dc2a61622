"""The fastest this machine multiplies and adds: the micro-kernel on data that stays in the first-level cache."""

import functools
import time

import numpy as np

from . import program
from .jit import kernel
from .matmul import CONSTANTS, PANEL_BYTES
from .memory import word
from .micro import make_tile
from .target import TILE_ROWS, TILE_VECTORS, VECTOR_BYTES

_DEPTH = 64


@functools.cache
def _roof_kernel(real_name):
    real = np.dtype(real_name).type
    itemsize = np.dtype(real_name).itemsize
    tile = make_tile(itemsize)
    lanes = VECTOR_BYTES // itemsize
    floor = real(-np.inf)

    @kernel(real_name)
    def roof(arguments, part, parts):
        repeats, zeros = word(arguments, 0), word(arguments, 1)
        a = word(arguments, 2) + part * word(arguments, 3)
        b = a + _DEPTH * TILE_ROWS * itemsize
        c = b + _DEPTH * PANEL_BYTES
        for _ in range(repeats):
            tile(
                TILE_ROWS, TILE_VECTORS, lanes, a, itemsize, TILE_ROWS * itemsize, b, PANEL_BYTES,
                zeros, 0, c, PANEL_BYTES, _DEPTH, floor,
            )  # fmt: skip

    return roof


class Roof:
    """Calling it measures once and returns floating-point operations per second, on `threads` threads."""

    def __init__(self, real_name="float32", threads=1, seconds=1e-3):
        itemsize = np.dtype(real_name).itemsize
        columns = PANEL_BYTES // itemsize
        size = (_DEPTH * (TILE_ROWS + columns) + TILE_ROWS * columns) * itemsize
        size = -(-size // 4096) * 4096
        self._threads = threads
        self._flops = 2 * TILE_ROWS * columns * _DEPTH
        self._repeats = 100
        self._plan = program.Plan(program.Arena())
        memory = self._plan.scratch((size * threads,))
        memory[:] = 0
        self._arguments = [CONSTANTS[real_name], memory, size]
        self._real_name = real_name
        self._build()
        self()  # the first call compiles
        fastest = max(self() for _ in range(5))
        self._repeats = max(1, int(seconds * fastest / self._flops / threads))
        self._build()

    def _build(self):
        plan = program.Plan(program.Arena())
        plan.add(_roof_kernel(self._real_name), [self._repeats, *self._arguments], work=1 << 40)
        self._table, self._words = plan.table()

    def __call__(self):
        start = time.perf_counter()
        if self._threads == 1:
            program._run_whole(self._table)
        else:
            with program.threads.turn():
                program._run_split(self._table, self._threads)
        return self._threads * self._repeats * self._flops / (time.perf_counter() - start)

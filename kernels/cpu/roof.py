"""The fastest this machine multiplies and adds: the micro-kernel on data that stays in the first-level cache."""

import functools
import time

import numpy as np

from . import program
from .jit import kernel
from .matmul import Matrix, zeros_of
from .memory import memory_of
from .micro import make_tile
from .packing import PANEL_BYTES
from .target import PART_WORK, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES

_DEPTH = 64


@functools.cache
def _roof_kernel(real_name):
    real, itemsize, _, _ = memory_of(real_name)
    tile = make_tile(itemsize)
    lanes = VECTOR_BYTES // itemsize
    floor = real(-np.inf)

    @kernel(real_name, "repeats zeros own_memory")
    def roof(given, part, parts):
        a = Matrix(given.own_memory, itemsize, TILE_ROWS * itemsize)
        b = Matrix(given.own_memory + _DEPTH * TILE_ROWS * itemsize, PANEL_BYTES, 0)
        c = Matrix(b.address + _DEPTH * PANEL_BYTES, PANEL_BYTES, 0)
        start, ahead = Matrix(given.zeros, 0, 0), Matrix(b.address, 0, 0)
        for _ in range(given.repeats):
            tile(TILE_ROWS, TILE_VECTORS, lanes, a, b, ahead, start, c, _DEPTH, floor)

    return roof


class Roof:
    """Calling it measures once and returns floating-point operations per second, on `threads` threads."""

    def __init__(self, real_name="float32", threads=1, seconds=1e-3):
        itemsize = np.dtype(real_name).itemsize
        columns = PANEL_BYTES // itemsize
        self._memory = (_DEPTH * (TILE_ROWS + columns) + TILE_ROWS * columns) * itemsize
        self._real_name, self._threads = real_name, threads
        self._tile_flops = 2 * TILE_ROWS * columns * _DEPTH
        self._build(100)
        self()  # the first call compiles
        fastest = max(self() for _ in range(5))
        self._build(max(1, int(seconds * fastest / self._tile_flops / self._parts)))

    def _build(self, repeats):
        self._parts = 1 if self._threads == 1 else 16 * program.threads.most()
        self._plan = program.Plan(program.Arena())
        self._plan.scratch((1 << 20,))[:] = 0  # no denormal numbers in what the parts read
        self._plan.done()
        self._plan.add(
            _roof_kernel(self._real_name),
            {"repeats": repeats, "zeros": zeros_of(self._real_name)},
            work=16 * program.threads.most() * PART_WORK,
            own_memory=self._memory,
            most=16,
        )
        self._table = self._plan.table()
        self._flops = self._parts * repeats * self._tile_flops

    def __call__(self):
        start = time.perf_counter()
        self._table.run(self._threads)
        return self._flops / (time.perf_counter() - start)

"""Kernels as Python functions, one greenlet for each CUDA thread, in an order that the test chooses.

A kernel's source runs as it stands: its globals and closures are rebuilt with this module's stand-ins for `cuda` and
for the intrinsics. Threads run one at a time from barrier to barrier, so a missing barrier shows as a result that
depends on the order, or as NaN, with which fresh shared memory is filled; threads that wait for each other at
different places, or for one that has returned, are an error.
"""

import sys
import types

import greenlet
import numpy as np
from numba import cuda
from numba.core.types import Type

from minivae.kernels.cuda import intrinsics
from minivae.kernels.naive.tools import as_bf16

WARP = 32


class SimulatorError(RuntimeError):
    """A block could not go on: the message says where its threads wait."""


class _Thread:
    def __init__(self, number, block, threads, blocks, body):
        self.number = number
        self.threadIdx, self.blockIdx = types.SimpleNamespace(x=number), types.SimpleNamespace(x=block)
        self.blockDim, self.gridDim = types.SimpleNamespace(x=threads), types.SimpleNamespace(x=blocks)
        self.greenlet = greenlet.greenlet(body)


class Simulator:
    """Runs launches; `order` is "up", "down" or a seed for a new random order after each barrier.

    ran : (name, kernel) of every launch so far
    """

    def __init__(self, order="up"):
        self.order = order
        self.ran = set()
        self._functions = {}
        self._stand_in = _Cuda(self)
        self.thread = None

    def __call__(self, launch):
        function = self._python(launch.kernel)
        rng = np.random.default_rng(self.order if isinstance(self.order, int) else 0)
        blocks = range(launch.blocks) if self.order == "up" else reversed(range(launch.blocks))
        with np.errstate(all="ignore"):
            for block in blocks:
                self._run_block(function, launch, block, rng)
        self.ran.add((launch.kernel.py_func.__name__, launch.kernel))

    def _run_block(self, function, launch, block, rng):
        self.shared, self.values = {}, {}
        threads = [
            _Thread(number, block, launch.threads, launch.blocks, lambda: function(*launch.arguments))
            for number in range(launch.threads)
        ]
        running, waiting = threads, {}
        while running:
            if self.order != "up":
                order = rng.permutation(len(running)) if self.order != "down" else reversed(range(len(running)))
                running = [running[i] for i in order]
            for self.thread in running:
                place = self.thread.greenlet.switch()
                if not self.thread.greenlet.dead:
                    waiting.setdefault(place, []).append(self.thread)
            running = self._released(waiting, launch)
        if waiting:
            places = "; ".join(f"{len(group)} at {place[0]} line {place[-1]}" for place, group in waiting.items())
            name = launch.kernel.py_func.__name__
            raise SimulatorError(f"divergent barrier in {name}, block {block} of {launch.threads} threads: {places}")

    @staticmethod
    def _released(waiting, launch):
        """The threads of every complete group, which leave `waiting`: a warp, or the block at one barrier."""
        released = []
        for place, group in list(waiting.items()):
            wanted = min(WARP, launch.threads - WARP * place[1]) if place[0] == "warp" else launch.threads
            if len(group) == wanted:
                released += waiting.pop(place)
        return sorted(released, key=lambda thread: thread.number)

    def wait(self, *place):
        self.thread.greenlet.parent.switch(place)

    def _python(self, dispatcher):
        """The kernel or device function as plain Python that sees the stand-ins."""
        if dispatcher not in self._functions:
            function = dispatcher.py_func
            closure = tuple(types.CellType(self._replace(cell.cell_contents)) for cell in function.__closure__ or ())
            names = {**function.__globals__}
            for name in function.__code__.co_names:
                if name in names:
                    names[name] = self._replace(names[name])
            rebuilt = types.FunctionType(function.__code__, names, function.__name__, function.__defaults__, closure)
            self._functions[dispatcher] = rebuilt
        return self._functions[dispatcher]

    def _replace(self, value):
        if value is cuda:
            return self._stand_in
        for name, twin in _TWINS.items():
            if value is getattr(intrinsics, name):
                return twin
        if isinstance(value, Type):
            return np.dtype(str(value)).type
        return self._python(value) if hasattr(value, "py_func") else value


def _site():
    """Where the kernel called: the line of the caller's caller."""
    frame = sys._getframe(2)
    return frame.f_code.co_name, frame.f_lineno


class _Cuda:
    """What kernels use of `numba.cuda`."""

    def __init__(self, simulator):
        self._simulator = simulator
        self.shared = types.SimpleNamespace(array=self._shared)
        self.local = types.SimpleNamespace(array=lambda shape, dtype: _fresh(shape, dtype))
        self.atomic = types.SimpleNamespace(add=self._add)

    def __getattr__(self, name):
        if name in ("threadIdx", "blockIdx", "blockDim", "gridDim"):
            return getattr(self._simulator.thread, name)
        raise AttributeError(f"the simulator has no cuda.{name}")

    def grid(self, dimensions):
        return self.blockIdx.x * self.blockDim.x + self.threadIdx.x

    def gridsize(self, dimensions):
        return self.gridDim.x * self.blockDim.x

    def _shared(self, shape, dtype, alignment=None):
        place = _site()
        if place not in self._simulator.shared:
            self._simulator.shared[place] = _fresh(shape, dtype)
        return self._simulator.shared[place]

    @staticmethod
    def _add(array, index, value):
        old = array[index]
        array[index] += value
        return old

    def syncthreads(self):
        self._simulator.wait("block", *_site())

    def threadfence(self):
        pass

    def shfl_down_sync(self, mask, value, offset):
        if mask != 0xFFFFFFFF:
            raise SimulatorError("a shuffle of part of a warp")
        number, place = self.threadIdx.x, _site()
        warp, lane = divmod(number, WARP)
        values = self._simulator.values
        values[number] = value
        self._simulator.wait("warp", warp, "before", *place)
        from_other = values[number + offset] if lane + offset < WARP and number + offset in values else value
        self._simulator.wait("warp", warp, "after", *place)
        return from_other


def _fresh(shape, dtype):
    array = np.empty(shape, dtype)
    array.fill(np.nan if array.dtype.kind == "f" else -1)
    return array


def _load4(array, i, j):
    return array[i, j], array[i, j + 1], array[i, j + 2], array[i, j + 3]


def _store4(array, i, j, a, b, c, d):
    array[i, j], array[i, j + 1], array[i, j + 2], array[i, j + 3] = a, b, c, d


def _bf16(value):
    return np.float32(as_bf16(value))


_TWINS = {
    "bf16": _bf16,
    "load4": _load4,
    "store4": _store4,
    "multiply32": lambda a, b: a * b,
    "add32": lambda a, b: a + b,
    "multiply64": lambda a, b: a * b,
    "add64": lambda a, b: a + b,
    "sqrt32": np.sqrt,
}

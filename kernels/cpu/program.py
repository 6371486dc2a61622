"""Running kernels: a program is a table of (kernel address, address of its arguments, how it may be split).

One Numba function walks the table, so a whole training step is one call from Python. A kernel that is split gets
one part for each thread; how many there are changes who computes a number, never the number.
"""

import math
import struct
import threading

import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.extending import intrinsic

from ..backend import Program
from . import threads
from .jit import cached
from .target import CACHE_LINE, SERIAL_WORK

# How an entry of a table is run: on one thread; in parts; in parts together with the entry before it, which is then not
# waited for.
WHOLE, SPLIT, SPLIT_ALONG = range(3)


@intrinsic
def _call(typingctx, address, arguments, part, parts):
    def codegen(context, builder, signature, values):
        kernel = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3).as_pointer()
        builder.call(builder.inttoptr(values[0], kernel), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen


@cached
@njit(nogil=True, error_model="numpy")
def _run_whole(table):
    for i in range(len(table)):
        _call(table[i, 0], table[i, 1], 0, 1)


@cached
@njit(parallel=True, nogil=True, error_model="numpy")
def _run_split(table, parts):
    i = 0
    while i < len(table):
        following = i + 1
        if table[i, 2] == WHOLE:
            _call(table[i, 0], table[i, 1], 0, 1)
        else:
            while following < len(table) and table[following, 2] == SPLIT_ALONG:
                following += 1
            for part in prange(parts):
                for entry in range(i, following):
                    _call(table[entry, 0], table[entry, 1], part, parts)
        i = following


def _address(array):
    return array.__array_interface__["data"][0]


class Arena:
    """Scratch memory that the calls of a program use one after the other; it grows to what the largest needs."""

    def __init__(self):
        self._blocks = []
        self._used = 0

    def take(self, size):
        """`size` bytes that begin on a cache line, valid until the next `reset`."""
        size = -(-size // CACHE_LINE) * CACHE_LINE
        if not self._blocks or self._used + size > self._blocks[-1].size:
            self._blocks.append(np.empty(max(2 * size, 1 << 16) + CACHE_LINE, np.uint8))
            self._used = -_address(self._blocks[-1]) % CACHE_LINE
        start, self._used = self._used, self._used + size
        return self._blocks[-1][start : self._used]

    def reset(self):
        self._used = -_address(self._blocks[-1]) % CACHE_LINE if self._blocks else 0


class Plan:
    """Kernel calls being put together: what the functions of the contract add their work to."""

    def __init__(self, arena):
        self.arena = arena
        self._entries = []
        self._words = []

    def add(self, kernel, arguments, work, along=False):
        """Adds a kernel with its arguments: integers, floats, arrays (their address is passed) or None (0).

        work is the number of element operations; along lets the kernel run beside the one added before it.
        """
        mode = WHOLE if work < SERIAL_WORK else SPLIT
        if along and mode == SPLIT and self._entries[-1][2] != WHOLE:
            mode = SPLIT_ALONG
        self._entries.append((kernel.address, len(self._words), mode))
        self._words.extend(map(_as_word, arguments))

    def scratch(self, shape, dtype=np.uint8):
        """An uninitialised array that lasts until the end of the call."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return self.arena.take(size)[:size].view(dtype).reshape(shape)

    def done(self):
        """The end of a call: what follows may use the same scratch memory."""
        self.arena.reset()

    def table(self):
        """(table, words): the words must live as long as the table is used."""
        words = np.array(self._words, np.int64)
        first = _address(words)
        rows = [(kernel, first + 8 * offset, mode) for kernel, offset, mode in self._entries]
        return np.array(rows, np.int64).reshape(-1, 3), words


def _as_word(argument):
    """An argument as the signed 64-bit integer that carries it."""
    if argument is None:
        return 0
    if isinstance(argument, np.ndarray):
        return _address(argument)
    if isinstance(argument, (float, np.floating)):
        return struct.unpack("q", struct.pack("d", argument))[0]
    argument = int(argument)
    return argument - (1 << 64) if argument >= 1 << 63 else argument


def run(table):
    if not table[:, 2].any():
        _run_whole(table)
        return
    parts = threads.count()
    if parts == 1:
        _run_whole(table)
    else:
        with threads.turn():
            _run_split(table, parts)


_local = threading.local()


def run_now(planner, arguments):
    """Plans one call and runs it, with scratch memory that this thread keeps."""
    if not hasattr(_local, "arena"):
        _local.arena = Arena()
    _local.arena.reset()
    plan = Plan(_local.arena)
    planner(plan, *arguments)
    table, _words = plan.table()
    run(table)


class CompiledProgram(Program):
    """A step as one table: replaying it is a single call."""

    def __init__(self, calls, planners):
        self.calls = tuple(calls)
        plan = Plan(Arena())
        for name, arguments in self.calls:
            planners[name](plan, *arguments)
            plan.done()
        self._table, self._words = plan.table()
        self._arena = plan.arena
        self._split = bool(self._table[:, 2].any())

    def __call__(self):
        run(self._table)

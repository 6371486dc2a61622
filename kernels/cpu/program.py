"""Running kernels: a program is a table of kernels, the arguments of each, and how it is run.

One Numba function walks the table, so a whole training step is one call from Python. A kernel that is split is cut into
more parts than there are threads. Each thread has a stretch of them, the same in every kernel, so that it finds in its
cache what it wrote there; a thread that has done its own takes those that another has not begun. On a shared machine a
core may lose half its speed for a millisecond: this way none waits for it. Who computes a part changes no number.
"""

import inspect
import itertools
import math
import time

import numpy as np
from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from .. import naive
from ..backend import Program
from . import threads
from .arguments import address_of
from .jit import cached, inline, njit
from .memory import int64_at
from .target import CACHE_LINE, PART_WORK, PARTS_OF_THREAD, SERIAL_WORK

# The columns of a table: address of the kernel, address of its arguments, how it is run, the number of parts, how many
# of them make up a thread's stretch, how many bytes behind one thread's arguments the next one's lie (0 if all have the
# same), and the address of an int64: the entry is skipped while that is 0.
KERNEL, ARGUMENTS, MODE, PARTS, TURNS, STRIDE, SWITCH = range(7)
_ALWAYS = np.ones(1, np.int64)
# How an entry is run: on one thread; in parts; in parts, without waiting for the entry before it.
WHOLE, SPLIT, SPLIT_ALONG = range(3)
_DENSE_BACKWARD = inspect.signature(naive.dense_backward)
_COUNTERS = CACHE_LINE // 8  # a counter has a cache line to itself


@intrinsic
def _call(typingctx, address, arguments, part, parts):
    def codegen(context, builder, signature, values):
        kernel = ir.FunctionType(ir.VoidType(), [ir.IntType(64)] * 3).as_pointer()
        builder.call(builder.inttoptr(values[0], kernel), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.intp] * 4), codegen


@intrinsic
def _next(typingctx, counter):
    """The value of the int64 at an address, which goes up by one; no two threads get the same."""

    def codegen(context, builder, signature, values):
        pointer = builder.inttoptr(values[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.intp(types.intp), codegen


@inline
def _first_part(parts, thread, count):
    return parts * thread // count


@inline
def piece(part, parts, turns):
    """(i, n): part is the i-th n-th of the kernel's work, where `turns` parts make up a thread's stretch.

    Each is half of what is left of its stretch, so that threads end at nearly the same time, and the last is as large
    as the one before it: two stretches of three parts are 0/4, 2/8, 3/8 and 2/4, 6/8, 7/8.
    """
    stretch, turn = part // turns, part % turns
    pieces = 1 << min(turn + 1, turns - 1)
    return stretch * pieces + pieces - (2 if turn < turns - 1 else 1), parts // turns * pieces


@inline
def _work(entry, counters, thread, count):
    """Computes parts of an entry until all are begun: first this thread's own, then those of the threads after it."""
    parts, arguments = entry[PARTS], entry[ARGUMENTS] + thread * entry[STRIDE]
    for offset in range(count):
        owner = (thread + offset) % count
        last = _first_part(parts, owner + 1, count)
        part = _next(counters + owner * CACHE_LINE)
        while part < last:
            _call(entry[KERNEL], arguments, *piece(part, parts, entry[TURNS]))
            part = _next(counters + owner * CACHE_LINE)


@cached
@njit(nogil=True, error_model="numpy")
def run_whole(table):
    for i in range(len(table)):
        if int64_at(table[i, SWITCH])[0]:
            _call(table[i, KERNEL], table[i, ARGUMENTS], 0, 1)


@cached
@njit(parallel=True, nogil=True, error_model="numpy")
def _run_split(table, counters, counters_address, count):
    line = counters.shape[1] * 8
    for i in range(len(table)):
        for thread in range(count):
            counters[i, thread * _COUNTERS] = _first_part(table[i, PARTS], thread, count)
    i = 0
    while i < len(table):
        following = i + 1
        if not int64_at(table[i, SWITCH])[0]:
            pass
        elif table[i, MODE] == WHOLE:
            _call(table[i, KERNEL], table[i, ARGUMENTS], 0, 1)
        else:
            while following < len(table) and table[following, MODE] == SPLIT_ALONG:
                following += 1
            for thread in prange(count):
                for entry in range(i, following):
                    if int64_at(table[entry, SWITCH])[0]:
                        _work(table[entry], counters_address + entry * line, thread, count)
        i = following


class Arena:
    """Scratch memory that the calls of a program use one after the other; it grows to what the largest needs."""

    def __init__(self):
        self._blocks = []
        self._address = self._used = 0

    def take(self, size):
        """`size` bytes that begin on a cache line, valid until the next `reset`."""
        first = self.take_address(size) - self._address
        return self._blocks[-1][first : first + size]

    def take_address(self, size):
        """The address of what `take` would give."""
        size = -(-size // CACHE_LINE) * CACHE_LINE
        if not self._blocks or self._used + size > self._blocks[-1].size:
            self._blocks.append(np.empty(max(2 * size, 1 << 16) + CACHE_LINE, np.uint8))
            self._address = address_of(self._blocks[-1])
            self.reset()
        start, self._used = self._used, self._used + size
        return self._address + start

    def reset(self):
        self._used = -self._address % CACHE_LINE


class Table:
    """Entries ready to run, and the memory behind their addresses."""

    def __init__(self, rows, words, most):
        self.most = most  # threads that it has room for
        self.rows = np.array(rows, np.int64).reshape(-1, 7)
        self._words = words
        self.is_split = any(row[MODE] for row in rows)
        if self.is_split:
            room = np.zeros(len(rows) * most * _COUNTERS + _COUNTERS, np.int64)
            start = -address_of(room) % CACHE_LINE // 8
            self._counters = room[start : start + room.size - _COUNTERS].reshape(len(rows), -1)
            self._counters_address = address_of(self._counters)

    def part(self, first, last):
        return Table(self.rows[first:last], self._words, self.most)

    def run(self, count=None):
        """Runs all entries in turn on `count` threads; by default on as many as a program may use now."""
        if self.is_split:
            count = min(self.most, threads.count() if count is None else count)
        if count == 1 or not self.is_split:
            run_whole(self.rows)
        else:
            with threads.turn(), threads.only(count):
                _run_split(self.rows, self._counters, self._counters_address, count)


class Plan:
    """Kernel calls being put together: what the functions of the contract add their work to.

    gates: {address of a gradient: ReLU's output y}, where the product that computes the gradient is to apply ReLU's
    backward pass as well.
    """

    def __init__(self, arena, gates=None):
        self.arena, self.most = arena, threads.most()
        self._gates = gates or {}
        self._entries = []
        self._words = []

    def __len__(self):
        return len(self._entries)

    def gate_of(self, gradient):
        return self._gates.get(address_of(gradient))

    def add(self, kernel, given, work, along=False, own_memory=0, most=PARTS_OF_THREAD, switch=_ALWAYS):
        """Adds a kernel and what it is given, {name: number, array (its address is passed) or None (0)}.

        work is the number of element operations; along lets the kernel run beside the one added before it. own_memory
        becomes an argument too: the address of so many bytes of scratch memory, other ones for each thread. It is cut
        into at most `most` parts for each thread, which get smaller: see `piece`. While the int64 in `switch` is 0, the
        kernel does not run; another one may set it, but none that it may run beside. Raises TypeError if an argument is
        missing or unknown.
        """
        mode, turns, stretches, copies = WHOLE, 1, 1, 1
        if work >= SERIAL_WORK:
            mode = SPLIT_ALONG if along and self._entries[-1][2] != WHOLE else SPLIT
            turns, stretches = min(-(-work // (PART_WORK * self.most)), most), self.most
            copies = self.most if own_memory else 1
        if own_memory:
            own_memory = -(-own_memory // CACHE_LINE) * CACHE_LINE
            given = given | {"own_memory": self.arena.take_address(own_memory * copies)}
        words, first = kernel.arguments.words(given), len(self._words)
        stride = 8 * len(words) * (copies > 1)
        self._entries.append((kernel.address, first, mode, turns * stretches, turns, stride, address_of(switch)))
        self._words.extend(words)
        for _ in range(1, copies):
            words[kernel.arguments.places["own_memory"]] += own_memory
            self._words.extend(words)

    def scratch(self, shape, dtype=np.uint8):
        """An uninitialised array that lasts until the end of the call."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return self.arena.take(size).view(dtype).reshape(shape)

    def done(self):
        """The end of a call: what follows may use the same scratch memory."""
        self.arena.reset()

    def table(self):
        """The entries as a Table; it is valid as long as the arrays and the arena are."""
        words = np.array(self._words, np.int64)
        first = address_of(words)
        rows = [
            (kernel, first + 8 * place, mode, parts, turns, stride, switch)
            for kernel, place, mode, parts, turns, stride, switch in self._entries
        ]
        return Table(rows, words, self.most)


def _gates(calls):
    """For `Plan`: the gradients that go from one layer straight into a ReLU layer, and that nothing else uses."""
    gates = {}
    for pair in itertools.pairwise(calls):
        if any(name != "dense_backward" for name, _ in pair):
            continue
        above, below = (_DENSE_BACKWARD.bind(*given).arguments for _, given in pair)
        users = sum(any(_overlap(above["dx"], array) for array in given) for _, given in calls)
        if above["dx"] is below["dy"] and below["activation"] == "relu" and users == 2:
            gates[address_of(above["dx"])] = below["y"]
    return gates


def _overlap(array, other):
    return isinstance(array, np.ndarray) and isinstance(other, np.ndarray) and np.may_share_memory(array, other)


class CompiledProgram(Program):
    """A step as one table: replaying it is a single call.

    Where a layer's dx goes straight into a ReLU layer, replaying leaves in it the gradient behind the ReLU.
    """

    def __init__(self, calls, planners):
        self.calls = tuple(calls)
        plan = Plan(Arena(), _gates(self.calls))
        self._ends = []
        for name, arguments in self.calls:
            planners[name](plan, *arguments)
            plan.done()
            self._ends.append(len(plan))
        self._table, self._pace = plan.table(), threads.Pace()
        self._arena = plan.arena

    def __call__(self):
        table = self._table
        if not table.is_split:
            table.run()
            return
        count, start = self._pace.count(threads.count()), time.perf_counter()
        table.run(count)
        self._pace.note(time.perf_counter() - start)

    def tables(self):
        """The entries of each call as a Table of its own: run in turn they do what the program does."""
        return [self._table.part(first, last) for first, last in zip([0, *self._ends], self._ends, strict=False)]

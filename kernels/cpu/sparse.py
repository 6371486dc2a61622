"""C = floor(init + A @ B) where most elements of A are zero, from lists of those that are not.

A is x, or x.T for the gradient of a weight. A part of the work goes over its rows of A block by block of the depth: it
finds the elements of each row that are not zero, and then adds, panel by panel of C, only their products. A list holds
places in its block, which are bytes. Where parts of one product would look through the same rows, as many as there are
panels, the lists of all blocks are made before.

Two neighbouring rows of A share one list, that of their union: each vector of B is then loaded once for two products,
and there are enough sums to hide the latency of each. Neighbouring columns of an image are mostly zero
together; of two rows, different examples, the union is half as long again as the list of one, and as fast.

An element of C is the chain of multiply-adds that the dense product makes, without those that add 0 * b: equal bit for
bit, unless b is infinite or NaN there, or the sum -0.0. Which of the two is run is decided by what x holds each time.
"""

import functools
from types import SimpleNamespace

import numpy as np

from .checks import real_of
from .jit import called, inline, kernel
from .matmul import ZEROS_BYTES, Matrix, at, plan_matmul, zeros_of
from .memory import int64_at, int64_vector, memory_of, share
from .micro import compress, count_bits, make_nonzero, make_tile, trailing_zeros
from .packing import packing_of
from .target import (
    COLLIDING,
    CUT_BY_ROWS_FROM,
    HAS_COMPRESS,
    LIST_BLOCK,
    LIST_VECTORS,
    LISTED_FROM,
    MOST_LISTED,
    MOST_LISTED_NARROW,
    PACK_LISTED_FROM,
    PROBED_ROWS,
    VECTOR_BYTES,
)

_ROWS_AT_ONCE = 128  # rows of A whose lists of one block are made before they are used
PANEL = LIST_VECTORS * VECTOR_BYTES
_WORD = 64  # elements that are looked through at once
_EVERY_DEPTH = np.arange(LIST_BLOCK, dtype=np.uint8)
_byte_vector = memory_of("uint8").vector


@functools.cache
def sparse_kernels(real_name):
    real, itemsize, vector, row_of = memory_of(real_name)
    tile = make_tile(itemsize, 2, LIST_VECTORS, listed=True)
    nonzero = make_nonzero(itemsize)
    lanes = VECTOR_BYTES // itemsize
    packing = packing_of(real_name, LIST_VECTORS)
    pack_rows, turn = packing.pack_rows, packing.turn
    minus_infinity, zero = real(-np.inf), real(0)

    @inline
    def write_each(bits, first, target):
        listed, found = _byte_vector(target, _WORD), 0
        while bits != 0:
            listed[found] = first + trailing_zeros(bits)
            bits &= bits - 1
            found += 1

    write = compress if HAS_COMPRESS else write_each

    @inline
    def list_nonzero(row, step, rows, depth, places):
        """Writes the places < depth at which one of the rows, `step` bytes apart, is not zero; returns how many."""
        count = 0
        for first in range(0, depth, _WORD):
            size = min(_WORD, depth - first)
            whole = size // lanes * lanes
            bits = 0
            for i in range(rows):
                start = row + i * step + first * itemsize
                for k in range(0, whole, lanes):
                    bits |= nonzero(start + k * itemsize) << k
                rest = vector(start, size)
                for k in range(whole, size):
                    bits |= np.int64(rest[k] != zero) << k
            write(bits, first, places + count)
            count += count_bits(bits)
        return count

    @kernel(real_name, "m k x places counts")
    def list_rows(given, part, parts):
        """The lists of all blocks of all pairs of rows, for a product whose parts are cut between columns."""
        blocks = -(-given.k // LIST_BLOCK)
        first, last = share(-(-given.m // 2), part, parts)
        for pair in range(first, last):
            rows = min(2, given.m - 2 * pair)
            for block in range(blocks):
                k0, k1 = share(given.k, block, blocks)
                row, at_list = given.x + (2 * pair * given.k + k0) * itemsize, pair * blocks + block
                found = list_nonzero(row, given.k * itemsize, rows, k1 - k0, given.places + at_list * LIST_BLOCK)
                int64_at(given.counts + 8 * at_list)[0] = found

    @called
    def add_panel(given, panel, block, begin, end, a, b, c, places, counts, zeros, so_far):
        """One panel of rows begin .. end - 1 of C, one block deeper; the lists of two rows each are `places`.

        so_far: where sums that are not done are kept; or, if its address is 0, in C itself.
        """
        n, k, blocks = given.n, given.k, -(-given.k // LIST_BLOCK)
        k0, k1 = share(k, block, blocks)
        depth, floor = k1 - k0, zero if given.relu and block == blocks - 1 else minus_infinity
        vectors = -(-n // lanes)
        v0, v1 = share(vectors, panel, -(-vectors // LIST_VECTORS))
        j, width = v0 * lanes, min(n, v1 * lanes) - v0 * lanes
        edge = width - (v1 - v0 - 1) * lanes
        right = at(b, k0, j)
        # many rows read a copy; the gradient of a weight reads what lies in the second-level cache, unless it collides
        if end - begin >= PACK_LISTED_FROM and (not given.transposed or b.row % COLLIDING == 0):
            right = Matrix(given.own_memory, PANEL, 0)
            pack_rows(at(b, k0, j).address, b.row, depth, width, right.address)
        if given.sums and begin == 0:
            one, every = Matrix(given.zeros + ZEROS_BYTES, 0, 0), Matrix(given.every_depth, 0, 0)
            sums = Matrix(given.sums + j * itemsize, 0, 0)
            tile(1, v1 - v0, edge, one, right, every, sums if block else zeros, sums, depth, minus_infinity)
        before = so_far if so_far.address else at(c, begin, j)
        after = at(c, begin, j) if block == blocks - 1 else before
        if block == 0:
            before = Matrix(given.bias + j * itemsize, 0, 0) if given.bias else zeros
        for i in range(begin, end, 2):
            start, into, pair = at(before, i - begin, 0), at(after, i - begin, 0), (i - begin) // 2
            listed, count = at(places, pair, 0), int64_at(at(counts, pair, 0).address)[0]
            tile(min(2, end - i), v1 - v0, edge, at(a, i - begin, 0), right, listed, start, into, count, floor)

    @kernel(real_name, "m n k x transposed b c bias relu sums zeros every_depth places counts own_memory")
    def listed_matmul(given, part, parts):
        m, n, k = given.m, given.n, given.k
        b, c = Matrix(given.b, n * itemsize, itemsize), Matrix(given.c, n * itemsize, itemsize)
        zeros, nowhere = Matrix(given.zeros, 0, 0), Matrix(0, 0, 0)
        unit, x_row = (lanes, m * itemsize) if given.transposed else (2, k * itemsize)
        blocks, panels = -(-k // LIST_BLOCK), -(-n // (LIST_VECTORS * lanes))
        if given.places:  # the lists are made: stretches of rows, panel after panel
            # rows of C may share a cache line with another panel, which would go to and fro between the cores
            pairs, so_far = -(-m // 2), Matrix(given.own_memory + LIST_BLOCK * PANEL, PANEL, itemsize)
            first, last = share(pairs * panels, part, parts)
            for panel in range(first // pairs, -(-last // pairs)):
                begin, end = 2 * max(first - panel * pairs, 0), min(2 * (last - panel * pairs), m)
                for block in range(blocks):
                    at_list = begin // 2 * blocks + block
                    places = Matrix(given.places + at_list * LIST_BLOCK, blocks * LIST_BLOCK, 0)
                    counts = Matrix(given.counts + at_list * 8, blocks * 8, 0)
                    a = Matrix(given.x + begin * x_row + share(k, block, blocks)[0] * itemsize, x_row, itemsize)
                    add_panel(given, panel, block, begin, end, a, b, c, places, counts, zeros, so_far)
            return
        counts = Matrix(given.own_memory + LIST_BLOCK * PANEL, 8, 0)
        places = Matrix(counts.address + 8 * _ROWS_AT_ONCE, LIST_BLOCK, 0)
        turned = Matrix(places.address + _ROWS_AT_ONCE * LIST_BLOCK, LIST_BLOCK * itemsize, itemsize)
        first, last = share(-(-m // unit), part, parts)
        for begin in range(first * unit, min(last * unit, m), _ROWS_AT_ONCE):
            end = min(begin + _ROWS_AT_ONCE, last * unit, m)
            for block in range(blocks):
                k0, k1 = share(k, block, blocks)
                a = Matrix(given.x + begin * x_row + k0 * itemsize, x_row, itemsize)
                if given.transposed:
                    turn(given.x + k0 * x_row + begin * itemsize, x_row, k1 - k0, end - begin, turned.address)
                    a = turned
                for i in range(begin, end, 2):
                    row, rows, pair = at(a, i - begin, 0).address, min(2, end - i), (i - begin) // 2
                    found = list_nonzero(row, a.row, rows, k1 - k0, at(places, pair, 0).address)
                    int64_at(at(counts, pair, 0).address)[0] = found
                for panel in range(panels):
                    add_panel(given, panel, block, begin, end, a, b, c, places, counts, zeros, nowhere)

    @kernel(real_name, "rows columns x switches", floats="most")
    def probe(given, part, parts):
        """Sets the first of two switches if few elements of x are not zero, as some of its rows show, or the other."""
        probed = min(given.rows, PROBED_ROWS)
        found = 0
        for i in range(probed):
            row = row_of(given.x, i * given.rows // probed, given.columns)
            for j in range(given.columns):
                found += row[j] != zero
        switches = int64_vector(given.switches, 2)
        switches[0] = found <= given.most * probed * given.columns
        switches[1] = 1 - switches[0]

    return SimpleNamespace(list_rows=list_rows, listed_matmul=listed_matmul, probe=probe)


def plan_product(plan, x, b, c, *, a_transposed=False, bias=None, relu=False, sums=None):
    """`plan_matmul` for an A that is the input of a layer: from lists, while most of it is zero."""
    (m, n), k = c.shape, len(b)
    how = {"a_transposed": a_transposed, "bias": bias, "relu": relu, "sums": sums}
    if m * n * k < LISTED_FROM:
        plan_matmul(plan, x, b, c, **how)
        return
    real_name = real_of("c", c)
    kernels = sparse_kernels(real_name)
    switches = plan.scratch((2,), np.int64)
    most = MOST_LISTED if n * c.itemsize >= PANEL else MOST_LISTED_NARROW
    given = {"rows": x.shape[0], "columns": x.shape[1], "x": x, "switches": switches, "most": most}
    plan.add(kernels.probe, given, work=0)
    places, counts, memory = None, None, _ROWS_AT_ONCE * (8 + LIST_BLOCK * (1 + c.itemsize))
    if not a_transposed and m < CUT_BY_ROWS_FROM:
        lists = -(-m // 2) * -(-k // LIST_BLOCK)
        places, counts, memory = plan.scratch((lists, LIST_BLOCK)), plan.scratch((lists,), np.int64), m * PANEL
        given = {"m": m, "k": k, "x": x, "places": places, "counts": counts}
        plan.add(kernels.list_rows, given, work=2 * x.size, switch=switches[:1])
    given = {"m": m, "n": n, "k": k, "x": x, "transposed": a_transposed, "b": b, "c": c, "bias": bias, "relu": relu}
    given |= {"sums": sums, "zeros": zeros_of(real_name), "every_depth": _EVERY_DEPTH}
    given |= {"places": places, "counts": counts}
    plan.add(
        kernels.listed_matmul, given, work=m * n * k // 8, own_memory=LIST_BLOCK * PANEL + memory, switch=switches[:1]
    )
    plan_matmul(plan, x, b, c, **how, along=True, switch=switches[1:])

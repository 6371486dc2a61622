"""C = floor(init + A @ B) for matrices of any size, or their transposes: the blocking around the micro-kernel.

C is cut into panels of columns and each panel into tiles of rows whose heights differ by at most one. A part of the
work is a stretch of tiles, panel after panel, of the same total cost as every other; if A has many rows, or is a
transpose and C not much wider than high, it is a stretch of rows through all panels. An element of C is the same chain
of multiply-adds whichever part and whichever tile it is in, so the result does not depend on the number of parts.

A panel of B is copied into consecutive memory first if enough tiles will read it: in place its rows lie on different
pages. If A is a transpose, its columns are gathered tile by tile for the same reason, once for all panels, and so are
rows that would push each other out of the cache. If a part has several blocks of rows, all of them use one copy of B.
"""

import functools
from typing import NamedTuple

import numpy as np

from .checks import real_of
from .jit import inline, kernel, written_out
from .memory import memory_of, share
from .micro import make_tile
from .packing import PANEL_BYTES, packing_of, row_of_copy
from .program import Arena, Plan
from .target import (
    COLLIDING,
    CUT_BY_ROWS_FROM,
    DEPTH_BLOCK,
    LIST_VECTORS,
    PACK_FROM,
    PAGE,
    PARTS_BY_ROWS,
    PARTS_OF_THREAD,
    ROW_BLOCK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
)

ZEROS_BYTES = max(TILE_VECTORS, LIST_VECTORS) * VECTOR_BYTES
_ROW_TILES_IN_BLOCK = ROW_BLOCK // TILE_ROWS


class Matrix(NamedTuple):
    """Where a matrix lies: its address, and the bytes from one row and from one column to the next."""

    address: int
    row: int
    column: int


class Tiles(NamedTuple):
    """The tiles of a matrix: where they are, or, if step is not 0, copied so many bytes apart from tile `first` on."""

    address: int
    row: int
    column: int
    step: int
    first: int


@inline
def at(matrix, i, j):
    """The part of a matrix that begins in row i and column j."""
    return Matrix(matrix.address + i * matrix.row + j * matrix.column, matrix.row, matrix.column)


@functools.cache
def zeros_of(real_name):
    """A row of zeros for the widest panel, with a one behind it."""
    real, itemsize, _, _ = memory_of(real_name)
    return np.append(np.zeros(ZEROS_BYTES // itemsize, real), real(1))


@functools.cache
def matmul_kernel(real_name):
    real, itemsize, vector, _ = memory_of(real_name)
    tile = make_tile(itemsize)
    packing = packing_of(real_name)
    panel_start, pack_all, pack_rows = packing.panel_start, packing.pack_all, packing.pack_rows
    pack_transposed, pack_columns = packing.pack_transposed, packing.pack_columns
    copy_rows, copied_row = packing.copy_rows, packing.row_of_copy
    lanes = VECTOR_BYTES // itemsize
    columns = TILE_VECTORS * lanes
    minus_infinity = real(-np.inf)
    zero = real(0)

    @inline
    def tile_cost(panel, panels, vectors):
        """What a tile of this panel costs: its products, and the broadcasts that do not get fewer with its vectors."""
        return 2 * (panel_start(panel + 1, panels, vectors) - panel_start(panel, panels, vectors)) + 1

    @inline
    def first_tile(part, parts, row_tiles, panels, vectors):
        """The tile at which a part begins: equal shares of the cost. A panel is copied at the cost of one more tile."""
        total = 0
        for panel in range(panels):
            total += (row_tiles + 1) * tile_cost(panel, panels, vectors)
        cost = total * part // parts
        for panel in range(panels):
            one = tile_cost(panel, panels, vectors)
            if cost < (row_tiles + 1) * one:
                return panel * row_tiles + min(cost // one, row_tiles)
            cost -= (row_tiles + 1) * one
        return panels * row_tiles

    @written_out
    def stretch(part, parts, row_tiles, n, by_rows):
        """(first and last row of tiles, first and last tile) of a part: rows of all panels, or tiles panel by panel."""
        panels, vectors = -(-n // columns), -(-n // lanes)
        if by_rows:
            first_row, last_row = share(row_tiles, part, parts)
            return first_row, last_row, 0, row_tiles * panels
        first = first_tile(part, parts, row_tiles, panels, vectors)
        return 0, row_tiles, first, first_tile(part + 1, parts, row_tiles, panels, vectors)

    @inline
    def columns_of(panel, n):
        """(first column, columns, vectors, columns in the last vector) of a panel of n columns in all."""
        panels, vectors = -(-n // columns), -(-n // lanes)
        start = panel_start(panel, panels, vectors)
        own = panel_start(panel + 1, panels, vectors) - start
        width = min(n - start * lanes, own * lanes)
        return start * lanes, width, own, width - (own - 1) * lanes

    @written_out
    def copy_tiles(a, a_transposed, m, begin, end, depth, memory):
        """Tiles begin .. end - 1 of A (m, depth), copied into memory: as columns, where A is a transpose."""
        row = copied_row(depth, itemsize)
        step = TILE_ROWS * row
        for t in range(begin, end):
            i0, i1 = share(m, t, -(-m // TILE_ROWS))
            source, copy = at(a, i0, 0).address, memory + (t - begin) * step
            if a_transposed:
                pack_columns(source, a.column, depth, i1 - i0, copy)
            else:
                copy_rows(source, a.row, depth, i1 - i0, copy, row)
        if a_transposed:
            return Tiles(memory, itemsize, TILE_ROWS * itemsize, step, begin)
        return Tiles(memory, row, itemsize, step, begin)

    @written_out
    def tile_of(tiles, t, i0):
        """Tile t, which begins in row i0."""
        if tiles.step:
            return Matrix(tiles.address + (t - tiles.first) * tiles.step, tiles.row, tiles.column)
        return at(tiles, i0, 0)

    @written_out
    def panel_of(b, b_transposed, n, j, width, depth, tiles, memory):
        """A panel of B (depth, n), in memory unless so few tiles need it that a copy would cost more; and the next one,
        of which each of the first tiles fetches a vector of every row.
        """
        source, copy = at(b, 0, j), Matrix(memory, PANEL_BYTES, 0)
        if b_transposed:
            pack_transposed(source.address, b.column, depth, width, memory)
            return copy, Matrix(memory, 0, VECTOR_BYTES)
        ahead = Matrix(at(b, 0, min(j + columns, n - 1)).address, b.row, VECTOR_BYTES)
        if tiles >= PACK_FROM or width % lanes:
            pack_rows(source.address, b.row, depth, width, memory)
            return copy, ahead
        return Matrix(source.address, b.row, 0), ahead

    @inline
    def close(gate, c, height, width):
        """c = 0 where the gate is not open, for a tile that was just computed and is still in the nearest cache."""
        for i in range(height):
            open_, values = vector(gate + i * c.row, width), vector(c.address + i * c.row, width)
            for j in range(width):
                values[j] = values[j] if open_[j] > zero else zero

    @written_out
    def multiply(begin, end, m, a, b, ahead, start, c, vectors, edge, depth, floor, gate):
        """Tiles begin .. end - 1 of a panel of C. gate: bytes from an element of C to its gate, or 0."""
        for t in range(begin, end):
            i0, i1 = share(m, t, -(-m // TILE_ROWS))
            fetched = at(ahead, 0, t - begin) if t - begin < TILE_VECTORS else Matrix(b.address, 0, 0)
            into = at(c, i0, 0)
            tile(i1 - i0, vectors, edge, tile_of(a, t, i0), b, fetched, at(start, i0, 0), into, depth, floor)
            if gate:
                close(into.address + gate, into, i1 - i0, (vectors - 1) * lanes + edge)

    @kernel(real_name, "m n k a a_transposed b b_transposed c bias relu sums zeros gate by_rows own_memory")
    def matmul(given, part, parts):
        m, n, k = given.m, given.n, given.k
        a_transposed, b_transposed = given.a_transposed, given.b_transposed
        a = Matrix(given.a, itemsize, m * itemsize) if a_transposed else Matrix(given.a, k * itemsize, itemsize)
        b = Matrix(given.b, itemsize, k * itemsize) if b_transposed else Matrix(given.b, n * itemsize, itemsize)
        c, sums = Matrix(given.c, n * itemsize, itemsize), Matrix(given.sums, 0, itemsize)
        zeros, one = Matrix(given.zeros, 0, 0), Matrix(given.zeros + ZEROS_BYTES, 0, 0)

        row_tiles = -(-m // TILE_ROWS)
        first_row, last_row, first, last = stretch(part, parts, row_tiles, n, given.by_rows)
        copy_a = last - first > row_tiles and (a_transposed or (given.by_rows and a.row % COLLIDING == 0))
        all_at_once = given.by_rows and not b_transposed and b.row >= PAGE
        keep = all_at_once or (given.by_rows and last_row - first_row > _ROW_TILES_IN_BLOCK)
        blocks = -(-k // DEPTH_BLOCK)
        for block in range(blocks):
            k0, k1 = share(k, block, blocks)
            depth, is_last = k1 - k0, block == blocks - 1
            floor = zero if given.relu and is_last else minus_infinity
            gate = given.gate - given.c if given.gate and is_last else 0
            start, sums_start = c, sums
            if block == 0:
                start, sums_start = Matrix(given.bias, 0, itemsize) if given.bias else zeros, zeros
            step = depth * PANEL_BYTES if keep else 0
            copies = given.own_memory + max(-(-n // columns) * step, depth * PANEL_BYTES)
            if all_at_once:
                pack_all(at(b, k0, 0).address, b.row, depth, n, given.own_memory)
            for block_tile in range(first_row, last_row, _ROW_TILES_IN_BLOCK):
                block_end = min(block_tile + _ROW_TILES_IN_BLOCK, last_row)
                tiles = Tiles(at(a, 0, k0).address, a.row, a.column, 0, 0)
                if copy_a:
                    tiles = copy_tiles(at(a, 0, k0), a_transposed, m, block_tile, block_end, depth, copies)
                for panel in range(first // row_tiles, -(-last // row_tiles)):
                    begin, end = max(first - panel * row_tiles, block_tile), min(last - panel * row_tiles, block_end)
                    if begin >= end:
                        continue
                    j, width, vectors, edge = columns_of(panel, n)
                    memory = given.own_memory + panel * step
                    right, ahead = Matrix(memory, PANEL_BYTES, 0), Matrix(memory + step, PANEL_BYTES, VECTOR_BYTES)
                    if not all_at_once and (not keep or block_tile == first_row):
                        right, ahead = panel_of(at(b, k0, 0), b_transposed, n, j, width, depth, end - begin, memory)
                    before, after = at(start, 0, j), at(c, 0, j)
                    if given.sums and begin == 0:
                        first_sum, sum_, still = at(sums_start, 0, j), at(sums, 0, j), Matrix(right.address, 0, 0)
                        tile(1, vectors, edge, one, right, still, first_sum, sum_, depth, minus_infinity)
                    multiply(begin, end, m, tiles, right, ahead, before, after, vectors, edge, depth, floor, gate)

    return matmul


def plan_matmul(
    plan, a, b, c, *, a_transposed=False, b_transposed=False, bias=None, relu=False, gate=None, sums=None, **how
):
    """Adds c (m, n) = a @ b to a plan, plus a bias and clamped at zero if asked. All arrays are C-contiguous.

    a_transposed and b_transposed say that a.T or b.T takes the place of a or b. gate (m, n), if given, sets c to zero
    where it is not above zero: the backward pass of ReLU. sums (n,), if given, becomes the sums of b's columns.
    `how` is for `Plan.add`.
    """
    (m, n), k = c.shape, b.shape[1 if b_transposed else 0]
    depth = min(k, DEPTH_BLOCK)
    by_rows = 2 * m >= n if a_transposed else m >= CUT_BY_ROWS_FROM
    memory = depth * PANEL_BYTES
    if by_rows:
        memory *= -(-n * c.itemsize // PANEL_BYTES)
    if by_rows or a_transposed:
        memory += row_of_copy(depth, c.itemsize) * TILE_ROWS * min(-(-m // TILE_ROWS), _ROW_TILES_IN_BLOCK)
    real_name, most = real_of("c", c), PARTS_BY_ROWS if by_rows else PARTS_OF_THREAD
    given = {"m": m, "n": n, "k": k, "a": a, "a_transposed": a_transposed, "b": b, "b_transposed": b_transposed, "c": c}
    given |= {"bias": bias, "relu": relu, "sums": sums, "zeros": zeros_of(real_name), "gate": gate, "by_rows": by_rows}
    plan.add(matmul_kernel(real_name), given, work=m * n * k // 8, own_memory=memory, most=most, **how)


def product_program(a, b, c, form):
    """A function that computes c = a @ b, for measurements; form "transposed a" or "transposed b" says that this one
    is stored as its transpose.
    """
    plan = Plan(Arena())
    plan_matmul(plan, a, b, c, a_transposed=form == "transposed a", b_transposed=form == "transposed b")
    table = plan.table()
    return lambda _keep=(a, b, c, plan): table.run()

"""C = floor(init + A @ B) for matrices of any size and strides: the blocking around the micro-kernel.

C is cut into panels of columns and each panel into tiles of rows whose heights differ by at most one. A part of the
work is a stretch of tiles, panel after panel, of the same total cost as every other; if A has many rows, or is a
transpose and C not much wider than high, it is a stretch of rows through all panels. An element of C is the same chain
of multiply-adds whichever part and whichever tile it is in, so the result does not depend on the number of parts.

A panel of B is copied into consecutive memory first if enough tiles will read it: in place its rows lie on different
pages. If A is a transpose, its columns are gathered tile by tile for the same reason, once for all panels, and so are
rows that would push each other out of the cache. If a part has several blocks of rows, all of them use one copy of B.
"""

import functools

import numpy as np

from .jit import inline, kernel
from .memory import memory_of, share
from .micro import make_tile
from .packing import PANEL_BYTES, packing_of, row_of_copy
from .program import Arena, Plan
from .target import (
    COLLIDING,
    CUT_BY_ROWS_FROM,
    DEPTH_BLOCK,
    PACK_FROM,
    PAGE,
    PARTS_BY_ROWS,
    PARTS_OF_THREAD,
    ROW_BLOCK,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
)

_ROW_TILES_IN_BLOCK = ROW_BLOCK // TILE_ROWS


@functools.cache
def constants_of(real_name):
    """A panel's row of zeros, with a one behind it."""
    real, itemsize, _, _ = memory_of(real_name)
    return np.append(np.zeros(PANEL_BYTES // itemsize, real), real(1))


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
    def close(gate, c, row_bytes, height, width):
        """c = 0 where the gate is not open, for a tile that was just computed and is still in the nearest cache."""
        for i in range(height):
            open_, values = vector(gate + i * row_bytes, width), vector(c + i * row_bytes, width)
            for j in range(width):
                values[j] = values[j] if open_[j] > zero else zero

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

    @kernel(real_name)
    def matmul(
        part,
        parts,
        m,
        n,
        k,
        a,
        a_transposed,
        b,
        b_transposed,
        c,
        bias,
        relu,
        sums,
        constants,
        gate,
        by_rows,
        own_memory,
    ):
        a_row, a_col = (itemsize, m * itemsize) if a_transposed else (k * itemsize, itemsize)
        b_row, c_row = (k if b_transposed else n) * itemsize, n * itemsize
        last_floor, one = zero if relu else minus_infinity, constants + PANEL_BYTES
        panel_memory = own_memory
        row_tiles, panels, all_vectors = -(-m // TILE_ROWS), -(-n // columns), -(-n // lanes)
        first_row, last_row, first, last = 0, row_tiles, 0, row_tiles * panels
        if by_rows:
            first_row, last_row = share(row_tiles, part, parts)
        else:
            first = first_tile(part, parts, row_tiles, panels, all_vectors)
            last = first_tile(part + 1, parts, row_tiles, panels, all_vectors)
        pack_a = last - first > row_tiles and (a_col != itemsize or (by_rows and a_row % COLLIDING == 0))
        all_at_once = by_rows and not b_transposed and b_row >= PAGE
        keep = all_at_once or (by_rows and last_row - first_row > _ROW_TILES_IN_BLOCK)
        depth_blocks = -(-k // DEPTH_BLOCK)
        for block in range(depth_blocks):
            k0, k1 = share(k, block, depth_blocks)
            depth = k1 - k0
            floor = last_floor if block == depth_blocks - 1 else minus_infinity
            panel_step = depth * PANEL_BYTES if keep else 0
            a_memory = panel_memory + max(panels * panel_step, depth * PANEL_BYTES)
            if all_at_once:
                pack_all(b + k0 * b_row, b_row, depth, n, panel_memory)
            a_copy_row = copied_row(depth, itemsize)
            a_tile_row, a_tile_col = a_row, a_col
            if pack_a and a_col == itemsize:
                a_tile_row = a_copy_row
            elif pack_a:
                a_tile_row, a_tile_col = itemsize, TILE_ROWS * itemsize
            for block_tile in range(first_row, last_row, _ROW_TILES_IN_BLOCK):
                block_end = min(block_tile + _ROW_TILES_IN_BLOCK, last_row)
                if pack_a:
                    for t in range(block_tile, block_end):
                        i0, i1 = share(m, t, row_tiles)
                        corner, copy = a + i0 * a_row + k0 * a_col, a_memory + (t - block_tile) * TILE_ROWS * a_copy_row
                        if a_col == itemsize:
                            copy_rows(corner, a_row, depth, i1 - i0, copy, a_copy_row)
                        else:
                            pack_columns(corner, a_col, depth, i1 - i0, copy)
                for panel in range(first // row_tiles, -(-last // row_tiles)):
                    begin = max(first - panel * row_tiles, block_tile)
                    end = min(last - panel * row_tiles, block_end)
                    if begin >= end:
                        continue
                    start_vector = panel_start(panel, panels, all_vectors)
                    vectors = panel_start(panel + 1, panels, all_vectors) - start_vector
                    j = start_vector * lanes
                    width = min(n - j, vectors * lanes)
                    edge = width - (vectors - 1) * lanes
                    b_panel, b_panel_row = panel_memory + panel * panel_step, PANEL_BYTES
                    is_packed = all_at_once or (keep and block_tile > first_row)
                    if not is_packed:
                        if b_transposed:
                            pack_transposed(b + j * b_row + k0 * itemsize, b_row, depth, width, b_panel)
                        elif end - begin >= PACK_FROM or edge < lanes:
                            pack_rows(b + k0 * b_row + j * itemsize, b_row, depth, width, b_panel)
                        else:
                            b_panel, b_panel_row = b + k0 * b_row + j * itemsize, b_row
                    if sums != 0 and begin == 0:
                        into = sums + j * itemsize
                        start = constants if block == 0 else into
                        tile(
                            1, vectors, edge, one, 0, 0, b_panel, b_panel_row, b_panel, 0,
                            start, 0, into, 0, depth, minus_infinity,
                        )  # fmt: skip
                    # the first tiles fetch the next panel, a vector of each of its rows each
                    following, following_row = b_panel, 0
                    if is_packed:
                        following, following_row = b_panel + panel_step, PANEL_BYTES
                    elif not b_transposed:
                        following, following_row = b + k0 * b_row + min(j + columns, n - 1) * itemsize, b_row
                    for t in range(begin, end):
                        ahead, ahead_row = b_panel, 0
                        if t - begin < TILE_VECTORS:
                            ahead, ahead_row = following + (t - begin) * VECTOR_BYTES, following_row
                        i0, i1 = share(m, t, row_tiles)
                        into = c + i0 * c_row + j * itemsize
                        start, start_row = into, c_row
                        if block == 0:
                            start, start_row = bias + j * itemsize if bias != 0 else constants, 0
                        a_tile = a + i0 * a_row + k0 * a_col
                        if pack_a:
                            a_tile = a_memory + (t - block_tile) * TILE_ROWS * a_copy_row
                        tile(
                            i1 - i0, vectors, edge, a_tile, a_tile_row, a_tile_col, b_panel, b_panel_row,
                            ahead, ahead_row, start, start_row, into, c_row, depth, floor,
                        )  # fmt: skip
                        if gate != 0 and block == depth_blocks - 1:
                            close(gate + (into - c), into, c_row, i1 - i0, width)

    return matmul


def plan_matmul(
    plan, a, b, c, *, a_transposed=False, b_transposed=False, bias=None, relu=False, gate=None, sums=None, along=False
):
    """Adds c (m, n) = a @ b to a plan, plus a bias and clamped at zero if asked. All arrays are C-contiguous.

    a_transposed and b_transposed say that a.T or b.T takes the place of a or b. gate (m, n), if given, sets c to zero
    where it is not above zero: the backward pass of ReLU. sums (n,), if given, becomes the sums of b's columns.
    """
    (m, n), k = c.shape, b.shape[1 if b_transposed else 0]
    depth = min(k, DEPTH_BLOCK)
    by_rows = 2 * m >= n if a_transposed else m >= CUT_BY_ROWS_FROM
    memory = depth * PANEL_BYTES
    if by_rows:
        memory *= -(-n * c.itemsize // PANEL_BYTES)
    if by_rows or a_transposed:
        memory += row_of_copy(depth, c.itemsize) * TILE_ROWS * min(-(-m // TILE_ROWS), _ROW_TILES_IN_BLOCK)
    real_name, most = c.dtype.name, PARTS_BY_ROWS if by_rows else PARTS_OF_THREAD
    matrices = {"a": a, "a_transposed": a_transposed, "b": b, "b_transposed": b_transposed, "c": c, "gate": gate}
    vectors = {"bias": bias, "sums": sums, "constants": constants_of(real_name)}
    numbers = {"m": m, "n": n, "k": k, "relu": relu, "by_rows": by_rows}
    run = {"work": m * n * k // 8, "along": along, "own_memory": memory, "most": most}
    plan.add(matmul_kernel(real_name), **run, **numbers, **matrices, **vectors)


def product_program(a, b, c, form):
    """A function that computes c = a @ b, for measurements; form "transposed a" or "transposed b" says that this one
    is stored as its transpose.
    """
    plan = Plan(Arena())
    plan_matmul(plan, a, b, c, a_transposed=form == "transposed a", b_transposed=form == "transposed b")
    table = plan.table()
    return lambda _keep=(a, b, c, plan): table.run()

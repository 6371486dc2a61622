"""Copies of what a matrix product reads many times: panels of B and tiles of A in consecutive memory."""

import functools
from types import SimpleNamespace

from .jit import inline
from .memory import memory_of
from .micro import make_move, make_transpose
from .target import CACHE_LINE, LIST_BLOCK, TILE_ROWS, TILE_VECTORS, VECTOR_BYTES

PANEL_BYTES = TILE_VECTORS * VECTOR_BYTES  # a row of a panel


def row_of_copy(depth, itemsize):
    """Bytes from one row of a copied tile of A to the next: not a power of two, whose multiples share cache sets."""
    return -(-depth * itemsize // CACHE_LINE) * CACHE_LINE + CACHE_LINE


@functools.cache
def packing_of(real_name, panel_vectors=TILE_VECTORS):
    """The functions below for one dtype and panels of so many vectors. Addresses and distances are in bytes."""
    real, itemsize, vector, row_of = memory_of(real_name)
    transpose = make_transpose(itemsize)
    move_row = make_move(itemsize, VECTOR_BYTES // itemsize, panel_vectors)
    move_vector = make_move(itemsize, VECTOR_BYTES // itemsize, 1)
    move_column = make_move(itemsize, TILE_ROWS, 1)
    lanes = VECTOR_BYTES // itemsize
    columns, panel_bytes = panel_vectors * lanes, panel_vectors * VECTOR_BYTES
    zero = real(0)

    @inline
    def pack_rows(source, source_row, depth, width, target):
        """target (depth, columns) = source (depth, width), and zeros up to a whole vector."""
        if width == columns:
            for k in range(depth):
                move_row(source + k * source_row, target + k * panel_bytes)
            return
        whole = width // lanes
        for k in range(depth):
            row, packed = source + k * source_row, target + k * panel_bytes
            for v in range(whole):
                move_vector(row + v * VECTOR_BYTES, packed + v * VECTOR_BYTES)
            if whole * lanes < width:
                rest, edge = vector(row + whole * VECTOR_BYTES, lanes), vector(packed + whole * VECTOR_BYTES, lanes)
                for j in range(lanes):
                    edge[j] = rest[j] if j < width - whole * lanes else zero

    @inline
    def panel_start(panel, panels, vectors):
        """The first vector of a panel. All have panel_vectors, but a last one of a single vector, whose tiles have too
        few sums to keep the multipliers busy, takes one from its neighbour.
        """
        start = panel * panel_vectors
        if panel == panels:
            return vectors
        if panel == panels - 1 and panel > 0 and vectors - start == 1:
            return start - 1
        return start

    @inline
    def pack_all(source, source_row, depth, n, target):
        """All panels of source (depth, n), one behind the other.

        Row by row, for rows so long that those of one panel lie on different pages; the last panels may be narrower.
        """
        panels, vectors = -(-n // columns), -(-n // lanes)
        whole = n // columns  # one of these may give its last vector to the last panel, and has it copied all the same
        for k in range(depth):
            row, packed = source + k * source_row, target + k * panel_bytes
            for panel in range(whole):
                move_row(row + panel * panel_bytes, packed + panel * depth * panel_bytes)
        for panel in range(whole, panels):
            start, end = panel_start(panel, panels, vectors), panel_start(panel + 1, panels, vectors)
            width = min(n, end * lanes) - start * lanes
            pack_rows(source + start * VECTOR_BYTES, source_row, depth, width, target + panel * depth * panel_bytes)

    @inline
    def pack_transposed(source, source_row, depth, width, target):
        """target (depth, columns) = source (width, depth) transposed, and zeros up to a whole vector."""
        whole = depth // lanes * lanes
        for j in range(0, width, lanes):
            done = 0
            if j + lanes <= width:
                for k in range(0, whole, lanes):
                    corner = target + k * panel_bytes + j * itemsize
                    transpose(source + j * source_row + k * itemsize, source_row, corner, panel_bytes)
                done = whole
            for i in range(j, j + lanes):
                packed = vector(target + i * itemsize, depth * columns)
                if i < width:
                    row = vector(source + i * source_row, depth)
                    for k in range(done, depth):
                        packed[k * columns] = row[k]
                else:
                    for k in range(done, depth):
                        packed[k * columns] = zero

    @inline
    def pack_columns(source, source_column, depth, height, target):
        """target (depth, TILE_ROWS) = source (height, depth) transposed, for a source whose columns are consecutive."""
        if height == TILE_ROWS:
            for k in range(depth):
                move_column(source + k * source_column, target + k * TILE_ROWS * itemsize)
            return
        for k in range(depth):
            column = vector(source + k * source_column, height)
            packed = vector(target + k * TILE_ROWS * itemsize, height)
            for i in range(height):
                packed[i] = column[i]

    @inline
    def copy_rows(source, source_row, depth, height, target, target_row):
        """target (height, depth) = source (height, depth), whose rows lie further apart."""
        whole = depth // columns
        for i in range(height):
            row, copied = source + i * source_row, target + i * target_row
            for v in range(whole):
                move_row(row + v * panel_bytes, copied + v * panel_bytes)
            rest, copy = vector(row, depth), vector(copied, depth)
            for k in range(whole * columns, depth):
                copy[k] = rest[k]

    @inline
    def turn(x, x_row, rows, columns, turned):
        """turned (columns, LIST_BLOCK) = x (rows, columns) transposed, for at most LIST_BLOCK rows."""
        whole = rows // lanes * lanes
        for j in range(0, columns, lanes):
            done = 0
            if j + lanes <= columns:
                done = whole
                for i in range(0, whole, lanes):
                    corner = turned + (j * LIST_BLOCK + i) * itemsize
                    transpose(x + i * x_row + j * itemsize, x_row, corner, LIST_BLOCK * itemsize)
            for i in range(done, rows):
                source = vector(x + i * x_row, columns)
                for column in range(j, min(j + lanes, columns)):
                    row_of(turned, column, LIST_BLOCK)[i] = source[column]

    return SimpleNamespace(
        turn=turn,
        panel_start=panel_start,
        pack_all=pack_all,
        pack_rows=pack_rows,
        pack_transposed=pack_transposed,
        pack_columns=pack_columns,
        copy_rows=copy_rows,
        row_of_copy=inline(row_of_copy),
    )

"""One tiled matrix product, in the three forms that the forward and backward pass of a dense layer take.

A block computes one tile of the result. The inner sum runs in steps of `tile.depth`: while all threads multiply what
lies in one half of shared memory, each fetches its vector of the next step into registers and then puts it into the
other half, so one barrier for each step is enough. Both operands lie in shared memory as [step][result], whatever
their layout in global memory, so that each thread reads its rows and columns as vectors.

    forward   y  = activation(a), a = x @ weight + bias   x is transposed on its way to shared memory
    tn        dweight = x.T @ da                          neither is; the sums of the columns of da are dbias
    nt        dx = da @ weight.T                          both are

da = dy * activation'(a) is formed where it is loaded. Where there are too few tiles to fill the machine the inner sum
is split (see `plans`); the last block of a tile adds the parts in order.
"""

import functools

import numpy as np
from numba import cuda, int32

from ..naive import BY_INPUT
from .access import U, access, operand
from .constants import PADDING, VECTOR, WARP
from .intrinsics import bf16, device, load4, store4
from .plans import rows_of_a_part
from .scalars import activation_functions
from .totals import is_last_block

ALIGNMENT = 16
# The 32 threads of a warp share 4 row vectors and 8 column vectors: few enough to be read without bank conflicts.
WARP_ROWS, WARP_COLUMNS = 4, 8


@functools.cache
def shared_memory(tile, dtype):
    """A block's shared memory: both operands, each in two halves of `depth` steps, and a flag for `is_last_block`."""
    real = np.dtype(dtype).type
    a_shape, b_shape = ((2 * tile.depth, width + PADDING) for width in (tile.rows, tile.columns))

    @device
    def allocate():
        a_tile = cuda.shared.array(a_shape, real, ALIGNMENT)
        b_tile = cuda.shared.array(b_shape, real, ALIGNMENT)
        flag = cuda.shared.array(1, int32)
        return a_tile, b_tile, flag

    return allocate


@functools.cache
def _multiply_step(tile, dtype, precision):
    """results += a.T @ b for one half of shared memory; results are this thread's micro x micro.

    Operands are rounded here and not where they are fetched, because the sums of columns take them as they are.
    """
    real = np.dtype(dtype).type
    depth, micro, unrolled, rounds = tile.depth, tile.micro, tile.unrolled, precision == "bf16"
    groups = micro // VECTOR
    row_gap, column_gap = tile.rows // groups, tile.columns // groups

    @device
    def multiply_step(results, a_tile, b_tile, half, row, column):
        a = cuda.local.array(micro, real)
        b = cuda.local.array(micro, real)
        for first in range(0, depth, unrolled):
            # the compiler unrolls this short loop, and not one over the whole depth
            for step in range(first, first + unrolled):
                for g in range(groups):
                    j = 4 * g
                    a[j], a[j + 1], a[j + 2], a[j + 3] = load4(a_tile, half + U(step), U(g * row_gap) + row)
                for g in range(groups):
                    j = 4 * g
                    b[j], b[j + 1], b[j + 2], b[j + 3] = load4(b_tile, half + U(step), U(g * column_gap) + column)
                if rounds:
                    for j in range(micro):
                        a[j], b[j] = bf16(a[j]), bf16(b[j])
                for i in range(micro):
                    for j in range(micro):
                        results[i, j] += a[i] * b[j]

    return multiply_step


@functools.cache
def _sum_parts(tile, dtype):
    """Puts this block's results with those of the tile's other parts; True in the block that then holds the sum."""
    micro, groups = tile.micro, tile.micro // VECTOR
    part_rows = rows_of_a_part(tile)
    zero = np.dtype(dtype).type(0)

    @device
    def sum_parts(results, sums, tile_number, split, splits, partial, counters, flag):
        thread = U(cuda.threadIdx.x)
        column = thread * U(VECTOR)
        first = (tile_number * splits + split) * U(part_rows)
        for i in range(micro):
            for g in range(groups):
                j, at = 4 * g, first + U(i * groups + g)
                store4(partial, at, column, results[i, j], results[i, j + 1], results[i, j + 2], results[i, j + 3])
        partial[first + U(micro * groups), thread] = sums[0]
        if not is_last_block(counters, tile_number, splits, flag):
            return False
        for i in range(micro):
            for j in range(micro):
                results[i, j] = zero
        sums[0] = zero
        for part in range(splits):
            first = (tile_number * splits + U(part)) * U(part_rows)
            for i in range(micro):
                for g in range(groups):
                    v = load4(partial, first + U(i * groups + g), column)
                    results[i, 4 * g] += v[0]
                    results[i, 4 * g + 1] += v[1]
                    results[i, 4 * g + 2] += v[2]
                    results[i, 4 * g + 3] += v[3]
            sums[0] += partial[first + U(micro * groups), thread]
        return True

    return sum_parts


@functools.cache
def tile_product(form, activation, tile, aligned, dtype, precision):
    """The whole work of one block, from its number to the stored tile.

    c (rows, columns) = a @ b over `depth`, cut as `parts` says (see `Runtime.product_arguments`). `extra` is the bias
    for "forward", dbias for "tn"; a_output and b_output are the layer's output where that operand is dy. For an
    activation of BY_INPUT they are its input instead, which "forward" leaves in `before`.
    """
    real = np.dtype(dtype).type
    zero = real(0)
    activate, _ = activation_functions(activation if form == "forward" else "identity", dtype)
    a_mask = activation if form == "nt" else "identity"
    b_mask = activation if form == "tn" else "identity"
    place_a, fetch_a, put_a = operand(tile.rows, tile.depth, form != "tn", a_mask, aligned, dtype)
    place_b, fetch_b, put_b = operand(tile.columns, tile.depth, form == "nt", b_mask, aligned, dtype)
    _, store = access(aligned, dtype)
    multiply_step, sum_parts = _multiply_step(tile, dtype, precision), _sum_parts(tile, dtype)
    micro, groups = tile.micro, tile.micro // VECTOR
    row_gap, column_gap = tile.rows // groups, tile.columns // groups
    tile_rows, tile_columns, step_depth = tile.rows, tile.columns, tile.depth
    warps_across = tile.columns // micro // WARP_COLUMNS
    add_bias, sum_columns = form == "forward", form == "tn"
    keep_input = add_bias and activation in BY_INPUT

    @device
    def finish(results, bias, before, first_row, first_column, rows, columns):
        """results = activate(results + bias); this thread's rows and columns start at first_row and first_column in
        every group.

        The row at hand is always row 0, and moves to the end: with softplus the compiler keeps this loop, and registers
        have no index.
        """
        biases, row = cuda.local.array(micro, real), cuda.local.array(micro, real)
        for j in range(micro):
            at = first_column + U(j // 4 * column_gap + j % 4)
            biases[j] = bias[at] if at < columns else zero
        for i in range(micro):
            for j in range(micro):
                row[j] = results[0, j] + biases[j]
            if keep_input:
                at = first_row + U(i // 4 * row_gap + i % 4)
                for g in range(groups):
                    j, column = 4 * g, first_column + U(g * column_gap)
                    store(before, at, column, rows, columns, row[j], row[j + 1], row[j + 2], row[j + 3])
            for j in range(micro):
                row[j] = activate(row[j])
            for above in range(micro - 1):
                for j in range(micro):
                    results[above, j] = results[above + 1, j]
            for j in range(micro):
                results[micro - 1, j] = row[j]

    @device
    def product(block, a, a_output, b, b_output, c, extra, before, depth, parts, shared):
        (across, splits, part), partial, counters = parts
        a_tile, b_tile, flag = shared
        thread = U(cuda.threadIdx.x)
        rows, columns = U(c.shape[0]), U(c.shape[1])
        tile_number, split = block // splits, block % splits
        first_row = tile_number // across * U(tile_rows)
        first_column = tile_number % across * U(tile_columns)
        warp, lane = thread // U(WARP), thread % U(WARP)
        row = (warp // U(warps_across) * U(WARP_ROWS) + lane // U(WARP_COLUMNS)) * U(VECTOR)
        column = (warp % U(warps_across) * U(WARP_COLUMNS) + lane % U(WARP_COLUMNS)) * U(VECTOR)
        a_at, a_step = place_a(thread)
        b_at, b_step = place_b(thread)

        results = cuda.local.array((micro, micro), real)
        for i in range(micro):
            for j in range(micro):
                results[i, j] = zero
        sums = cuda.local.array(1, real)
        sums[0] = zero
        k = split * part
        end = min(depth, k + part)
        half = U(0)
        a0, a1, a2, a3 = fetch_a(a, a_output, first_row + a_at, k + a_step, rows, end)
        b0, b1, b2, b3 = fetch_b(b, b_output, first_column + b_at, k + b_step, columns, end)
        put_a(a_tile, half, a_at, a_step, a0, a1, a2, a3)
        put_b(b_tile, half, b_at, b_step, b0, b1, b2, b3)
        cuda.syncthreads()
        while k < end:
            k += U(step_depth)
            a0, a1, a2, a3 = fetch_a(a, a_output, first_row + a_at, k + a_step, rows, end)
            b0, b1, b2, b3 = fetch_b(b, b_output, first_column + b_at, k + b_step, columns, end)
            multiply_step(results, a_tile, b_tile, half, row, column)
            if sum_columns and first_row == 0 and thread < U(tile_columns):
                for step in range(step_depth):
                    sums[0] += b_tile[half + U(step), thread]
            half = U(step_depth) - half
            put_a(a_tile, half, a_at, a_step, a0, a1, a2, a3)
            put_b(b_tile, half, b_at, b_step, b0, b1, b2, b3)
            cuda.syncthreads()

        if splits > 1 and not sum_parts(results, sums, tile_number, split, splits, partial, counters, flag):
            return
        if add_bias:
            finish(results, extra, before, first_row + row, first_column + column, rows, columns)
        for i in range(micro):
            for g in range(groups):
                v = results[i, 4 * g], results[i, 4 * g + 1], results[i, 4 * g + 2], results[i, 4 * g + 3]
                at = first_row + U(i // 4 * row_gap + i % 4) + row
                store(c, at, first_column + U(g * column_gap) + column, rows, columns, v[0], v[1], v[2], v[3])
        if sum_columns and first_row == 0 and thread < U(tile_columns) and first_column + thread < columns:
            extra[first_column + thread] = sums[0]

    return product

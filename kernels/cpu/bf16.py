"""Products whose operands are rounded to bfloat16, with sums in float32.

Both operands are rounded and copied in the layout of `micro_bf16`, filled up with zeros to whole blocks; then each
block of 32 x 32 elements of C is computed in one go, and bias, ReLU or gate are applied to it on its way to C.
"""

import ctypes
import functools
import platform
import sys
from types import SimpleNamespace

import llvmlite.binding as llvm
import numpy as np

from .jit import inline, kernel
from .memory import memory_of, share
from .micro import make_transpose
from .micro_bf16 import (
    BLOCK,
    COLUMNS,
    DEPTH,
    FLUSH,
    ROW_BYTES,
    ROWS,
    VECTORS,
    configure_tiles,
    control_word,
    make_dots,
    multiply_tiles,
    release_tiles,
    round_pairs,
    round_vector,
    rounded,
    set_control_word,
)
from .packing import packing_of
from .target import CACHE_LINE, LIST_BLOCK, VECTOR_BYTES, host_features

_WORDS, _HALVES = memory_of("uint32").vector, memory_of("uint16").vector
_SCRATCH = 4 * BLOCK * BLOCK
# Palette 1: eight tiles of 16 rows of 64 bytes.
TILES = np.zeros(64, np.uint8)
TILES[0], TILES[16:32:2], TILES[48:56] = 1, ROW_BYTES, 16


@functools.cache
def kind():
    """Which of `micro_bf16.KINDS` is the fastest on this machine.

    VDPBF16PS has the throughput of a float32 multiply-add on AMD's processors, and half of it on an Intel one.
    """
    features = host_features()
    if {"amx-tile", "amx-bf16"} <= features and sys.platform == "linux" and _tiles_are_allowed():
        return "amx"
    return "avx512bf16" if has_avx512bf16() and llvm.get_host_cpu_name().startswith("znver") else "fma"


def has_avx512bf16():
    return VECTOR_BYTES == 64 and "avx512bf16" in host_features()


def _tiles_are_allowed():
    """Asks Linux for the tile registers, which a process gets only if it asks: arch_prctl(ARCH_REQ_XCOMP_PERM)."""
    arch_prctl, request, tile_data = 158, 0x1023, 18
    try:
        return ctypes.CDLL(None).syscall(arch_prctl, request, tile_data) == 0
    except (OSError, AttributeError):
        return False


@functools.cache
def bf16_kernels(kind):
    vector, lanes = memory_of("float32").vector, VECTOR_BYTES // 4
    transpose, turn = make_transpose(4), packing_of("float32").turn
    flushes = kind != "amx" and platform.machine().lower() in ("x86_64", "amd64")
    dots = kind != "amx" and make_dots(kind)
    minus_infinity, zero = np.float32(-np.inf), np.float32(0)

    @inline
    def round_row(source, count, target, room):
        """target (room,) of halves = source (count,), and zeros behind."""
        bits, halves = _WORDS(source, count), _HALVES(target, room)
        whole = count // COLUMNS * COLUMNS
        for i in range(0, whole, COLUMNS):
            round_vector(source + 4 * i, target + 2 * i)
        for i in range(whole, count):
            halves[i] = rounded(bits[i])
        for i in range(count, room):
            halves[i] = 0

    @kernel(kind, "m k source transposed target row own_memory")
    def pack_left(given, part, parts):
        """target (m, k) = source, or its transpose, rounded: rows of halves, m and k filled up with zeros."""
        m, k, room = given.m, given.k, -(-given.k // DEPTH) * DEPTH
        first, last = share(-(-m // BLOCK) * BLOCK // COLUMNS, part, parts)
        for i in range(COLUMNS * first, COLUMNS * last):
            target = given.target + i * given.row
            if i >= m:
                round_row(given.source, 0, target, room)
            elif not given.transposed:
                round_row(given.source + i * 4 * k, k, target, room)
        if given.transposed:
            for i in range(COLUMNS * first, min(COLUMNS * last, m), COLUMNS):
                rows = min(COLUMNS, m - i)
                for j in range(0, k, LIST_BLOCK):
                    depth = min(LIST_BLOCK, k - j)
                    turn(given.source + 4 * (j * m + i), 4 * m, depth, rows, given.own_memory)
                    filled = depth if j + depth < k else room - j
                    for row in range(rows):
                        target = given.target + (i + row) * given.row + 2 * j
                        round_row(given.own_memory + row * 4 * LIST_BLOCK, depth, target, filled)

    @inline
    def pair_rows(first, second, both, width, target):
        """A row of words: `first` in the lower halves and, if there is one, `second` in the upper."""
        lower, upper, words = _WORDS(first, width), _WORDS(second, width), _WORDS(target, COLUMNS)
        if both and width == COLUMNS:
            round_pairs(first, second, target)
            return
        for i in range(COLUMNS):
            words[i] = 0
        for i in range(width):
            words[i] = rounded(lower[i]) | (rounded(upper[i]) << 16 if both else 0)

    @kernel(kind, "n k source transposed target step own_memory")
    def pack_right(given, part, parts):
        """target = source (k, n), or the transpose of source (n, k), rounded: blocks of COLUMNS."""
        n, k, step, pairs = given.n, given.k, given.step, -(-given.k // DEPTH) * DEPTH // 2
        blocks = -(-n // BLOCK) * BLOCK // COLUMNS
        if not given.transposed:
            first, last = share(pairs, part, parts)
            for pair in range(first, last):
                row = given.source + 8 * pair * n
                for block in range(blocks):
                    start, width = row + 4 * COLUMNS * block, max(0, min(COLUMNS, n - COLUMNS * block))
                    width = width if 2 * pair < k else 0
                    target = given.target + block * step + pair * ROW_BYTES
                    pair_rows(start, start + 4 * n, 2 * pair + 1 < k, width, target)
            return
        first, last = share(blocks, part, parts)
        for block in range(first, last):
            for j in range(0, 2 * pairs, DEPTH):
                for i in range(COLUMNS):
                    count = min(DEPTH, k - j) if block * COLUMNS + i < n else 0
                    source = given.source + 4 * ((block * COLUMNS + i) * k + j)
                    round_row(source, count, given.own_memory + i * ROW_BYTES, DEPTH)
                target = given.target + block * step + j // 2 * ROW_BYTES
                for i in range(0, COLUMNS, lanes):
                    for pair in range(0, COLUMNS, lanes):
                        corner = given.own_memory + i * ROW_BYTES + 4 * pair
                        transpose(corner, ROW_BYTES, target + pair * ROW_BYTES + 4 * i, ROW_BYTES)

    @inline
    def multiply_block(a, a_row, b, b_step, c, steps):
        if kind == "amx":
            multiply_tiles(a, a_row, b, b_step, c, steps)
            return
        control = 0
        if flushes:  # here alone: what is done to the sums afterwards knows subnormal numbers, as everywhere else
            control = control_word(c)
            set_control_word(c, control | FLUSH)
        for i in range(0, BLOCK, ROWS):
            for j in range(0, BLOCK, VECTORS * lanes):
                columns = b + j // COLUMNS * b_step + j % COLUMNS * 4
                dots(a + i * a_row, a_row, columns, b_step, c + 4 * (i * BLOCK + j), steps)
        if flushes:
            set_control_word(c + _SCRATCH, control)

    @kernel(kind, "m n k a a_row b b_step c bias relu gate tiles own_memory")
    def bf16_matmul(given, part, parts):
        m, n, b_step = given.m, given.n, given.b_step
        floor = zero if given.relu else minus_infinity
        across = -(-n // BLOCK)
        if kind == "amx":
            configure_tiles(given.tiles)
        first, last = share(-(-m // BLOCK) * across, part, parts)
        for block in range(first, last):
            i, j = block // across * BLOCK, block % across * BLOCK
            rows, width = min(BLOCK, m - i), min(BLOCK, n - j)
            left, right = given.a + i * given.a_row, given.b + j // COLUMNS * b_step
            multiply_block(left, given.a_row, right, b_step, given.own_memory, -(-given.k // DEPTH))
            for row in range(rows):
                at = 4 * ((i + row) * n + j)
                sums, c = vector(given.own_memory + row * 4 * BLOCK, width), vector(given.c + at, width)
                if given.bias:
                    bias = vector(given.bias + 4 * j, width)
                    for column in range(width):
                        sums[column] += bias[column]
                if given.gate:
                    gate = vector(given.gate + at, width)
                    for column in range(width):
                        c[column] = sums[column] if gate[column] > zero else zero
                else:
                    for column in range(width):
                        c[column] = floor if floor > sums[column] else sums[column]
        if kind == "amx":
            release_tiles()

    @kernel(kind, "rows columns b sums")
    def add_rows(given, part, parts):
        first, last = share(given.columns, part, parts)
        sums = vector(given.sums + 4 * first, last - first)
        for j in range(last - first):
            sums[j] = zero
        for i in range(given.rows):
            row = vector(given.b + 4 * (i * given.columns + first), last - first)
            for j in range(last - first):
                sums[j] += row[j]

    return SimpleNamespace(pack_left=pack_left, pack_right=pack_right, bf16_matmul=bf16_matmul, add_rows=add_rows)


def plan_bf16_product(
    plan, a, b, c, *, a_transposed=False, b_transposed=False, bias=None, relu=False, gate=None, sums=None
):
    """`plan_matmul` with bf16 operands; the sums of b's columns are those of float32."""
    (m, n), k = c.shape, b.shape[1 if b_transposed else 0]
    kernels, depth = bf16_kernels(kind()), -(-k // DEPTH) * DEPTH
    rows, columns = (-(-size // BLOCK) * BLOCK for size in (m, n))
    a_row, b_step = 2 * depth + CACHE_LINE, depth // 2 * ROW_BYTES + CACHE_LINE
    left, right = plan.scratch((rows, a_row)), plan.scratch((columns // COLUMNS, b_step))
    given = {"m": m, "k": k, "source": a, "transposed": a_transposed, "target": left, "row": a_row}
    plan.add(kernels.pack_left, given, work=2 * m * k, own_memory=4 * COLUMNS * LIST_BLOCK)
    given = {"n": n, "k": k, "source": b, "transposed": b_transposed, "target": right, "step": b_step}
    plan.add(kernels.pack_right, given, work=2 * n * k, own_memory=COLUMNS * ROW_BYTES, along=True)
    if sums is not None:
        plan.add(kernels.add_rows, {"rows": k, "columns": n, "b": b, "sums": sums}, work=k * n, along=True)
    given = {"m": m, "n": n, "k": k, "a": left, "a_row": a_row, "b": right, "b_step": b_step, "c": c, "bias": bias}
    given |= {"relu": relu, "gate": gate, "tiles": TILES}
    plan.add(kernels.bf16_matmul, given, work=m * n * k // 8, own_memory=_SCRATCH + CACHE_LINE)

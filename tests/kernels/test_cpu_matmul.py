"""The matrix product of the CPU backend, where tiles, panels and blocks begin and end."""

import itertools

import numpy as np
import pytest

pytest.importorskip("numba")

from minivae.kernels.cpu import jit, matmul, micro, program, target

LANES = target.VECTOR_BYTES // 4
COLUMNS = target.TILE_VECTORS * LANES
ROWS = target.TILE_ROWS
GUARD = 7.25  # what surrounds every output, and must still be there afterwards

row_counts = (1, 2, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS + 5)
column_counts = (1, LANES - 1, LANES, LANES + 1, COLUMNS - 1, COLUMNS, COLUMNS + 1, 2 * COLUMNS + LANES + 3)
depths = (1, 5, LANES, 3 * LANES + 1)


@pytest.fixture(autouse=True)
def split_everything(monkeypatch):
    monkeypatch.setattr(program, "SERIAL_WORK", 0)


def guarded(shape, dtype):
    """An array of NaN inside a larger buffer of guards; (array, whether the guards are untouched)."""
    size, margin = int(np.prod(shape)), 128
    buffer = np.full(size + 2 * margin, GUARD, dtype)
    inner = buffer[margin : margin + size]
    inner[:] = np.nan
    return inner.reshape(shape), lambda: (buffer[:margin] == GUARD).all() and (buffer[-margin:] == GUARD).all()


def check_product(m, n, k, form, dtype, rng, parts=4, threads=None):
    """Computes one product and asserts that it is right and that nothing else was written.

    A sum of k products and a bias is off by at most (k + 1) eps times the sum of the absolute values.
    """
    a, b = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    bias = rng.standard_normal(n).astype(dtype)
    c, c_guard = guarded((m, n), dtype)
    sums, sums_guard = guarded((n,), dtype)
    stored_a = np.ascontiguousarray(a.T) if form == "transposed a" else a
    stored_b = np.ascontiguousarray(b.T) if form == "transposed b" else b
    plan = program.Plan(program.Arena())
    plan.arena.take(1 << 22)[:] = 255  # NaN in scratch memory: what is read must have been written
    plan.arena.reset()
    forms = {"a_transposed": form == "transposed a", "b_transposed": form == "transposed b"}
    matmul.plan_matmul(plan, stored_a, stored_b, c, **forms, bias=bias, relu=True, sums=sums)
    table = plan.table()
    table.rows[:, program.PARTS], table.rows[:, program.TURNS] = parts, 1
    table.run(threads)
    eps = np.finfo(dtype).eps
    exact = np.maximum(a.astype(np.float64) @ b + bias, 0)
    bound = eps * (k + 1) * (np.abs(a).astype(np.float64) @ np.abs(b) + np.abs(bias))
    assert (np.abs(c - exact) <= bound).all(), f"{m}x{n}x{k} {form} {dtype}"
    column_sums = stored_b.sum(axis=1 if form == "transposed b" else 0, dtype=np.float64)
    assert (np.abs(sums - column_sums) <= eps * k * np.abs(b).sum(axis=0)).all(), f"sums of {m}x{n}x{k} {form} {dtype}"
    assert c_guard(), f"{m}x{n}x{k} {form} {dtype} wrote outside"
    assert sums_guard(), f"sums of {m}x{n}x{k} {form} {dtype} wrote outside"
    return c


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["plain", "transposed a", "transposed b"])
def test_every_edge(form, dtype):
    rng = np.random.default_rng(1)
    for m, n, k in itertools.product(row_counts, column_counts, depths):
        check_product(m, n, k, form, dtype, rng)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("form", ["plain", "transposed a", "transposed b"])
def test_blocks_of_depth_and_rows(form, dtype):
    rng = np.random.default_rng(2)
    check_product(9, 53, 2 * target.DEPTH_BLOCK + 3, form, dtype, rng)
    check_product(2 * target.ROW_BLOCK + 11, 61, 17, form, dtype, rng)
    check_product(target.ROW_BLOCK + 3, 101, target.DEPTH_BLOCK + 1, form, dtype, rng)
    # rows of B as long as a page, rows of A that collide, and several blocks of rows in a part
    for n in (target.PAGE // 4, target.PAGE // 4 + LANES + 3):
        check_product(2 * target.ROW_BLOCK + 11, n, target.COLLIDING // 4, form, dtype, rng, parts=1)


@pytest.mark.parametrize("form", ["plain", "transposed a", "transposed b"])
def test_same_bits_for_every_number_of_parts(form):
    for m, n, k in ((37, 131, 29), (2 * target.ROW_BLOCK + 11, 101, 613), (1, 500, 40), (128, 400, 784)):
        first = check_product(m, n, k, form, "float32", np.random.default_rng(3), threads=1)
        for parts in (1, 2, 3, 7, 64):
            other = check_product(m, n, k, form, "float32", np.random.default_rng(3), parts)
            np.testing.assert_array_equal(first, other)


def _with_planted_bug(monkeypatch, build):
    """The product kernel compiled afresh, away from the cache; `build` has patched what it is made of."""
    monkeypatch.setattr(jit, "_cache_for", lambda function, name: jit.NullCache())
    broken = build("float32")
    monkeypatch.setattr(matmul, "matmul_kernel", lambda real_name: broken)


@pytest.mark.slow
@pytest.mark.parametrize("offset", [-1, 1])
def test_planted_off_by_one_at_the_edge_of_a_tile_is_caught(monkeypatch, offset):
    right = micro._Variant._edge_mask

    def wrong(self, builder, edge):
        return right(self, builder, builder.add(edge, edge.type(offset)))

    monkeypatch.setattr(micro._Variant, "_edge_mask", wrong)
    _with_planted_bug(monkeypatch, matmul.matmul_kernel.__wrapped__)
    caught = 0
    for n in column_counts:
        try:
            check_product(ROWS, n, 5, "plain", "float32", np.random.default_rng(4))
        except AssertionError:
            caught += 1
    # everywhere, except that a wider mask changes nothing where the last vector is full
    assert caught == sum(1 for n in column_counts if n % LANES or offset < 0)

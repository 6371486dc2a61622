"""Products from lists of what is not zero: the bits of the dense product, whichever of the two is run."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import minivae as mv

pytest.importorskip("numba")

from minivae.kernels import load_backend
from minivae.kernels.cpu import matmul, program, sparse, target

LANES = target.VECTOR_BYTES // 4
sizes = st.sampled_from((1, 2, 3, LANES - 1, LANES, LANES + 1, 33, target.LIST_BLOCK, target.LIST_BLOCK + 1, 300))
# beyond a panel; rows that collide; rows that are no whole cache lines
widths = st.sampled_from((1, 7, LANES, 50, LANES * target.LIST_VECTORS + 3, target.COLLIDING // 4, 400))
DENSITIES = (0.0, 0.02, 0.2, 0.6, 1.0)


@pytest.fixture(autouse=True)
def lists_always(monkeypatch):
    monkeypatch.setattr(sparse, "LISTED_FROM", 0)
    for name in ("MOST_LISTED", "MOST_LISTED_NARROW"):
        monkeypatch.setattr(sparse, name, 1.0)


def run(threads, plan_product, *arrays, **how):
    plan = program.Plan(program.Arena())
    plan.arena.take(1 << 22)[:] = 255  # NaN in scratch memory: what is read must have been written
    plan.arena.reset()
    plan_product(plan, *arrays, **how)
    plan.table().run(threads)


def sparse_rows(rng, rows, columns, density, dtype):
    return (rng.standard_normal((rows, columns)) * (rng.random((rows, columns)) < density)).astype(dtype)


def operands(rng, rows, inputs, outputs, density, dtype):
    """(x, weight, bias, dy) of a layer."""
    shapes = (inputs, outputs), (outputs,), (rows, outputs)
    return sparse_rows(rng, rows, inputs, density, dtype), *(rng.standard_normal(s).astype(dtype) for s in shapes)


def check_both_products(x, weight, bias, dy, relu, threads):
    """x @ weight + bias and x.T @ dy with the sums of dy, from lists and dense: the same bytes."""
    found = []
    for plan_product in (matmul.plan_matmul, sparse.plan_product):
        y, dweight, dbias = (np.full_like(like, np.nan) for like in (dy, weight, bias))
        run(threads, plan_product, x, weight, y, bias=bias, relu=relu)
        run(threads, plan_product, x, dy, dweight, a_transposed=True, sums=dbias)
        found.append((y, dweight, dbias))
    for expected, listed in zip(*found, strict=True):
        assert listed.tobytes() == expected.tobytes()


@settings(max_examples=60, deadline=None)
@given(
    sizes, sizes, widths, st.sampled_from(DENSITIES), st.sampled_from(("float32", "float64")), st.booleans(), st.data()
)
@example(600, 40, 400, 0.2, "float32", True, None)  # so many rows that parts are cut by them
def test_bits_of_the_dense_product(rows, inputs, outputs, density, dtype, relu, data):
    threads = 1 if data is None else data.draw(st.sampled_from((1, 2)))
    arrays = operands(np.random.default_rng(rows * inputs + outputs), rows, inputs, outputs, density, dtype)
    check_both_products(*arrays, relu, threads)


AVX2 = """
from tests.kernels import test_cpu_sparse as t
from minivae.kernels.cpu import target
assert target.VECTOR_BYTES == 32 and not target.HAS_COMPRESS
t.sparse.LISTED_FROM, t.sparse.MOST_LISTED, t.sparse.MOST_LISTED_NARROW = 0, 1.0, 1.0
for rows, inputs, outputs in (1, 3, 50), (17, 131, 33), (129, 300, 256):
    for dtype in "float32", "float64":
        for density in t.DENSITIES:
            rng = t.np.random.default_rng(0)
            t.check_both_products(*t.operands(rng, rows, inputs, outputs, density, dtype), True, 2)
"""


@pytest.mark.skipif(target.VECTOR_BYTES != 64, reason="this processor runs the other code anyway")
def test_bits_of_the_dense_product_without_an_instruction_that_compresses():
    environment = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+avx,+bmi,+bmi2,+popcnt,+sse4.2"}
    subprocess.run([sys.executable, "-c", AVX2], env=os.environ | environment, check=True, timeout=300)


def test_which_product_runs_is_decided_by_what_x_holds_each_time(monkeypatch):
    """A product that is planned once, whose x goes from sparse to dense and back. No x uses the last row of the weight,
    which is infinite: 0 times that is NaN, and lists do not have it.
    """
    monkeypatch.setattr(sparse, "MOST_LISTED", target.MOST_LISTED)
    rng, (rows, inputs, outputs) = np.random.default_rng(1), (40, 70, 90)  # wider than a panel
    x, weight, bias, y = operands(rng, rows, inputs, outputs, 0, "float32")
    weight[-1] = np.inf
    plan = program.Plan(program.Arena())
    sparse.plan_product(plan, x, weight, y, bias=bias)
    table = plan.table()
    for density, listed in ((0.1, True), (1.0, False), (0.0, True), (0.7, False), (0.3, True)):
        x[:, :-1] = sparse_rows(rng, rows, inputs - 1, density, "float32")
        table.run()
        assert np.isfinite(y).all() if listed else np.isnan(y).all()
        if listed:
            exact = x[:, :-1].astype(np.float64) @ weight[:-1] + bias
            np.testing.assert_allclose(y, exact, rtol=1e-4, atol=1e-4)


def test_what_is_not_a_number_in_x_is_no_zero():
    x, weight, bias, y = operands(np.random.default_rng(2), 20, 40, 30, 0.2, "float32")
    x[2, 5] = np.nan  # whose neighbour shares its list
    run(1, sparse.plan_product, x, weight, y, bias=bias)
    assert np.isnan(y[2]).all()
    assert np.isfinite(np.delete(y, 2, 0)).all()


def test_calls_outside_of_programs_take_lists_too():
    x, weight, bias, dy = operands(np.random.default_rng(3), 33, 65, 48, 0.2, "float64")
    x[:, 7], x[5], weight[7], dy[5] = 0, 0, np.inf, np.inf
    y, dweight, dbias, backend = np.empty_like(dy), np.empty_like(weight), np.empty_like(bias), load_backend("cpu")
    backend.dense_forward(x, weight, bias, "relu", y)
    backend.dense_backward(x, weight, y, dy, "identity", None, dweight, dbias)
    used, rows = np.arange(65) != 7, np.arange(33) != 5
    np.testing.assert_allclose(y, np.maximum(x[:, used] @ weight[used] + bias, 0), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(dweight, x[rows].T @ dy[rows], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_same_training_with_and_without_lists(monkeypatch, dtype):
    def trained(most):
        for name in ("MOST_LISTED", "MOST_LISTED_NARROW"):
            monkeypatch.setattr(sparse, name, most)
        model = mv.VAE(130, 5, (90,), backend="cpu", dtype=dtype, seed=1)
        data = np.random.default_rng(0).integers(0, 256, (200, 130)).astype(np.uint8)
        data[data < 200] = 0
        history = mv.fit(model, data, epochs=3, batch_size=64, validation=data, seed=2)
        return model.store.flat.tobytes(), history["validation_loss"]

    assert trained(1.0) == trained(-1.0)

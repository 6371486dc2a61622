"""Products with bf16 operands: one set of numbers, whichever instructions a processor has."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minivae as mv

pytest.importorskip("numba")

import numba

from minivae.kernels.cpu import bf16, micro_bf16, program
from minivae.kernels.naive.tools import as_bf16
from minivae.kernels.numpy_backend.tools import operand

RUN_HERE = {"amx": bf16.kind() == "amx", "avx512bf16": bf16.has_avx512bf16(), "fma": True}
HERE = [kind for kind in micro_bf16.KINDS if RUN_HERE[kind]]
sizes = st.sampled_from((1, 2, 15, 16, 17, 31, 32, 33, 70, 129))


def float32_sums(a, b):
    """a @ b as TDPBF16PS makes it; a multiply-add of float32 is one of float64, rounded once more."""
    (m, k), n = a.shape, b.shape[1]
    depth = -(-k // 32) * 32
    left, right = np.zeros((m, depth)), np.zeros((depth, n))
    left[:, :k], right[:k] = as_bf16(a), as_bf16(b)
    total = np.zeros((m, n), np.float32)
    for first in range(0, depth, 32):
        chains = []
        for start in (first, first + 1):
            chain = np.zeros((m, n), np.float32)
            for d in range(start, first + 32, 2):
                chain = _flushed(left[:, d, None] * right[None, d] + chain)
            chains.append(chain)
        total = _flushed(total + _flushed(chains[0] + chains[1]))
    return total


def _flushed(values):
    values = values.astype(np.float32)
    return np.where(np.abs(values) < np.finfo(np.float32).smallest_normal, np.float32(0), values)


def product(kind, a, b, transposed=(False, False), threads=1, parts=None, **more):
    stored = [np.ascontiguousarray(x.T) if turned else x for x, turned in zip((a, b), transposed, strict=True)]
    c = np.full((a.shape[0], b.shape[1]), np.nan, np.float32)
    plan = program.Plan(program.Arena())
    plan.arena.take(1 << 20)[:] = 255  # NaN in scratch memory: what is read must have been written
    plan.arena.reset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bf16, "kind", lambda: kind)
        a_transposed, b_transposed = transposed
        bf16.plan_bf16_product(plan, *stored, c, a_transposed=a_transposed, b_transposed=b_transposed, **more)
    table = plan.table()
    table.run(threads)
    return c


@pytest.mark.parametrize("kind", HERE)
@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, st.booleans(), st.booleans(), st.sampled_from((1, 2)))
def test_every_instruction_gives_the_same_bits(kind, m, n, k, a_transposed, b_transposed, threads):
    rng = np.random.default_rng(m * n + k)
    a, b = rng.standard_normal((m, k)).astype("f"), rng.standard_normal((k, n)).astype("f")
    found = product(kind, a, b, (a_transposed, b_transposed), threads)
    assert found.tobytes() == float32_sums(a, b).tobytes()


@pytest.mark.parametrize("kind", HERE)
def test_subnormal_numbers_count_as_zero_and_the_largest_are_infinite(kind):
    """Operands, partial sums and results below 2^-126; numbers that round up to 2^128; infinity and NaN."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape).astype("f") for shape in ((20, 64), (64, 20)))
    a[:, :32] *= np.float32(1e-19)
    b[:32] *= np.float32(1e-19)
    a[:, 32:] = 0
    assert 0 < (float32_sums(a, b) == 0).sum() < 400  # some sums are too small, some not
    assert product(kind, a, b).tobytes() == float32_sums(a, b).tobytes()
    a[0, 0], b[1, 1] = 1e-39, -1e-39
    assert product(kind, a, b).tobytes() == float32_sums(a, b).tobytes()
    a, b = np.ones((3, 4), np.float32), np.ones((4, 3), np.float32)
    a[0, 0], a[1, 1], b[2, 2] = np.finfo(np.float32).max, np.nan, -np.inf
    np.testing.assert_array_equal(product(kind, a, b), [[np.inf, np.inf, np.nan], [np.nan] * 3, [4, 4, -np.inf]])


@pytest.mark.parametrize("kind", HERE)
def test_what_is_done_to_a_product_on_its_way(kind):
    rng = np.random.default_rng(1)
    (m, n, k) = 37, 45, 50
    a, b = rng.standard_normal((m, k)).astype("f"), rng.standard_normal((k, n)).astype("f")
    bias, gate, sums = rng.standard_normal(n).astype("f"), rng.standard_normal((m, n)).astype("f"), np.empty(n, "f")
    plain = float32_sums(a, b)
    np.testing.assert_array_equal(product(kind, a, b, bias=bias, relu=True), np.maximum(plain + bias, 0))
    np.testing.assert_array_equal(product(kind, a, b, gate=gate), np.where(gate > 0, plain, 0))
    # what is subnormal counts as zero within the sums alone
    small = np.full(n, 1e-41, np.float32)
    np.testing.assert_array_equal(product(kind, np.zeros_like(a), b, bias=small), np.tile(small, (m, 1)))
    np.testing.assert_array_equal(product(kind, a, b, gate=np.tile(small, (m, 1))), plain)
    product(kind, a, b, sums=sums)
    expected = np.zeros(n, np.float32)
    for row in b:
        expected += row
    np.testing.assert_array_equal(sums, expected)


def test_rounding():
    """To nearest, ties to even; as on the bits of float32 in the NumPy backend."""
    values = [
        1,
        1 + 2**-8,
        1 + 2**-7,
        1 + 3 * 2**-8,
        1 + 2**-8 + 2**-20,
        -(1 + 3 * 2**-8),
        3.39e38,
        3.3962e38,
        1e-38,
        0.0,
    ]
    expected = [1, 1, 1 + 2**-7, 1 + 2**-6, 1 + 2**-7, -(1 + 2**-6), 3.3895314e38, np.inf, 0, 0]
    np.testing.assert_allclose(as_bf16(np.float32(values)), expected, rtol=1e-7)
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 1 << 32, (1000, 50), dtype=np.uint32)
    bits[:, 0] = rng.integers(0, 1 << 16, 1000, dtype=np.uint32) << 16 | 0x8000  # ties
    anything = bits.view(np.float32)
    np.testing.assert_array_equal(operand("a", anything, "bf16"), as_bf16(anything))


def trained(**options):
    model = mv.VAE(130, 5, (90, 40), activation="gelu", backend="cpu", seed=1)
    data = np.random.default_rng(0).integers(0, 256, (300, 130)).astype(np.uint8)
    mv.fit(model, data, epochs=2, batch_size=128, precision="bf16", seed=2, **options)
    return model.store.flat.tobytes()


def test_training_has_the_same_bits_for_all_instructions_and_threads(monkeypatch):
    expected = trained()
    for kind in HERE:
        monkeypatch.setattr(bf16, "kind", lambda kind=kind: kind)
        assert trained() == expected
    numba.set_num_threads(1)
    try:
        assert trained() == expected
    finally:
        numba.set_num_threads(numba.config.NUMBA_NUM_THREADS)

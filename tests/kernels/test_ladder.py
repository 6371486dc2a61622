"""The ladder of matrix products: each rung is right for any size, and `minivae bench --ladder` has them all."""

import json

import numpy as np
import pytest

from minivae.command.main import main

pytest.importorskip("numba")

from minivae.kernels import ladder
from minivae.kernels.ladder import measure

# of the tallest and widest tile, a block's depth and columns in rung 3, a panel's depth in rung 7, and beside them
SHAPES = ((1, 1, 1), (7, 1, 3), (17, 31, 33), (64, 65, 66), (64, 192, 128), (9, 515, 130), (8, 49, 513), (5, 96, 1024))


@pytest.mark.parametrize("name", ladder.names())
@pytest.mark.parametrize(("m", "n", "k"), SHAPES)
def test_product(name, m, n, k):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(shape, np.float32) for shape in ((m, k), (k, n)))
    memory = np.full(m * n + 256, np.nan, np.float32)
    c = memory[128:-128].reshape(m, n)
    ladder.rungs()[name].product(a, b, c)
    bound = np.finfo(np.float32).eps * k * (np.abs(a).astype(np.float64) @ np.abs(b))
    assert (np.abs(c - a.astype(np.float64) @ b) <= bound).all()
    assert np.isnan(memory[[*range(128), *range(-128, 0)]]).all()


def test_files_are_numbered_in_their_order():
    assert [name.partition("_")[0] for name in ladder.names()] == [
        f"rung{n}" for n in range(1, len(ladder.names()) + 1)
    ]


@pytest.mark.parametrize("name", ladder.names())
def test_other_matrices_are_refused(name):
    product, matrix = ladder.rungs()[name].product, np.zeros((3, 2), np.float32)
    with pytest.raises(TypeError, match="b: got ndarray, expected a float32 matrix"):
        product(matrix, np.zeros((2, 2)), matrix)
    with pytest.raises(ValueError, match=r"c: got shape \(3, 2\), expected C-contiguous rows"):
        product(matrix, matrix[:2], np.zeros((2, 3), np.float32).T)
    with pytest.raises(
        ValueError, match=r"c: got shape \(2, 2\) for a \(3, 2\) and b \(2, 2\), expected that of a @ b"
    ):
        product(matrix, matrix[:2], matrix[:2].copy())


def test_bench_verifies_every_rung(tmp_path, capsys):
    path = tmp_path / "ladder.json"
    assert main(["bench", "--ladder", "--verify-only", "--out", str(path)]) == 0
    verified = json.loads(path.read_text())["cpu"]["verified"]
    for number, _ in enumerate(ladder.names(), 1):
        assert [name for name in verified if name.startswith(f"{number} ") and ", 1 threads, " in name]
    assert f"cpu: {len(verified)} results agree with float64" in capsys.readouterr().out


def test_bench_has_no_choice_of_backend(capsys):
    assert main(["bench", "--ladder", "--backend", "numpy"]) == 2
    assert "--backend: got 'numpy', expected none with --ladder" in capsys.readouterr().err


def test_a_wrong_rung_is_not_timed(monkeypatch):
    monkeypatch.setattr(ladder.rungs()["rung2_order"], "product", lambda a, b, c: np.matmul(a, 1.01 * b, out=c))
    with pytest.raises(RuntimeError, match="2 the loops in another order: the product of size 1000 is wrong"):
        measure.Measurement("cpu")

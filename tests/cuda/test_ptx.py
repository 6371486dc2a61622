"""The compiled kernels, run on the CPU from their PTX: numbers, noise bits, and whole training steps."""

import contextlib

import numpy as np
import pytest

from . import extra

extra.require("numba_cuda", "nvidia.cu13", gcc=True)

from minivae.kernels import load_backend, philox  # noqa: E402
from minivae.kernels.cuda import program, runtime  # noqa: E402

from . import launching  # noqa: E402
from .comparing import check  # noqa: E402
from .executors import PtxExecutor  # noqa: E402
from .host import HostRuntime, cuda_backend  # noqa: E402

# thread and block order, and how far off the hardware's approximations are, in units in the last place
RUNS = (False, 0), (True, 2), (False, -2)


@pytest.fixture(scope="module")
def execute(builds):
    return PtxExecutor(builds)


def check_cases(execute, kernel, dtype, proven, runs=RUNS):
    execute.ran.clear()
    for number, case in enumerate(launching.cases_of(kernel, dtype)):
        for execute.backwards, execute.nudge in runs:
            where = f"{kernel} {dtype}, case {number}, backwards {execute.backwards}"
            check(case, HostRuntime(execute), where)
    proven("executed", execute.ran)


@pytest.mark.parametrize("dtype", launching.DTYPES)
@pytest.mark.parametrize("kernel", launching.CONTRACT)
def test_kernel_agrees_with_the_specification(execute, kernel, dtype, proven):
    check_cases(execute, kernel, dtype, proven)


@pytest.mark.parametrize("tiles", ["small", "large"])
@pytest.mark.parametrize("kernel", ["dense_forward", "dense_backward"])
def test_vector_accesses_agree_with_the_specification(execute, kernel, tiles, proven):
    """Rows that move as vectors of four; several tiles, and inner sums that are split."""
    with launching.aligned_shapes(), launching.large_tiles() if tiles == "large" else contextlib.nullcontext():
        check_cases(execute, kernel, "float32", proven, RUNS[:2])
        if tiles == "small":
            check_cases(execute, kernel, "float64", proven, RUNS[:2])


def test_a_million_normals_have_the_bits_of_every_backend(execute, proven):
    execute.backwards, execute.nudge = False, 0
    noise, clock = np.empty(2**20 + 3, np.float32), np.array([2**33 + 7])
    with runtime.use(HostRuntime(execute)):
        cuda_backend().standard_normal(2**63 + 12345, philox.NOISE, clock, noise)
    expected = np.empty_like(noise)
    philox.fill_normals(2**63 + 12345, philox.NOISE, int(clock[0]), expected)
    np.testing.assert_array_equal(noise.view(np.uint32), expected.view(np.uint32))
    proven("bits", [("standard_normal", "float32")])


@pytest.mark.parametrize("options", launching.TRAININGS, ids=str)
def test_training_agrees_with_numpy_and_recorded_steps_with_eager_ones(execute, options, proven, monkeypatch):
    execute.backwards, execute.nudge = True, 0
    execute.ran.clear()
    parameters, totals = launching.train(load_backend("numpy"), **options)
    with runtime.use(HostRuntime(execute)):
        got, got_totals = launching.train(cuda_backend(), **options)
        monkeypatch.setattr(program, "belong_together", lambda call, following: False)
        eager, eager_totals = launching.train(cuda_backend(), **options)
    np.testing.assert_allclose(got_totals, totals, rtol=1e-5)
    np.testing.assert_allclose(got, parameters, atol=5e-5)
    np.testing.assert_array_equal(got.view(np.uint32), eager.view(np.uint32))
    np.testing.assert_array_equal(got_totals, eager_totals)
    proven("trained", execute.ran)

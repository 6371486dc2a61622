"""Every backend against the specification, kernel by kernel."""

import copy
import inspect

import numpy as np
import pytest

from minivae import kernels
from minivae.kernels import backend as registry
from minivae.kernels import naive
from minivae.kernels.naive import posterior as cases

HOST_BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


def run_case(function, arguments):
    """A copy of the arguments after the call; column blocks of one array stay column blocks."""
    arguments = [
        copy.deepcopy(argument) if not _is_block(argument) else _copy_block(argument) for argument in arguments
    ]
    function(*arguments)
    return arguments


def _is_block(argument):
    return isinstance(argument, np.ndarray) and argument.ndim == 2 and not argument.flags.c_contiguous


def _copy_block(block):
    wide = np.zeros((block.shape[0], 2 * block.shape[1]), block.dtype)
    wide[:, : block.shape[1]] = block
    return wide[:, : block.shape[1]]


def in_float64(argument):
    return argument.astype(np.float64) if isinstance(argument, np.ndarray) and argument.dtype.kind == "f" else argument


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_backend_has_the_whole_contract_and_nothing_is_without_a_twin(name):
    if name not in kernels.available_backends():
        pytest.skip(f"the {name} backend cannot run here")
    module = kernels.load_backend(name).module
    for function in kernels.CONTRACT:
        expected = list(inspect.signature(getattr(naive, function)).parameters)
        assert list(inspect.signature(getattr(module, function)).parameters) == expected, function
    for function in kernels.MEMORY:
        assert callable(getattr(module, function)), function
    helpers = {"compile_program", *kernels.MEMORY}
    public = {
        key
        for key, value in vars(module).items()
        if callable(value) and not key.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }
    assert public - helpers <= set(kernels.CONTRACT)


def test_every_kernel_has_cases():
    assert all(hasattr(cases, name) for name in kernels.CONTRACT)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", kernels.CONTRACT)
@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_kernel_agrees_with_the_specification(backend, kernel, dtype):
    function = getattr(kernels.load_backend(backend), kernel)
    rng = np.random.default_rng(kernels.CONTRACT.index(kernel))
    for number, (arguments, bounds) in enumerate(getattr(cases, kernel)(dtype, rng)):
        exact = run_case(getattr(naive, kernel), [in_float64(argument) for argument in arguments])
        got = run_case(function, arguments)
        where = f"{backend}.{kernel} {dtype}, case {number}"
        for index, argument in enumerate(arguments):
            if index in bounds:
                finite = np.isfinite(exact[index])
                np.testing.assert_array_equal(np.isfinite(got[index]), finite, err_msg=where)
                error = np.abs(np.where(finite, got[index], 0) - np.where(finite, exact[index], 0))
                bound = np.broadcast_to(bounds[index], error.shape)
                # results below the smallest normal number may be flushed or lose digits
                bound = bound + (np.finfo(dtype).tiny if np.asarray(got[index]).dtype.kind == "f" else 0)
                worst = np.unravel_index(np.argmax(error - bound), error.shape)
                assert (error <= bound).all(), (
                    f"{where}, argument {index}{worst}: {error[worst]:.3g} > {bound[worst]:.3g}"
                )
            elif isinstance(argument, np.ndarray):
                np.testing.assert_array_equal(got[index], argument, err_msg=f"{where} changed argument {index}")


def test_unknown_and_absent_backends_are_refused(monkeypatch):
    with pytest.raises(ValueError, match=r"backend: got 'blas', expected 'auto' or one of .*'numpy'"):
        kernels.load_backend("blas")
    monkeypatch.setitem(registry.BACKENDS, "absent", ("no_such_module", "a machine that does not exist"))
    assert "absent" not in kernels.available_backends()
    with pytest.raises(ValueError, match=r"'absent' cannot run here: .* it needs a machine that does not exist"):
        kernels.load_backend("absent")


def test_record_replays_the_same_calls():
    backend = kernels.load_backend("numpy")
    clock, noise = backend.zeros((1,), "int64"), backend.zeros((4, 3), "float32")

    def step():
        backend.standard_normal(5, 2, clock, noise)
        backend.tick(clock)

    program = backend.record(step)
    first = noise.copy()
    program()
    assert [name for name, _ in program.calls] == ["standard_normal", "tick"]
    assert str(program) == "standard_normal(5, 2, 1, 4x3)\ntick(1)"
    assert clock[0] == 2
    assert not np.array_equal(noise, first)
    backend.tick(clock)
    assert len(program.calls) == 2, "calls after the recording are not recorded"


def test_zeros_are_aligned():
    backend = kernels.load_backend("numpy")
    for shape, dtype in (((3,), "float32"), ((5, 7), "float64"), ((1,), "int64")):
        array = backend.zeros(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.shape == shape
        assert not array.any()

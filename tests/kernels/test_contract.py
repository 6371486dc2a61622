"""Every backend against the specification: that it has every kernel, and kernel by kernel what it computes."""

import ast
import inspect
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from minivae import kernels
from minivae.kernels import backend as registry
from minivae.kernels import naive, numpy_backend
from minivae.kernels.cases import cases_of

FOLDER = Path(kernels.__file__).parent
FAMILIES = list(dict.fromkeys(registry.FAMILIES.values()))
HOST_BACKENDS = [name for name in kernels.available_backends() if kernels.load_backend(name).on_host]


def functions(path):
    """The parameters, by position or name, of each public function of a source file; nothing is imported."""
    found = {}
    for node in ast.parse(path.read_text()).body if path.exists() else ():
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            given = node.args
            found[node.name] = [a.arg for a in given.args] + [f"={ast.unparse(value)}" for value in given.defaults]
    return found


def is_kernel(name):
    return not re.search("_(cases?|inputs)$", name)


def flaws(name, folder=FOLDER):
    """What a backend lacks, or has and should not, by its sources: it need not run here."""
    package, *_ = registry.BACKENDS[name][0].split(".")
    plan = ["plan"] if name == "cpu" else []
    for family in FAMILIES:
        place = f"{package}/{family}.py"
        expected, found = functions(folder / "naive" / f"{family}.py"), functions(folder / place)
        for kernel in filter(is_kernel, expected):
            if kernel not in found:
                yield f"the {name} backend lacks {kernel}: expected in kernels/{place}"
            elif found[kernel] != plan + expected[kernel]:
                yield f"kernels/{place}: {kernel} has {found[kernel]}, expected {plan + expected[kernel]}"
        for extra in found.keys() - expected.keys():
            if name == "numpy" or found[extra][:1] == ["plan"]:
                yield f"kernels/{place}: {extra} has no twin in kernels/naive/{family}.py"


@pytest.mark.parametrize("name", kernels.BACKENDS)
def test_backend_has_the_whole_contract_and_nothing_is_without_a_twin(name):
    assert not list(flaws(name))


@pytest.mark.parametrize("name", kernels.available_backends())
def test_loaded_kernels_have_the_parameters_of_the_contract(name):
    backend = kernels.load_backend(name)
    for kernel in kernels.CONTRACT:
        expected = list(inspect.signature(getattr(naive, kernel)).parameters)
        parameters = inspect.signature(getattr(backend, kernel)).parameters.values()
        assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == expected, kernel
    assert all(callable(getattr(backend, function)) for function in kernels.MEMORY)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_function_of_the_specification_is_a_kernel(family):
    path = f"kernels/naive/{family}.py"
    kind = next(base for base in kernels.Backend.__bases__ if base.__module__ == f"{naive.__name__}.{family}")
    for name in filter(is_kernel, functions(FOLDER.parent / path)):
        assert getattr(kind, name, None) is getattr(naive, name), f"{path}: class {kind.__name__} lacks {name}"


@pytest.mark.parametrize("kernel", kernels.CONTRACT)
def test_every_kernel_has_cases(kernel):
    assert next(cases_of(kernel, "float32")).bounds


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    shutil.copytree(FOLDER, tmp_path, dirs_exist_ok=True)
    for path, old, new in (
        ("cuda/optimizers.py", "\ndef adam_update(", "\ndef adam("),
        ("cpu/data.py", "def tick(plan, clock)", "def tick(plan, step)"),
        ("numpy_backend/dense.py", "def dense_forward(", "def dense_forwards("),
    ):
        source = (tmp_path / path).read_text()
        assert old in source
        (tmp_path / path).write_text(source.replace(old, new))
    assert list(flaws("cuda", tmp_path)) == [
        "the cuda backend lacks adam_update: expected in kernels/cuda/optimizers.py"
    ]
    assert list(flaws("cpu", tmp_path)) == [
        "kernels/cpu/data.py: tick has ['plan', 'step'], expected ['plan', 'clock']"
    ]
    assert list(flaws("numpy", tmp_path)) == [
        "the numpy backend lacks dense_forward: expected in kernels/numpy_backend/dense.py",
        "kernels/numpy_backend/dense.py: dense_forwards has no twin in kernels/naive/dense.py",
    ]
    monkeypatch.delattr("minivae.kernels.numpy_backend.optimizers.adam_update")
    monkeypatch.delattr("minivae.kernels.naive.tick_cases")
    with pytest.raises(NotImplementedError, match=r"numpy backend lacks adam_update: expected in kernels/numpy_b"):
        kernels.load_backend("numpy").adam_update()
    with pytest.raises(NotImplementedError, match=r"tick has no cases: expected tick_cases in kernels/naive/data\.py"):
        next(cases_of("tick", "float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kernel", kernels.CONTRACT)
@pytest.mark.parametrize("backend", HOST_BACKENDS)
def test_kernel_agrees_with_the_specification(backend, kernel, dtype):
    function = getattr(kernels.load_backend(backend), kernel)
    for number, case in enumerate(cases_of(kernel, dtype)):
        share, text = case.judge(case.run(function))
        assert share <= 1, f"{backend}.{kernel} {dtype}, case {number}: {text}"


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


def test_zeros_of_a_few_numbers_lie_apart():
    """Nearer to each other, sums in compiled loops have other last bits."""
    arrays = [numpy_backend.zeros((5,), dtype) for _ in range(50) for dtype in ("float32", "float64", "uint8")]
    spans = sorted((array.ctypes.data, array.ctypes.data + array.nbytes) for array in arrays)
    assert min(after[0] - before[1] for before, after in pairwise(spans)) >= numpy_backend.APART


def test_zeros_are_aligned():
    backend = kernels.load_backend("numpy")
    for shape, dtype in (((3,), "float32"), ((5, 7), "float64"), ((1,), "int64")):
        array = backend.zeros(shape, dtype)
        assert array.ctypes.data % 64 == 0
        assert array.shape == shape
        assert not array.any()

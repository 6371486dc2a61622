"""Bugs of the kinds that GPU code has, planted in the kernels' source: each must be caught."""

import inspect
import sys
import types

import pytest

from . import extra

extra.require("numba_cuda", "nvidia.cu13", "greenlet", gcc=True)

import numpy as np  # noqa: E402

from minivae.kernels import philox  # noqa: E402
from minivae.kernels.cuda import access, data, dense, optimizers, products, scalars, totals  # noqa: E402

from . import build, launching, machine_code, offline  # noqa: E402
from .comparing import check  # noqa: E402
from .executors import PtxError, PtxExecutor  # noqa: E402
from .host import HostRuntime  # noqa: E402
from .simulator import Simulator, SimulatorError  # noqa: E402

CAUGHT = AssertionError, IndexError, PtxError, SimulatorError
END_OF_LOOP = "put_b(b_tile, half, b_at, b_step, b0, b1, b2, b3)\n            "
GUARDED = "if i < rows and j < columns:\n                store4("
BARRIER = "cuda.syncthreads()"
AFTER_SHUFFLES = f"scratch[thread // WARP] = value\n    {BARRIER}"

KERNEL_OF = {"dense_forward": "dense_forward", "accumulate": "accumulate_batch"}
# bug: (call of the contract that shows it, module it is planted in, what is replaced, by what)
BUGS = {
    "a barrier missing from the product's loop": (
        *("dense_forward", products),
        *(END_OF_LOOP + BARRIER, END_OF_LOOP + "pass"),
    ),
    "an inner sum that goes on into the next part": (
        *("dense_forward", products),
        *("end = min(depth, k + part)", "end = min(depth, k + part) + U(step_depth)"),
    ),
    "an unguarded edge": ("dense_forward", access, GUARDED, GUARDED.replace("i < rows and ", "")),
    "a barrier that half of a block skips": (
        *("accumulate", totals, AFTER_SHUFFLES),
        AFTER_SHUFFLES.replace(BARRIER, f"if thread < 64:\n        {BARRIER}"),
    ),
    "a sum read before it is complete": ("accumulate", totals, AFTER_SHUFFLES, AFTER_SHUFFLES.replace(BARRIER, "")),
}


def mutant(module, old, new, **names):
    """A copy of the module with a change in its source, and then with other values for some of its names."""
    source = inspect.getsource(module)
    assert old in source, f"{module.__name__} has no {old!r}"
    changed = types.ModuleType(module.__name__)
    changed.__file__, changed.__package__ = module.__file__, module.__package__
    exec(compile(source.replace(old, new, 1), module.__file__, "exec"), changed.__dict__)
    changed.__dict__.update(names)
    return changed


class OwnBuilds(dict):
    """Builds what is asked for."""

    def __init__(self, folder):
        self._folder = folder

    def __missing__(self, key):
        self[key] = build.build_kernel(*key, self._folder / str(len(self)), architectures=[build.EXECUTED])
        return self[key]


# module: (where it is used, what of it)
USED = {
    access: (products, ("access", "operand")),
    products: (dense, ("tile_product",)),
    totals: (data, ("add_batch",)),
}


def plant(monkeypatch, module, old, new):
    """Puts the kernels of the changed source in the place of the right ones."""
    changed = mutant(module, old, new)
    while module in USED:
        module, names = USED[module]
        changed = mutant(module, "", "", **{name: getattr(changed, name) for name in names})
    kernel = "forward_kernel" if module is dense else "accumulate_batch"
    monkeypatch.setattr(module, kernel, getattr(changed, kernel))


def caught(kernel, executor, folder):
    """Runs one case of the kernel in every order; the errors that were seen."""
    with launching.aligned_shapes(((20, 68, 8),)):
        case = next(launching.cases_of(kernel, "float32"))
    if executor == "simulator":
        executors = [Simulator(order) for order in ("up", "down", 3)]
    else:
        executors = [PtxExecutor(OwnBuilds(folder)) for _ in range(2)]
        executors[1].backwards = True
    errors = []
    for execute in executors:
        try:
            check(case, HostRuntime(execute), "planted")
        except CAUGHT as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("executor", ["simulator", "ptx"])
@pytest.mark.parametrize("bug", BUGS)
def test_bug_is_caught(bug, executor, tmp_path, proven, monkeypatch):
    kernel, *change = BUGS[bug]
    plant(monkeypatch, *change)
    assert caught(kernel, executor, tmp_path)
    proven("bugs", [(KERNEL_OF[kernel], (bug, executor))])


@pytest.mark.parametrize("executor", ["simulator", "ptx"])
@pytest.mark.parametrize("kernel_and_module", sorted({(bug[0], bug[1].__name__) for bug in BUGS.values()}))
def test_nothing_is_caught_where_nothing_is_planted(kernel_and_module, executor, tmp_path, monkeypatch):
    """The bugs are caught, not the way in which they are planted."""
    kernel, module = kernel_and_module
    plant(monkeypatch, sys.modules[module], "", "")
    assert not caught(kernel, executor, tmp_path)


def ptx_of(kernel, *arguments):
    return offline.compile_ptx(kernel, offline.signature(arguments), [(9, 0)])[9, 0]


def test_contraction_of_the_noise_is_seen(proven):
    """Plain a * b and a + b in the place of those that are rounded each time."""
    device = scalars.device
    plain = philox.build(device, device(lambda a, b: a * b), device(lambda a, b: a + b), scalars.sqrt32)
    changed = mutant(data, "", "", cipher=plain.philox, normal_pair=plain.normal_pair)
    arguments = np.uint64(1), np.uint64(2), np.uint64(3), np.zeros(1, np.int64), np.zeros(8, np.float32)
    assert "fma.rn.f32" not in ptx_of(data.normal_kernel("float32"), *arguments)
    assert "fma.rn.f32" in ptx_of(changed.normal_kernel("float32"), *arguments)
    proven("bugs", [("standard_normal", "contraction")])


def test_float64_in_a_float32_kernel_is_seen(proven):
    old, new = "parameter[e] -= rate * direction", "parameter[e] -= rate * direction * 1.1"
    changed = mutant(optimizers, old, new)
    arrays = [np.zeros(4, np.float32)] * 3
    arguments = *arrays, np.zeros(1), np.zeros(1, np.int64), 0.5, np.zeros(1, np.int32)
    kernel = optimizers.sgd_kernel("float32", True, False, False)
    assert "sub.f64" not in ptx_of(kernel, *arguments)
    assert "mul.f64" in ptx_of(changed.sgd_kernel("float32", True, False, False), *arguments)
    proven("bugs", [("sgd_update", "float64")])


def test_spilled_registers_are_seen(tmp_path, proven):
    """Four resident blocks leave a thread 64 registers, which the large tile does not fit into."""
    crowded = mutant(dense, "", "", BOUNDS=(256, 4))
    kernel = crowded.forward_kernel("identity", launching.constants.LARGE, True, "float32", "full")
    matrix, number = np.zeros((4, 4), np.float32), np.uint32(1)
    arguments = matrix, matrix, matrix[0], matrix, matrix, (number,) * 3, matrix, np.zeros(1, np.int32)
    report = machine_code.report(ptx_of(kernel, *arguments), (9, 0), tmp_path / "crowded")
    assert report.spills > 0
    proven("bugs", [("dense_forward", "spills")])

"""What the compiler made of each kernel: registers, spills, shared memory, vector accesses, contraction.

The counts belong to one toolkit, which setup.cfg pins: a new one needs new numbers in budgets.py.
"""

import re

import pytest

from . import extra

extra.require("numba_cuda", "nvidia.cu13", gcc=True)

from minivae.kernels.cuda import data  # noqa: E402

from . import budgets, build, launching, machine_code, offline  # noqa: E402

ALL = [(label, cc) for label in budgets.MEASURED for cc in offline.ARCHITECTURES]


def of(built, name):
    found = [one for one in built if one.name == name]
    assert found, f"no kernel is called {name}"
    return found


@pytest.fixture(scope="module")
def built(builds):
    return list(builds)


def check_budget(built, label, cc, proven):
    registers, shared = budgets.budget(label, cc)
    for one in built:
        if one.label == label:
            report, where = one.reports[cc], f"{label} {one.signature}"
            assert report.registers <= registers, where
            assert report.spills == report.stack == 0, where
            assert report.shared <= shared, where
            proven("resources", [(one.name, (one.library, cc))])


def test_every_budget_is_of_a_kernel_and_what_was_never_measured_has_one_too(built, proven):
    labels = {one.label for one in built}
    assert labels >= set(budgets.MEASURED)
    for label in labels - set(budgets.MEASURED):
        for cc in offline.ARCHITECTURES:
            check_budget(built, label, cc, proven)


@pytest.mark.parametrize(("label", "cc"), ALL)
def test_budget(built, label, cc, proven):
    check_budget(built, label, cc, proven)


@pytest.mark.parametrize("dtype", launching.DTYPES)
@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("cc", offline.ARCHITECTURES)
def test_products(builds, aligned, dtype, cc, proven):
    variants = builds.of(set(launching.products(aligned, dtype)))
    assert len(variants) >= 3
    for one in variants:
        report, where = one.reports[cc], f"{one.name} {one.signature}"
        assert report.inner_share >= (0.6 if dtype == "float32" else 0.5), where
        assert report.count("LDS.128") >= 4, where
        assert report.count("LDL", "STL") == 0, where
        if aligned:
            assert report.count("LDG.E.128") >= 4, where
            assert report.count("STG.E.128") >= 4, where
        proven("vectors", [(one.name, (one.library, cc))])


def test_no_float64_in_float32_elementwise_kernels(built, proven):
    names = "dense_forward", "dense_backward", "posterior_forward", "posterior_backward", "gather", "gather_and_normal"
    wanted = [one for name in names for one in of(built, name) if "float64" not in one.signature]
    for one in wanted:
        assert not re.search(r"\.f64\b", one.ptx[9, 0]), f"{one.name} {one.signature}"
    proven("no f64", [(one.name, one.library) for one in wanted])


@pytest.mark.parametrize("cc", offline.ARCHITECTURES)
def test_normals_are_never_contracted(built, cc, proven):
    for one in of(built, "standard_normal"):
        body = one.ptx[cc]
        assert "mul.rn.f32" in body
        assert "sqrt.rn.f32" in body
        assert not re.search(r"\b(fma|mul\.f|add\.f|sub\.f)", body), "an operation that is or may be contracted"
        proven("no fma", [(one.name, (one.library, cc))])


def test_code_that_is_linked_at_launch(tmp_path, proven):
    """numba-cuda launches what nvJitLink makes of the kernel, not what ptxas makes of its PTX: the same holds there."""
    offline.enable()
    large = launching.products(True)
    wanted = {next(large), next(large), data.normal_kernel("float32")}
    for kernel, signature in build.catalogue():
        if kernel not in wanted:
            continue
        kernel.compile(signature.args)
        cubin = tmp_path / "linked.cubin"
        cubin.write_bytes(bytes(kernel.overloads[signature.args]._codelibrary.get_cubin().code))
        instructions, share = machine_code.disassembled(cubin)
        assert not instructions["LDL"] + instructions["STL"]
        if kernel is data.normal_kernel("float32"):
            # those that the correctly rounded square roots are made of
            assert instructions["FFMA"] <= 7
        else:
            assert share >= 0.6
            assert instructions["LDS.128"] >= 4
            assert instructions["LDG.E.128"] >= 4
        proven("linked", [(kernel.py_func.__name__, signature)])


def test_a_training_step_takes_13_launches():
    launches, eager = launching.default_step()
    print(*launches, sep="\n")
    assert len(launches) == 13 < len(eager)

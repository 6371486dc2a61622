"""What the compiler made of each kernel: registers, spills, shared memory, vector accesses, contraction.

The counts belong to one toolkit, which setup.cfg pins: a new one needs new numbers here.
"""

import re
import shutil

import pytest

REASON = "the proofs of the CUDA kernels need gcc and: pip install 'minivae[cuda-proof]'"
pytest.importorskip("numba_cuda", reason=REASON)
pytest.importorskip("nvidia.cu13", reason=REASON)
if not shutil.which("gcc"):
    pytest.skip(REASON, allow_module_level=True)

from minivae.kernels.cuda import data  # noqa: E402

from . import build, launching, machine_code, offline  # noqa: E402

# The most registers a kernel's threads may use, by the kernel's name.
REGISTERS = {
    "dense_forward": 128,
    "dense_backward": 128,
    "posterior_forward": 64,
    "posterior_backward": 64,
    "bernoulli_nll": 64,
    "gaussian_nll": 64,
    "accumulate_batch": 48,
    "norm": 48,
    "scale": 32,
    "sgd_update": 48,
    "adam_update": 48,
    "gather": 64,
    "gather_and_normal": 64,
    "standard_normal": 48,
    "tick_clock": 16,
}
# Static shared memory in bytes that each kernel may use: a multiprocessor of an H100 has 228 KB.
SHARED = {"dense_forward": 36 * 1024, "dense_backward": 36 * 1024}
ALL = [(name, cc) for name in REGISTERS for cc in offline.ARCHITECTURES]


def of(built, name):
    found = [one for one in built if one.name == name]
    assert found, f"no kernel is called {name}"
    return found


@pytest.fixture(scope="module")
def built(builds):
    return list(builds)


def test_every_kernel_has_a_budget(built):
    assert {one.name for one in built} == set(REGISTERS)


@pytest.mark.parametrize(("name", "cc"), ALL)
def test_budget(built, name, cc, proven):
    for one in of(built, name):
        report, where = one.reports[cc], f"{name} {one.signature}"
        assert report.registers <= REGISTERS[name], where
        assert report.spills == report.stack == 0, where
        assert report.shared <= SHARED.get(name, 256), where
    names = [(one.name, one.library, cc) for one in of(built, name)]
    proven("machine codes (sm_80, sm_90) within their registers", names)
    proven("machine codes without spills or stack", names)
    proven("machine codes within their shared memory", names)


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
    names = [(one.library, cc) for one in variants]
    proven("matrix products with an inner loop of FFMA (60 % and more) or DFMA (50 %), and LDS.128", names)
    if aligned:
        proven("aligned matrix products with LDG.128 and STG.128", names)


def test_no_float64_in_float32_elementwise_kernels(built, proven):
    names = "dense_forward", "dense_backward", "posterior_forward", "posterior_backward", "gather", "gather_and_normal"
    wanted = [one for name in names for one in of(built, name) if "float64" not in one.signature]
    for one in wanted:
        assert not re.search(r"\.f64\b", one.ptx[9, 0]), f"{one.name} {one.signature}"
    proven("float32 kernels without float64 arithmetic", [one.library for one in wanted])


@pytest.mark.parametrize("cc", offline.ARCHITECTURES)
def test_normals_are_never_contracted(built, cc, proven):
    for one in of(built, "standard_normal"):
        body = one.ptx[cc]
        assert "mul.rn.f32" in body
        assert "sqrt.rn.f32" in body
        assert not re.search(r"\b(fma|mul\.f|add\.f|sub\.f)", body), "an operation that is or may be contracted"
    proven("noise kernels without contraction", [(one.library, cc) for one in of(built, "standard_normal")])


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
        proven("kernels linked as for a launch, without local memory or contraction", [(kernel, signature)])


def test_a_training_step_takes_at_most_14_launches():
    launches, eager = launching.default_step()
    print(*launches, sep="\n")
    assert len(launches) <= 14 < len(eager)

"""The table of what the proofs of the CUDA kernels have shown, printed at the end of a test run."""

import pytest

# Each counts what was proven of a kernel: specialisations, and for machine code two architectures of each.
PROPERTIES = {
    "simulated": "the source agrees with naive in a simulator, in three thread orders, without a divergent barrier",
    "executed": "the compiled code, run on the CPU, agrees with naive in two orders of threads and blocks, inside "
    "its arrays, with hardware approximations off by 2 ulps either way",
    "trained": "models trained with it for three epochs end where numpy does; fused and eager with the same bits",
    "bits": "a million results have the bits of every other backend",
    "resources": "the machine code is within its registers and shared memory, without spills or stack",
    "vectors": "the inner loop is at least 60 % FFMA (float64: 50 % DFMA), with 128-bit loads and, if aligned, stores",
    "no f64": "no float64 arithmetic in a float32 kernel",
    "no fma": "nothing is contracted",
    "linked": "the code that is linked for a launch holds the same, without local memory",
    "bugs": "planted bugs are caught",
}
_proven = {}


@pytest.fixture
def proven():
    """proven(a key of PROPERTIES, pairs of a kernel's name and anything hashable that tells its variants apart)"""

    def note(key, variants):
        assert key in PROPERTIES
        for kernel, variant in variants:
            _proven.setdefault(kernel, {}).setdefault(key, set()).add(variant)

    return note


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """Every kernel, compiled."""
    from .build import Builds

    made = Builds(tmp_path_factory.mktemp("kernels"))
    yield made
    made.close()


def pytest_terminal_summary(terminalreporter):
    if not _proven:
        return
    terminalreporter.section("CUDA kernels, proven without a device: variants of each kernel")
    terminalreporter.write_line(" " * 20 + "".join(f"{key:>10}" for key in PROPERTIES))
    for kernel, found in sorted(_proven.items()):
        cells = (len(found.get(key, ())) for key in PROPERTIES)
        terminalreporter.write_line(f"{kernel:20}" + "".join(f"{count or '-':>10}" for count in cells))
    for key, meaning in PROPERTIES.items():
        terminalreporter.write_line(f"{key:>10}: {meaning}")
    pairs = sum(len(found) for found in _proven.values())
    total = sum(len(variants) for found in _proven.values() for variants in found.values())
    terminalreporter.write_line(f"{len(_proven)} kernels, {pairs} kernels times properties, {total} proofs")

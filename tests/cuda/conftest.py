"""The count of what the proofs of the CUDA kernels have shown, printed at the end of a test run."""

import pytest

_proven = {}


@pytest.fixture
def proven():
    """proven(property, kernels): notes that a property holds for these kernels (any hashable names)."""

    def note(name, kernels):
        _proven.setdefault(name, set()).update(kernels)

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
    terminalreporter.section("CUDA kernels, proven without a device")
    for name, kernels in _proven.items():
        terminalreporter.write_line(f"{len(kernels):5} {name}")
    total = sum(map(len, _proven.values()))
    terminalreporter.write_line(f"{total:5} kernels times properties")

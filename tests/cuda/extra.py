"""What the proofs need besides the package: the extra cuda-proof, and gcc to run compiled kernels on the CPU."""

import shutil

import pytest

REASON = "the proofs of the CUDA kernels need gcc and: pip install 'minivae[cuda-proof]'"


def require(*modules, gcc=False):
    """Called by a test module before it imports any of these: where one is absent, all its tests are skipped."""
    for name in modules:
        pytest.importorskip(name, reason=REASON)
    if gcc and not shutil.which("gcc"):
        pytest.skip(REASON, allow_module_level=True)

"""Whether Numba may compile here, found out without importing it."""

import os


def why_not():
    """What keeps the `cpu` backend from running although Numba is installed, or None."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set, and its kernels are compiled code"
    return None

"""Whether Numba may compile here, found out without importing it."""

import contextlib
import importlib
import os
import sys

_NUMBA = "numba.core.config"


def why_not():
    """What keeps the `cpu` backend from running although Numba is installed, or None."""
    with contextlib.suppress(ValueError):  # Numba takes no notice of what is no number
        if int(os.environ.get("NUMBA_DISABLE_JIT", 0)):
            return "NUMBA_DISABLE_JIT is set, and its kernels are compiled code"
    if os.path.isfile(".numba_config.yaml"):  # which only Numba knows how to read
        with contextlib.suppress(ImportError):
            importlib.import_module(_NUMBA)
    if getattr(sys.modules.get(_NUMBA), "DISABLE_JIT", 0):
        return "DISABLE_JIT is set in Numba's configuration, and its kernels are compiled code"
    return None

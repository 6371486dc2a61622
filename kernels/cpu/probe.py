"""Whether Numba may compile here, and whether its threads were lost, found out without importing it."""

import contextlib
import importlib
import os
import sys

_NUMBA, _POOL = "numba.core.config", "numba.np.ufunc.parallel"


class Forks:
    """Whether this process has forked from one that had started Numba's threads, which it has not."""

    lost_threads = False

    @classmethod
    def look(cls):
        # GNU OpenMP ends a process that uses threads of its parent's
        cls.lost_threads |= getattr(sys.modules.get(_POOL), "_is_initialized", False)


if hasattr(os, "register_at_fork"):
    # From the import of this package on: a program may start the threads and fork before it asks for a kernel.
    os.register_at_fork(after_in_child=Forks.look)


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

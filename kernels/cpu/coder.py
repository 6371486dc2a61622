"""The entropy coder, compiled: one thread, integers and IEEE doubles as they are written."""

import functools
from types import SimpleNamespace

from ..coder import build
from .jit import cached, njit

_inline = njit(error_model="numpy", inline="always")


@functools.cache
def compiled():
    """The functions of `kernels.coder.build`, each compiled when it is first called, and kept on disk."""
    functions = vars(build(_inline)).items()
    keep = {
        name: cached(njit(error_model="numpy", nogil=True)(function), f"coder_{name}")
        for name, function in functions
        if not hasattr(function, "py_func")
    }
    return SimpleNamespace(**{name: keep.get(name, function) for name, function in functions})

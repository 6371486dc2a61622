"""A matrix product from three loops to the one the library uses: one idea a file, each faster than the one before.

The files `rung*.py` are read in their order. Each has a function `product(a, b, c)`, c = a @ b for C-contiguous float32
matrices of any size above zero, on one thread but for the last, and says at its top what limited the rung before. In
all of them an element of C is the same chain of multiply-adds, k = 0, 1, ...: what changes is when each is computed,
and where its operands are. `minivae bench --ladder` measures them (`measure.py`); docs/ladder.md has the figures.
"""

import functools
import importlib
import pkgutil

import numpy as np


def names():
    """The rungs in their order: the files of this package that are called so."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name.startswith("rung"))


def rungs():
    """{name: module}, in their order."""
    return {name: importlib.import_module(f"{__name__}.{name}") for name in names()}


def checked(product):
    """Decorator: a product of C-contiguous float32 matrices that fit together; TypeError or ValueError for others."""

    @functools.wraps(product)
    def call(a, b, c):
        for name, array in (("a", a), ("b", b), ("c", c)):
            if not (isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype == np.float32):
                raise TypeError(f"{name}: got {type(array).__name__}, expected a float32 matrix")
            if not array.flags.c_contiguous or 0 in array.shape:
                raise ValueError(f"{name}: got shape {array.shape}, expected C-contiguous rows, one at least")
        if (len(a), len(b), b.shape[1]) != (len(c), a.shape[1], c.shape[1]):
            raise ValueError(f"c: got shape {c.shape} for a {a.shape} and b {b.shape}, expected that of a @ b")
        product(a, b, c)

    return call


def rung(product):
    """Decorator: compiles product(a, b, c) for one thread; `compiled` is Numba's own function. See `checked`."""
    from numba import float32, void

    from ..cpu.jit import cached, njit
    from ..cpu.target import FASTMATH

    matrix = float32[:, ::1]
    compiled = cached(njit(fastmath=FASTMATH, error_model="numpy")(product), product.__module__.rpartition(".")[2])
    compiled.compile(void(matrix, matrix, matrix))
    compiled.disable_compile()
    call = checked(compiled)
    call.compiled = compiled
    return call

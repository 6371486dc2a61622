"""Checks of arguments. Kernels work on addresses, so whatever does not fit is found here, before a write."""

import numpy as np

# Eager calls spend most of their time here and in `program.py`: these tables spare NumPy's slow ways to a dtype's name
# and from one.
_DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "int64", "uint8")}
_REALS = {_DTYPES[name]: name for name in ("float32", "float64")}


def real_of(name, array):
    """The name of the dtype that all float arrays of a call share."""
    real_name = _REALS.get(array.dtype)
    if real_name is None:
        raise ValueError(f"{name}: got dtype {array.dtype}, expected float32 or float64")
    return real_name


def one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name}: got {value!r}, expected one of {', '.join(map(repr, allowed))}")


def matches(name, array, shape, dtype, columns=False):
    """The array has this shape and dtype and is C-contiguous, or, if `columns`, a block of columns of such an array."""
    if array.shape != shape or array.dtype != _DTYPES.get(dtype, dtype):
        raise ValueError(
            f"{name}: got shape {array.shape} of {array.dtype}, expected shape {shape} of {np.dtype(dtype)}"
        )
    if 0 in shape:
        raise ValueError(f"{name}: got shape {shape}, expected at least one element")
    if array.flags.c_contiguous:
        return
    itemsize = array.itemsize
    if columns and array.strides[1] == itemsize and array.strides[0] >= shape[1] * itemsize:
        return
    kind = "C-contiguous array or a block of columns of one" if columns else "C-contiguous array"
    raise ValueError(f"{name}: got an array with strides {array.strides}, expected a {kind}")


def all_match(shape, dtype, **arrays):
    """`matches` for arrays of one shape; returns them by name, as arguments of a kernel."""
    for name, array in arrays.items():
        matches(name, array, shape, dtype)
    return arrays


def blocks_match(shape, dtype, **arrays):
    """The same for blocks of columns, each with the bytes from one of its rows to the next: {mu: array, mu_row: n}."""
    given = {}
    for name, array in arrays.items():
        matches(name, array, shape, dtype, columns=True)
        given[name], given[f"{name}_row"] = array, array.strides[0]
    return given


def samples_of(name, rows, n):
    """How many rows of samples belong to each of n examples."""
    if rows < n or rows % n:
        raise ValueError(f"{name}: got {rows} rows, expected a multiple of {n}")
    return rows // n

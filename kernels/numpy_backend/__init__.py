"""The kernels in NumPy: readable, and as fast as BLAS and array expressions allow. Here its arrays, which are NumPy's.

Arguments and results of the kernels are stated in `naive`. Temporaries come from a pool that each thread keeps, so that
repeated calls with the same shapes allocate nothing.
"""

import math

import numpy as np

ALIGNMENT = 64
APART = 1024  # bytes: more than a loop of the widest vectors takes at a time


def zeros(shape, dtype):
    """An array of zeros whose first byte lies on a cache line, at least APART bytes from any other array of this kind.

    Compiled loops that write one array and add up others take another order where two of them lie within some
    vectors of each other, as arrays of few numbers would: the last bits of a sum would hang on where memory was free.
    """
    itemsize = np.dtype(dtype).itemsize
    size = math.prod(shape)
    buffer = np.zeros(size + (ALIGNMENT + APART) // itemsize, dtype)
    start = -(buffer.ctypes.data % -ALIGNMENT) // itemsize
    return buffer[start : start + size].reshape(shape)


def from_host(array):
    return np.ascontiguousarray(array)


def to_host(array):
    return array


def assign(destination, source):
    destination[...] = source

"""Arrays inside kernels, made of an address and a shape."""

import functools
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import carray, types
from numba.extending import intrinsic

from .jit import inline


class Memory(NamedTuple):
    """Numbers of one dtype in memory: vector(address, size); row(address, i, size), the i-th row of a matrix whose rows
    have `size` elements and lie one behind the other.
    """

    type: type
    itemsize: int
    vector: Any
    row: Any


@functools.cache
def memory_of(dtype_name):
    dtype = np.dtype(dtype_name)
    element, itemsize = numba.from_dtype(dtype), dtype.itemsize

    @intrinsic
    def pointer_to(typingctx, address):
        def codegen(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.intp), codegen

    @inline
    def vector(address, size):
        return carray(pointer_to(address), (size,))

    @inline
    def row(address, i, size):
        return vector(address + i * size * itemsize, size)

    return Memory(dtype.type, itemsize, vector, row)


float64_vector, int64_vector, uint32_vector = (memory_of(name).vector for name in ("float64", "int64", "uint32"))


@inline
def int64_at(address):
    return int64_vector(address, 1)


@inline
def share(total, part, parts):
    """The range [first, last) of `total` items that belongs to one part."""
    return total * part // parts, total * (part + 1) // parts

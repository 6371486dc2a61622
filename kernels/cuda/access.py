"""How a matrix product reads and writes global memory: vectors of four with guards at every edge.

Where all row lengths are multiples of four and all arrays start on 16 bytes ("aligned"), a vector lies wholly inside a
matrix or wholly outside it and moves as one 128-bit access; otherwise ("ragged") its elements are guarded one by one.
"""

import functools

import numpy as np

from .constants import VECTOR
from .intrinsics import device, load4, store4
from .scalars import activation_functions

U = np.uint32


@functools.cache
def access(aligned, dtype):
    """load(array, i, j, rows, columns) gives array[i, j : j + 4], zero outside rows x columns; store(array, i, j, rows,
    columns, a, b, c, d) writes what lies inside.
    """
    zero = np.dtype(dtype).type(0)

    @device
    def load(array, i, j, rows, columns):
        if aligned:
            if i < rows and j < columns:
                return load4(array, i, j)
            return zero, zero, zero, zero
        a = b = c = d = zero
        if i < rows:
            if j < columns:
                a = array[i, j]
            if j + U(1) < columns:
                b = array[i, j + U(1)]
            if j + U(2) < columns:
                c = array[i, j + U(2)]
            if j + U(3) < columns:
                d = array[i, j + U(3)]
        return a, b, c, d

    @device
    def store(array, i, j, rows, columns, a, b, c, d):
        if aligned:
            if i < rows and j < columns:
                store4(array, i, j, a, b, c, d)
        elif i < rows:
            if j < columns:
                array[i, j] = a
            if j + U(1) < columns:
                array[i, j + U(1)] = b
            if j + U(2) < columns:
                array[i, j + U(2)] = c
            if j + U(3) < columns:
                array[i, j + U(3)] = d

    return load, store


@functools.cache
def operand(width, depth, along_depth, activation, aligned, dtype):
    """Three functions that bring one operand of a product to shared memory, a vector for each thread and step.

    width, depth : of the tile
    along_depth : whether the matrix is stored with the inner index last, so that a vector runs along it
    activation : the matrix is dy and is multiplied by this activation's derivative; "identity" for none

    place(thread) -> (result index, inner index) of its vector in the tile; fetch(matrix, output, at, k, width_end, end)
    -> four values; put(tile, half, at, step, four values).
    """
    load, _ = access(aligned, dtype)
    masked = activation != "identity"
    _, slope = activation_functions(activation, dtype)
    vectors = (depth if along_depth else width) // VECTOR

    @device
    def place(thread):
        along, across = thread % U(vectors) * U(VECTOR), thread // U(vectors)
        return (across, along) if along_depth else (along, across)

    @device
    def fetch(matrix, output, at, k, width_end, end):
        if along_depth:
            i, j, rows, columns = at, k, width_end, end
        else:
            i, j, rows, columns = k, at, end, width_end
        v = load(matrix, i, j, rows, columns)
        if masked:
            y = load(output, i, j, rows, columns)
            return v[0] * slope(y[0]), v[1] * slope(y[1]), v[2] * slope(y[2]), v[3] * slope(y[3])
        return v

    @device
    def put(tile, half, at, step, a, b, c, d):
        if along_depth:
            tile[half + step, at] = a
            tile[half + step + U(1), at] = b
            tile[half + step + U(2), at] = c
            tile[half + step + U(3), at] = d
        else:
            store4(tile, half + step, at, a, b, c, d)

    return place, fetch, put

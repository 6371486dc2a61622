"""Arguments of pictures, checked: one ValueError that names the argument, what came and what was expected."""

import math

import numpy as np

from ..errors import as_array, check_data, expect


def matrix(name, value, *, rows=None, columns=None):
    """`value` as a finite (rows, columns) array of floats; uint8 is read as 0..255 and scaled to [0, 1]."""
    array = check_data(name, value, features=columns)
    expect(rows in (None, len(array)), name, array, f"{rows} rows")
    return array / np.float32(255) if array.dtype == np.uint8 else array.astype(np.result_type(array, np.float32))


def vector(name, value, length):
    """`value` as a finite (length,) array of floats; None stays None."""
    if value is None:
        return None
    array = as_array(name, value)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    expect(array.dtype.kind in "fiub" and array.shape == (length,), name, array, f"{length} numbers, one a row")
    expect(np.isfinite(array).all(), name, array, "finite numbers")
    return array.astype(np.float64)


def images(name, value, image_shape, *, rows=None):
    """`value` (n, h*w) or (n, h*w*3) as (n, h, w) or (n, h, w, 3)."""
    try:
        shape = tuple(int(side) for side in image_shape)
    except (TypeError, ValueError):
        shape = ()
    right = (len(shape) == 2 or (len(shape) == 3 and shape[2] == 3)) and min(shape) > 0
    expect(right, "image_shape", image_shape, "(height, width), both at least 1, or (height, width, 3)")
    return matrix(name, value, rows=rows, columns=math.prod(shape)).reshape(-1, *shape)

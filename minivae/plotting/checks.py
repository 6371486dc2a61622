"""Arguments of pictures, checked: one ValueError that names the argument, what came and what was expected."""

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
    """`value` (n, h*w) as (n, h, w)."""
    try:
        height, width = (int(side) for side in image_shape)
    except (TypeError, ValueError):
        height = width = 0
    expect(height > 0 and width > 0, "image_shape", image_shape, "(height, width), both at least 1")
    return matrix(name, value, rows=rows, columns=height * width).reshape(-1, height, width)

"""Arguments of pictures, checked: one ValueError that names the argument, what came and what was expected."""

import numpy as np


def matrix(name, value, *, rows=None, columns=None):
    """`value` as a finite (rows, columns) array of floats; uint8 is read as 0..255 and scaled to [0, 1]."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{name}: expected a non-empty array of shape (n, columns), got shape {array.shape}")
    if rows is not None and array.shape[0] != rows:
        raise ValueError(f"{name}: expected {rows} rows, got {array.shape[0]}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name}: expected {columns} columns, got {array.shape[1]}")
    array = array / np.float32(255) if array.dtype == np.uint8 else array.astype(np.result_type(array, np.float32))
    return _finite(name, array)


def vector(name, value, length):
    """`value` as a finite (length,) array of floats; None stays None."""
    if value is None:
        return None
    array = np.asarray(value)
    if array.dtype.kind not in "fiub" or array.shape != (length,):
        raise ValueError(
            f"{name}: expected {length} numbers, one a row, got dtype {array.dtype} and shape {array.shape}"
        )
    return _finite(name, array.astype(np.float64))


def images(name, value, image_shape, *, rows=None):
    """`value` (n, h*w) as (n, h, w)."""
    try:
        height, width = (int(side) for side in image_shape)
    except (TypeError, ValueError):
        raise ValueError(f"image_shape: expected (height, width), got {image_shape!r}") from None
    if height < 1 or width < 1:
        raise ValueError(f"image_shape: expected two positive numbers, got {image_shape!r}")
    array = matrix(name, value, rows=rows)
    if array.shape[1] != height * width:
        raise ValueError(f"{name}: {array.shape[1]} features do not fill images of {height} x {width}")
    return array.reshape(-1, height, width)


def _finite(name, array):
    bad = array.size - int(np.count_nonzero(np.isfinite(array)))
    if bad:
        raise ValueError(f"{name}: expected finite numbers, got {bad} that are not")
    return array
